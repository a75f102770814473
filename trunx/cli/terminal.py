"""What every command shares: where it prints, how it ends with a sentence, and what it finds of the server.

Answers go to standard output, all else to standard error, so that an answer can be piped on.
"""

import logging
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:  # loaded by the commands that need them, so that --help is quick
    from trunx.adapters.store.database import Database
    from trunx.settings import Settings

_WIDE = 200  # columns of a table that nobody looks at in a window

out = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else _WIDE)
err = Console(markup=False, highlight=False, stderr=True, soft_wrap=True)


class StopError(Exception):
    """The command cannot go on: a sentence for its user, and the exit code."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


def program() -> str:
    """This command as the user can type it again."""
    called = sys.argv[0]
    on_path = shutil.which("trunx")
    if on_path is not None and Path(on_path).resolve() == Path(called).resolve():
        return "trunx"
    return shlex.quote(called)


def read_settings() -> "Settings":
    """The settings; ends the command with code 2 when one cannot be used."""
    from trunx.settings import SettingsError, load  # noqa: PLC0415

    try:
        return load()
    except SettingsError as error:
        raise StopError(str(error), 2) from None


def quiet() -> None:
    """Keeps the adapters' log to itself: the command says in its own words what went wrong."""
    from trunx import logs  # noqa: PLC0415

    logs.configure(as_json=False, level=logging.CRITICAL)


@asynccontextmanager
async def opened(settings: "Settings", *, new: bool = False) -> AsyncIterator["Database"]:
    """The server's database. One that does not exist yet is made only when `new`."""
    from trunx.adapters.store.database import Database  # noqa: PLC0415
    from trunx.settings import PREFIX  # noqa: PLC0415

    if settings.database_url is None and not new and not (settings.data_dir / "trunx.db").exists():
        raise StopError(
            f"there is no database in the folder {settings.data_dir}: the first `{program()} serve` "
            f"makes it, and {PREFIX}DATA_DIR names another folder"
        )
    try:
        async with Database.open(settings.database()) as database:
            yield database
    except ValueError as error:
        raise StopError(f"{PREFIX}DATABASE_URL: {error}", 2) from None
