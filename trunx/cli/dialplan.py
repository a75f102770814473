"""`trunx dialplan`: the dialplan for this operator's server, and nothing else on standard output."""

import sys

from dialplan import render
from dialplan.names import AGI_PATH, CONTEXT_INBOUND
from trunx.cli.terminal import StopError, err, read_settings
from trunx.settings import PREFIX, client_host


def print_dialplan(*, host: str | None, port: int | None, hagi: str | None, context: str | None) -> None:
    """For `host` and `port`, which are the settings' when absent, or for the DNS name `hagi`."""
    if hagi is not None and (host is not None or port is not None):
        raise StopError("--hagi takes hosts and ports from DNS: leave --host and --port away", 2)
    settings = read_settings()
    if hagi is not None:
        url = f"hagi://{hagi}/{AGI_PATH}"
    else:
        port = settings.agi_port if port is None else port
        if host is None:
            host = client_host(settings.agi_host)
            if host != settings.agi_host:
                err.print(
                    f"{PREFIX}AGI_HOST is {settings.agi_host}, every address: {host} is right when Asterisk "
                    "runs on this machine, else name this one with --host"
                )
        url = f"agi://[{host}]:{port}/{AGI_PATH}" if ":" in host else f"agi://{host}:{port}/{AGI_PATH}"
    try:
        text = render(url, CONTEXT_INBOUND if context is None else context)
    except ValueError as error:
        raise StopError(str(error), 2) from None
    sys.stdout.write(text)
