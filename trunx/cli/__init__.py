"""The command line: what can be typed, and what each word means. What a command does is in its own module.

A command's module is loaded when the command runs, so that `--help` and a mistyped word are answered at once.
"""

# ruff: noqa: PLC0415 - see above

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trunx.cli.terminal import StopError, err, out
from trunx.domain.errors import UnavailableError

app = typer.Typer(
    name="trunx",
    help="Self-hosted programmable voice: Asterisk's calls walk IVR trees that a REST API manages.",
    epilog="Settings are TRUNX_* variables, or lines of trunx.toml. `trunx check` looks at them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(name="keys", help="API keys, directly in the database.", no_args_is_help=True)
ivr_app = typer.Typer(name="ivr", help="IVR documents.", no_args_is_help=True)
audio_app = typer.Typer(name="audio", help="Sounds, and the Asterisks that play them.", no_args_is_help=True)
accounts_app = typer.Typer(name="accounts", help="What accounts may dial.", no_args_is_help=True)
_PLACE = "place"
app.add_typer(keys_app)
app.add_typer(accounts_app)
app.add_typer(ivr_app)
app.add_typer(audio_app)


def main() -> None:
    """The program `trunx`."""
    try:
        app()
    except StopError as stop:
        err.print(f"trunx: {stop}", style="bold red" if err.is_terminal else None)
        sys.exit(stop.code)
    except UnavailableError as error:
        err.print(f"trunx: {error}", style="bold red" if err.is_terminal else None)
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(f"trunx {version('trunx')}")
        raise typer.Exit


@app.callback()
def _trunx(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


@app.command("serve")
def _serve() -> None:
    """Serve calls (FastAGI) and the API until SIGTERM or Ctrl-C.

    SIGTERM takes no new calls and lets live ones finish for up to TRUNX_DRAIN_SECONDS; Ctrl-C ends at once.
    """
    from trunx.cli.serve import serve

    serve()


@app.command("check")
def _check() -> None:
    """Say what is reachable, what is off, and what to do about it.

    The exit code is 1 when something that calls need is down.
    """
    from trunx.cli.check import check

    check()


class _Call(TyperGroup):
    """`trunx call DID` beside `trunx call show ID`: what is no subcommand is a number to call."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] == ["show"] else [_PLACE, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == _PLACE else name, command, rest


call_app = typer.Typer(name="call", help="Place a simulated call, or show what became of any.", cls=_Call)
app.add_typer(call_app)


@call_app.command(_PLACE)
def _call(
    did: Annotated[str, typer.Argument(metavar="DID", help="The number to call, as in +19495551234.")],
    caller: Annotated[
        str, typer.Option("--from", metavar="NUMBER", help="The caller's number.")
    ] = "+12025550123",
    press: Annotated[
        str | None,
        typer.Option(
            metavar="KEYS",
            help="Press these keys, as in 1,1: one in each menu, a second into its prompt; then be silent.",
        ),
    ] = None,
    hangup_at: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="Hang up so long after the answer."),
    ] = None,
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="Let time pass so many times faster.")] = 1,
) -> None:
    """Place a simulated call through the running server, and show the walk as it happens.

    No Asterisk is needed: this command plays its part. Without --press the terminal is the keypad.
    What became of a call, simulated or not, is told by `trunx call show ID`.
    """
    from trunx.cli.call import call

    call(did, caller=caller, press=press, hangup_at=hangup_at, speed=speed)


@call_app.command("show")
def _call_show(
    call_id: Annotated[str, typer.Argument(metavar="ID", help="The call's id, or its callId.")],
) -> None:
    """Show a call's life: states, verdicts, steps, talks, actions, recordings and events, by time."""
    from trunx.cli.calls import show

    show(call_id)


@app.command("calls")
def _calls(
    *, once: Annotated[bool, typer.Option("--once", help="Print them once, for scripts.")] = False
) -> None:
    """Watch the live calls of all accounts."""
    from trunx.cli.calls import watch

    watch(once=once)


@app.command("dialplan")
def _dialplan(
    host: Annotated[
        str | None, typer.Option(help="Where Asterisk reaches the FastAGI server; else TRUNX_AGI_HOST.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Its port; else TRUNX_AGI_PORT.")] = None,
    hagi: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Several servers: the DNS name that has SRV records _agi._tcp."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="The context that the carrier's calls enter.")] = None,
) -> None:
    """Print the dialplan for Asterisk's extensions.conf."""
    from trunx.cli.dialplan import print_dialplan

    print_dialplan(host=host, port=port, hagi=hagi, context=context)


@keys_app.command("create")
def _keys_create(
    account: Annotated[
        str | None, typer.Option(metavar="ID", help="The account; not needed when there is only one.")
    ] = None,
    new_account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make an account of this name for the key.")
    ] = None,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "made with trunx keys create",
) -> None:
    """Make a key and print it. This is the only time it can be seen."""
    from trunx.cli import keys

    keys.create(account=account, new_account=new_account, name=name)


@keys_app.command("list")
def _keys_list() -> None:
    """List the keys of all accounts."""
    from trunx.cli import keys

    keys.show()


@keys_app.command("revoke")
def _keys_revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id, from `trunx keys list`.")],
) -> None:
    """End a key: requests with it are refused from now on."""
    from trunx.cli import keys

    keys.revoke(key_id)


@accounts_app.command("limits")
def _accounts_limits(
    *,
    account: Annotated[
        str | None, typer.Option(metavar="ID", help="The account; not needed when there is only one.")
    ] = None,
    countries: Annotated[
        str | None,
        typer.Option(metavar="CODES", help="Where it may call, as in US,CA; `any`: where its DIDs are."),
    ] = None,
    attempts: Annotated[
        int | None, typer.Option(min=1, help="How often it may call one number in 24 hours.")
    ] = None,
    hours: Annotated[
        str | None,
        typer.Option(metavar="TIMES", help="When telephones may ring, there: 08:00-21:00, or `any`."),
    ] = None,
    sip_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URIS",
            help="Whom transfer nodes may call by SIP: sip:desk@host and sip:*@host by comma, or `none`.",
        ),
    ] = None,
    per_second: Annotated[int | None, typer.Option(min=1, help="Calls that it may dial in a second.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Calls that it may have at once.")] = None,
    for_inbound: Annotated[
        int | None, typer.Option(min=0, help="How many of these are kept for inbound calls.")
    ] = None,
) -> None:
    """Set what an account may dial, and show all its limits; what is not given stays as it is."""
    from trunx.cli import accounts

    capacity = {"per_second": per_second, "at_once": at_once, "for_inbound": for_inbound}
    numbers = {"attempts_per_day": attempts, **capacity}
    accounts.limits(account, countries=countries, hours=hours, sip_uris=sip_uri, numbers=numbers)


@ivr_app.command("check")
def _ivr_check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An IVR document (JSON), or - for stdin.")],
) -> None:
    """Check an IVR document as POST /ivr does, without saving it.

    The exit code is 1 when it has errors; warnings are allowed.
    """
    from trunx.cli.ivr import check_file

    check_file(file)


@audio_app.command("sync")
def _audio_sync() -> None:
    """Bring every sound to every Asterisk of TRUNX_SOUNDS_URL now.

    The running server does so by itself; this shows what is missing and why. The exit code is 1 when
    something still is.
    """
    from trunx.cli.audio import sync

    sync()
