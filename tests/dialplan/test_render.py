"""The printed dialplan: names, patterns, what it says when we fail, and what it refuses to print."""

import re
from pathlib import Path

import pytest

import dialplan
from dialplan import names, render
from dialplan.render import Extension, after, arriving, inbound, outbound, transferring, waiting
from sounds import ENGINE

ROOT = Path(dialplan.__file__).parents[1]

EXTEN = re.compile(r"exten => (?P<pattern>[^,]+),1,(?P<step>.+)")
SAME = re.compile(r" same => n(?:\((?P<label>[a-z]+)\))?,(?P<step>.+)")
STEP = re.compile(r"(?P<application>[A-Z][A-Za-z]+)\((?P<arguments>.*)\)")


def extensions() -> dict[str, Extension]:
    return {extension.pattern: extension for extension in inbound(names.AGI_URL)}


def applications(pattern: str) -> list[str]:
    return [step.application for step in extensions()[pattern].steps]


def test_the_sample_is_the_print_out() -> None:
    assert (ROOT / "extensions.conf.sample").read_text(encoding="utf-8") == render()


def test_every_line_parses() -> None:
    labels, gotos = set(), set()
    ours = {value for name, value in vars(names).items() if name.startswith("CONTEXT_")}
    contexts = [f"[{context}]" for context in ours]
    for line in render().splitlines():
        if not line or line.startswith("; ") or line in (";", *contexts):
            continue
        parsed = EXTEN.fullmatch(line) or SAME.fullmatch(line)
        assert parsed, line
        step = STEP.fullmatch(parsed["step"])
        assert step, line
        for opening, closing in ("()", "{}", "[]"):
            assert line.count(opening) == line.count(closing), line
        assert not re.search(r"(?<!\\);", line), f"would begin a comment: {line}"
        labels.add(parsed.groupdict().get("label"))
        gotos |= set(re.findall(r"Goto(?:If\(.*\?|\()([a-z]+)\)", line))
    assert gotos <= labels


def test_no_comment_opens_a_block() -> None:
    assert ";--" not in render()


def test_a_number_with_and_without_plus_and_a_call_without_number_enter() -> None:
    assert set(extensions()) == {"_+X.", "_X.", "s", names.EXTENSION_TROUBLE}


@pytest.mark.parametrize("pattern", ["_+X.", "_X.", "s"])
def test_a_call_is_handed_over_unanswered_and_ends_in_trouble(pattern: str) -> None:
    *before, hand_over, fallen_through = applications(pattern)
    assert hand_over == f"AGI({names.AGI_URL})"
    assert fallen_through == f"Goto({names.EXTENSION_TROUBLE},1)"
    assert before[-1].startswith(f"Set({names.VARIABLE_DID}=${{FILTER(0-9+,")
    assert not any(step.startswith("Answer") for step in before)


def test_trouble_speaks_once_and_hangs_up() -> None:
    steps = applications(names.EXTENSION_TROUBLE)
    assert steps[1].startswith("Log(WARNING,")
    assert "${AGISTATUS}" in steps[1]
    assert f"${{{names.VARIABLE_DID}}}" in steps[1]
    assert steps[2:4] == ["Answer()", f"Playback({names.SOUND_TROUBLE})"]
    assert steps[-3] == "Hangup()"
    assert not any("AGI(" in step or "Goto(" in step for step in steps)


def test_who_has_talked_to_an_agent_hears_goodbye_and_no_apology() -> None:
    steps = applications(names.EXTENSION_TROUBLE)
    assert steps[0] == f'GotoIf($["${{{names.VARIABLE_TALKING}}}" = "1"]?talked)'
    assert steps[-2:] == [f"Playback({names.SOUND_GOODBYE})", "Hangup()"]
    assert extensions()[names.EXTENSION_TROUBLE].steps[-2].label == "talked"


def test_an_agent_s_call_reaches_one_caller_and_nothing_else() -> None:
    (call,) = arriving()
    (wait,) = waiting()
    assert call.pattern == wait.pattern == "_t."  # a token's first letter: no number, no s, no h
    first, *steps = [step.application for step in call.steps]
    # What is dialled is used as hex digits only: `&` and `,` would mean further channels and options.
    assert first == f"Set({names.VARIABLE_TOKEN}=t${{FILTER(0-9a-f,${{EXTEN:1}})}})"
    assert not any("EXTEN" in step for step in steps)
    assert not any(step.startswith(("Dial(", "AGI(", "Transfer(", "System(")) for step in steps)
    reached = [step for step in steps if step.startswith(("PickupChan(", "SoftHangup("))]
    assert [step.partition("(")[2] for step in reached] == [
        f"Local/${{TRUNX_TOKEN}}@{names.CONTEXT_WAIT},{option})" for option in "pa"
    ]


