"""What holds for all tests at once: nothing that they, or a server of theirs, has logged was a secret."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from tests import secrecy


def pytest_configure() -> None:
    """Listens in before anything is logged, and has no example fail for a busy machine's sake."""
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
    structlog.configure(processors=[secrecy.heed, *structlog.get_config()["processors"]])


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_any_log() -> Iterator[None]:
    """Fails the session's last test when a log had a secret in it."""
    yield
    assert not secrecy.LEAKS, "secrets in logs:\n" + "\n".join(secrecy.LEAKS)
