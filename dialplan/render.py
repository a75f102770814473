r"""Prints the dialplan that hands a carrier's call to our FastAGI server, for an operator to paste.

The fact to know: we end every call ourselves with HANGUP, so a line that stands after AGI() is reached
only when we did not take the call or did not finish it, and there the dialplan alone can still speak.
In extensions.conf `;` begins a comment unless written `\;`, and `,` separates arguments.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dialplan.names import (
    AGI_PATH,
    AGI_PATH_ACTION,
    AGI_PATH_OUTBOUND,
    AGI_PATH_TRANSFER,
    AGI_URL,
    CONTEXT_ACTION,
    CONTEXT_AFTER,
    CONTEXT_AGENT,
    CONTEXT_INBOUND,
    CONTEXT_OUTBOUND,
    CONTEXT_TRANSFER,
    CONTEXT_WAIT,
    EXTENSION_AFTER,
    EXTENSION_OUTBOUND,
    EXTENSION_PLAYS,
    EXTENSION_TROUBLE,
    EXTENSION_WHISPERS,
    GROUP_EXPECTING,
    RECORDINGS,
    SOUND_CONNECTING,
    SOUND_GOODBYE,
    SOUND_TROUBLE,
    VARIABLE_AMD,
    VARIABLE_DID,
    VARIABLE_MAX_SECONDS,
    VARIABLE_RECORD,
    VARIABLE_SPIED,
    VARIABLE_SPYING,
    VARIABLE_TALKING,
    VARIABLE_TOKEN,
    VARIABLE_TRIES,
)

__all__ = [
    "Extension",
    "Step",
    "acting",
    "after",
    "arriving",
    "inbound",
    "outbound",
    "render",
    "transferring",
    "waiting",
]

STOCK_APOLOGY = "sorry&please-try-call-later"
"""Both files are in Asterisk's own core sounds: "We're sorry. Please try your call again later."."""

_HEADER = """\
trunx: what Asterisk does with an inbound call, with one that trunx has placed, and with an AI agent's.
Paste into extensions.conf, then: asterisk -rx "dialplan reload"

trunx answers, plays, listens and hangs up; nothing is answered before AGI().
With more than one trunx server put hagi://name instead of agi://host:port: Asterisk then asks DNS for the
SRV records _agi._tcp.name and tries one after another, two seconds each. It does so at connecting only:
a call that is already being served does not move.
"""

# Asterisk knows no quoting that is safe everywhere, so what could mean something to its parser is refused.
_AGI_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>[^/:\[\]]*|\[[^/\[\]]*\])(?::(?P<port>[^/]*))?(?:/(?P<path>.*))?",
    re.DOTALL,
)
_OURS = frozenset(
    {
        CONTEXT_OUTBOUND,
        CONTEXT_TRANSFER,
        CONTEXT_AFTER,
        CONTEXT_ACTION,
        CONTEXT_AGENT,
        CONTEXT_WAIT,
    }
)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_PORT = re.compile(r"[0-9]{1,5}")
_PATH = re.compile(r"[A-Za-z0-9_/.-]{1,200}")
_CONTEXT = re.compile(r"[A-Za-z0-9_-]{1,79}")  # AST_MAX_CONTEXT is 80 with its final zero


@dataclass(frozen=True, slots=True)
class Step:
    """One priority of an extension."""

    application: str
    label: str = ""
    """What a GotoIf of the same extension calls it."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension of a context."""

    pattern: str
    """What a caller dials: a name, or a pattern that begins with `_`."""
    why: tuple[str, ...]
    """Comment lines for the operator."""
    steps: tuple[Step, ...]


def render(agi_url: str = AGI_URL, context: str = CONTEXT_INBOUND) -> str:
    """Prints extensions.conf for one FastAGI server.

    Args:
        agi_url: `agi://host:port/path`, or `hagi://name/path` for failover by SRV records.
        context: The context that the carrier's endpoint names.

    Raises:
        ValueError: A part has a form that extensions.conf could take for something else; the message
            begins with the argument's name.
    """
    _check_agi_url(agi_url)
    if not _CONTEXT.fullmatch(context) or context in _OURS | {"general", "globals"}:
        raise ValueError(f"context: {context!r} cannot name a context (use letters, digits, - and _)")
    return "\n".join(_lines(agi_url, context)) + "\n"


