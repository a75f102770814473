"""What is said when the server cannot start: which setting is to be changed, and why."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from trunx.settings import PREFIX, Settings, SettingsError


class StartError(Exception):
    """The server cannot start; the message says why, and which setting to change."""


@contextmanager
def data_folder(settings: Settings) -> Iterator[None]:
    """Says which setting names a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        raise StartError(
            f"the data folder {settings.data_dir} cannot be written ({error.strerror}): "
            f"name another with {PREFIX}DATA_DIR"
        ) from error


@contextmanager
def setting(variable: str) -> Iterator[None]:
    """Says which variable an adapter refuses."""
    try:
        yield
    except ValueError as error:
        raise SettingsError(f"{variable}: {error}") from None


@contextmanager
def port(name: str, host: str, number: int) -> Iterator[None]:
    """Says which setting names a port that cannot be had."""
    try:
        yield
    except OSError as error:
        # asyncio's own sentence repeats the address; resolving a name has negative numbers of its own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise StartError(
            f"cannot listen on {host}:{number} ({reason}): "
            f"choose another with {PREFIX}{name}_PORT or {PREFIX}{name}_HOST, or end what listens there"
        ) from error