def test_a_placed_call_is_handed_over_ended_by_asterisk_s_clock_and_asked_for_again() -> None:
    url = f"agi://127.0.0.1:4573/{names.AGI_PATH_OUTBOUND}"
    (placed,) = outbound(url)
    steps = [step.application for step in placed.steps]
    assert placed.pattern == names.EXTENSION_OUTBOUND
    assert steps[0] == f"Set(TIMEOUT(absolute)=${{{names.VARIABLE_MAX_SECONDS}}})"
    again = steps.index(f"AGI({url})")
    assert steps[again + 1 :] == [
        "Set(TRUNX_TRIES=$[0${TRUNX_TRIES} + 1])",
        "ExecIf($[${TRUNX_TRIES} > 5]?Hangup())",
        "Wait(2)",
        f"Goto({placed.steps[again].label})",
    ]
    for variable, does in ((names.VARIABLE_RECORD, "MixMonitor("), (names.VARIABLE_AMD, "AMD(")):
        assert any(f'"${{{variable}}}" = "1"]?{does}' in step for step in steps[:again])
    assert f",AGI({url})" in render()


def test_whom_somebody_is_transferred_to_is_handed_over_once_and_ended_by_asterisk_s_clock() -> None:
    url = f"agi://127.0.0.1:4573/{names.AGI_PATH_TRANSFER}"
    (placed,) = transferring(url)
    assert placed.pattern == names.EXTENSION_OUTBOUND
    assert [step.application for step in placed.steps] == [
        f"Set(TIMEOUT(absolute)=${{{names.VARIABLE_MAX_SECONDS}}})",
        f"AGI({url})",
        "Hangup()",
    ]
    assert f",AGI({url})" in render()


def test_who_was_transferred_is_told_goodbye() -> None:
    (left,) = after()
    assert left.pattern == names.EXTENSION_AFTER
    assert [step.application for step in left.steps] == [f"Playback({names.SOUND_GOODBYE})", "Hangup()"]


def test_the_apology_is_the_engines_own_prompt() -> None:
    assert ENGINE["trouble"].sound == names.SOUND_TROUBLE
    assert ENGINE["goodbye"].sound == names.SOUND_GOODBYE
    assert ENGINE["connecting"].sound == names.SOUND_CONNECTING


@pytest.mark.parametrize(
    "agi_url",
    [
        "agi://127.0.0.1:4573/inbound",
        "agi://trunx/inbound",
        "agi://[fd00::5]:4573/inbound",
        "hagi://voice.example.net/inbound",
    ],
)
def test_the_operators_own_server(agi_url: str) -> None:
    text = render(agi_url=agi_url, context="from-carrier_2")
    assert text.count(f",AGI({agi_url})") == 3
    assert "[from-carrier_2]" in text
    assert names.CONTEXT_INBOUND not in text


FORBIDDEN = "\n\r\t\0 ,;$\\{}()[]&|\"'`<>=?*%#@é"


@pytest.mark.parametrize("character", FORBIDDEN, ids=repr)
@pytest.mark.parametrize("shape", ["agi://a{}b:4573/inbound", "agi://a:45{}73/x", "agi://a:4573/in{}bound"])
def test_a_url_with_a_meaning_character_is_refused(shape: str, character: str) -> None:
    with pytest.raises(ValueError, match=r"^agi_url: "):
        render(agi_url=shape.format(character))


@pytest.mark.parametrize("character", FORBIDDEN + "/:.", ids=repr)
def test_a_context_with_a_meaning_character_is_refused(character: str) -> None:
    with pytest.raises(ValueError, match=r"^context: "):
        render(context=f"trunx{character}inbound")


@pytest.mark.parametrize(
    "agi_url",
    [
        "",
        "agi://",
        "agi:///inbound",
        "127.0.0.1:4573",
        "http://127.0.0.1:4573/inbound",
        "agi://127.0.0.1:0/inbound",
        "agi://127.0.0.1:65536/inbound",
        "agi://127.0.0.1:/inbound",
        "agi://127.0.0.1:٤٥٧٣/inbound",
        "agi://127.0.0.1:4573",
        "agi://127.0.0.1:4573/",
        "agi://127.0.0.1:4573/inbound\n",
        "agi://-trunx:4573/inbound",
        "agi://fd00::5/inbound",
        "hagi://voice.example.net:4573/inbound",
        "agi://user@host:4573/inbound",
        f"agi://{'a' * 300}/inbound",
    ],
)
def test_a_url_that_asterisk_could_not_use_is_refused(agi_url: str) -> None:
    with pytest.raises(ValueError, match=r"^agi_url: "):
        render(agi_url=agi_url)


@pytest.mark.parametrize(
    "context",
    [
        *("", "general", "globals", "a" * 80, "trunx\n"),
        *(names.CONTEXT_OUTBOUND, names.CONTEXT_AGENT, names.CONTEXT_WAIT),
    ],
)
def test_a_context_that_asterisk_could_not_use_is_refused(context: str) -> None:
    with pytest.raises(ValueError, match=r"^context: "):
        render(context=context)