def inbound(agi_url: str) -> tuple[Extension, ...]:
    """Gives the inbound context's extensions, in the order they are printed."""
    walk = (Step(f"AGI({agi_url})"), Step(f"Goto({EXTENSION_TROUBLE},1)"))
    dialled = Step(_clean_number("EXTEN"))
    return (
        Extension("_+X.", ("The carrier dials the number itself: +19495551234 ...",), (dialled, *walk)),
        Extension("_X.", ("... or 19495551234.",), (dialled, *walk)),
        Extension(
            "s",
            (
                "The request names no number (usual after a registration without contact_user):",
                "take it from SIP's To header, on other kinds of channel from the DNID.",
            ),
            (
                Step(f"Set({VARIABLE_DID}=${{CALLERID(dnid)}})"),
                Step('GotoIf($["${CHANNEL(channeltype)}" != "PJSIP"]?walk)'),
                Step(f"Set({VARIABLE_DID}=${{CHANNEL(pjsip,local_uri)}})"),
                # Takes the variable by name: the header's own commas and brackets are never parsed as ours.
                Step(f"Set({VARIABLE_DID}=${{PJSIP_PARSE_URI_FROM({VARIABLE_DID},user)}})"),
                Step(_clean_number(VARIABLE_DID), "walk"),
                *walk,
            ),
        ),
        Extension(
            EXTENSION_TROUBLE,
            (
                "trunx hangs up every call itself, so this is reached only when it did not take the call",
                "(AGISTATUS FAILURE: not reached, or at its limit) or did not finish it (SUCCESS: it died).",
                "Asterisk's own sounds speak when the apology has not been staged, tones when those lack.",
                "Who has talked to an agent meanwhile was served, and is only told goodbye.",
            ),
            (
                Step(f'GotoIf($["${{{VARIABLE_TALKING}}}" = "1"]?talked)'),
                Step(
                    f"Log(WARNING,trunx: call to '${{{VARIABLE_DID}}}' not served, AGISTATUS ${{AGISTATUS}})"
                ),
                Step("Answer()"),
                Step(f"Playback({SOUND_TROUBLE})"),
                Step(f'ExecIf($["${{PLAYBACKSTATUS}}" = "FAILED"]?Playback({STOCK_APOLOGY}))'),
                Step('ExecIf($["${PLAYBACKSTATUS}" = "FAILED"]?Congestion(5))'),
                Step("Hangup()"),
                Step(f"Playback({SOUND_GOODBYE})", "talked"),
                Step("Hangup()"),
            ),
        ),
    )


def outbound(agi_url: str) -> tuple[Extension, ...]:
    """Gives the outbound context's extensions; `agi_url` is that of the outbound script."""
    return (
        Extension(
            EXTENSION_OUTBOUND,
            (
                "A call that trunx has placed enters here when it is answered, never by a dialled number.",
                "Asterisk's own clock ends it even when trunx is gone. What stands behind AGI() is reached",
                "when trunx was not there or has died: it has ten seconds to come back to the call.",
            ),
            (
                Step(f"Set(TIMEOUT(absolute)=${{{VARIABLE_MAX_SECONDS}}})"),
                Step(f'ExecIf($["${{{VARIABLE_RECORD}}}" = "1"]?MixMonitor({RECORDINGS}/${{UNIQUEID}}.wav))'),
                Step(f'ExecIf($["${{{VARIABLE_AMD}}}" = "1"]?AMD())'),
                Step(f"AGI({agi_url})", "held"),
                Step(f"Set({VARIABLE_TRIES}=$[0${{{VARIABLE_TRIES}}} + 1])"),
                Step(f"ExecIf($[${{{VARIABLE_TRIES}}} > 5]?Hangup())"),
                Step("Wait(2)"),
                Step("Goto(held)"),
            ),
        ),
    )


def transferring(agi_url: str) -> tuple[Extension, ...]:
    """Gives the extension of a call to whom somebody is transferred to; `agi_url`: the transfer script."""
    return (
        Extension(
            EXTENSION_OUTBOUND,
            (
                "Whom somebody is to be transferred to enters here when that call is answered: trunx then",
                "connects both. Without trunx nobody is transferred, and who was to be notices nothing.",
            ),
            (
                Step(f"Set(TIMEOUT(absolute)=${{{VARIABLE_MAX_SECONDS}}})"),
                Step(f"AGI({agi_url})"),
                Step("Hangup()"),
            ),
        ),
    )


def after() -> tuple[Extension, ...]:
    """Gives the extension for who was transferred, once the other one has left."""
    return (
        Extension(
            EXTENSION_AFTER,
            ("Who was transferred comes here when the other one has hung up.",),
            (Step(f"Playback({SOUND_GOODBYE})"), Step("Hangup()")),
        ),
    )


ARRIVAL_SECONDS = 30
"""How long an agent's call rings at most until its caller is through with what is announced before."""
DEAF_SECONDS = 3
"""How long an agent that has been answered may send nothing."""


def arriving() -> tuple[Extension, ...]:
    """Gives the extensions for the AI vendor's calls, which dial a token."""
    token = f"${{{VARIABLE_TOKEN}}}"
    wait = f"Local/{token}@{CONTEXT_WAIT}"
    return (
        Extension(
            "_t.",
            (
                "An AI agent's call dials a token that one live caller expects; nothing else can be dialled",
                "here. It rings until that caller waits for it, is answered, and takes the caller once its",
                "first sound is here. One that sends nothing is given up, and the caller's wait with it.",
            ),
            (
                Step(f"Set({VARIABLE_TOKEN}=t${{FILTER(0-9a-f,${{EXTEN:1}})}})"),
                Step("Set(TIMES=0)"),
                Step(f"GotoIf($[${{GROUP_COUNT({token}@{GROUP_EXPECTING})}} = 0]?nobody)", "look"),
                Step(f"GotoIf($[${{GROUP_COUNT({token}@{CONTEXT_WAIT})}} > 0]?answer)"),
                Step("ExecIf($[${TIMES} = 0]?Ringing())"),
                Step("Set(TIMES=$[${TIMES} + 1])"),
                Step(f"GotoIf($[${{TIMES}} > {ARRIVAL_SECONDS * 20}]?nobody)"),
                Step("Wait(0.05)"),
                Step("Goto(look)"),
                Step("Answer()", "answer"),
                # Silence, sent: a vendor behind NAT may send nothing before it has received something.
                Step("PlayTones(0)"),
                Step("Set(TIMES=0)"),
                Step("GotoIf($[0${CHANNEL(rtcp,rxcount)} > 0]?take)", "listen"),
                Step("Set(TIMES=$[${TIMES} + 1])"),
                Step(f"GotoIf($[${{TIMES}} > {DEAF_SECONDS * 50}]?deaf)"),
                Step("Wait(0.02)"),
                Step("Goto(listen)"),
                Step("StopPlayTones()", "take"),
                Step(f"PickupChan({wait},p)"),
                Step("Hangup(1)", "nobody"),
                Step(f"SoftHangup({wait},a)", "deaf"),
                Step("Hangup(16)"),
            ),
        ),
    )


def waiting() -> tuple[Extension, ...]:
    """Gives the extensions for callers who wait for an agent, until that takes them or they give up."""
    return (
        Extension(
            "_t.",
            ("A caller waits here for an agent, and hears it ring. trunx says for how long, in its Dial().",),
            (
                Step(f"Set(GROUP({CONTEXT_WAIT})=${{EXTEN}})"),
                Step("Ringing()", "ring"),
                Step("Wait(2.5)"),
                Step(f"Playback({SOUND_CONNECTING},noanswer)"),
                Step("Goto(ring)"),
            ),
        ),
    )


def acting(agi_url: str) -> tuple[Extension, ...]:
    """Gives the extensions of those who are heard in talks; `agi_url` is that of the action script."""
    return (
        Extension(
            EXTENSION_PLAYS,
            ("What the parties of a talk are to hear is played here, by trunx ...",),
            (Step("Answer()"), Step(f"AGI({agi_url})"), Step("Hangup()")),
        ),
        Extension(
            EXTENSION_WHISPERS,
            ("... and heard by them here. It ends with either.",),
            (Step(f"ChanSpy(${{{VARIABLE_SPIED}}},${{{VARIABLE_SPYING}}})"), Step("Hangup()")),
        ),
    )


def _clean_number(variable: str) -> str:
    """Takes a number out of a SIP user part, which may be `+1949...;npdi;rn=...` or hold a real newline."""
    return f"Set({VARIABLE_DID}=${{FILTER(0-9+,${{CUT({variable},\\;,1)}})}})"


def _lines(agi_url: str, context: str) -> Iterator[str]:
    yield from (f"; {line}".rstrip() for line in _HEADER.splitlines())
    yield from _context(context, inbound(agi_url))
    server = "/".join(agi_url.split("/", 3)[:3])
    yield from _context(CONTEXT_OUTBOUND, outbound(f"{server}/{AGI_PATH_OUTBOUND}"))
    yield from _context(CONTEXT_AGENT, arriving())
    yield from _context(CONTEXT_WAIT, waiting())
    yield from _context(CONTEXT_TRANSFER, transferring(f"{server}/{AGI_PATH_TRANSFER}"))
    yield from _context(CONTEXT_AFTER, after())
    yield from _context(CONTEXT_ACTION, acting(f"{server}/{AGI_PATH_ACTION}"))


def _context(name: str, extensions: tuple[Extension, ...]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    for extension in extensions:
        yield ""
        yield from (f"; {line}" for line in extension.why)
        for number, step in enumerate(extension.steps):
            label = f"({step.label})" if step.label else ""
            yield (
                f" same => n{label},{step.application}"
                if number
                else f"exten => {extension.pattern},1,{step.application}"
            )


def _check_agi_url(agi_url: str) -> None:
    """Refuses a URL that Asterisk could not use or could misread."""
    parts = _AGI_URL.fullmatch(agi_url)
    if not parts or parts["scheme"] not in {"agi", "hagi"}:
        raise ValueError(f"agi_url: {agi_url!r} is not agi://host:port/path or hagi://name/path")
    if not _HOST.fullmatch(parts["host"]):
        raise ValueError(f"agi_url: {parts['host']!r} is no host (a name, an IPv4, or an [IPv6] address)")
    port = parts["port"]
    if port is not None and not (_PORT.fullmatch(port) and 0 < int(port) < 65_536):
        raise ValueError(f"agi_url: {port!r} is no port (1 to 65535)")
    if port is not None and parts["scheme"] == "hagi":
        raise ValueError("agi_url: hagi:// takes its ports from SRV records; with a port Asterisk skips them")
    if not _PATH.fullmatch(parts["path"] or ""):
        raise ValueError(f"agi_url: {parts['path'] or ''!r} is no script (ours is {AGI_PATH!r})")
