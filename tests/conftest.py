"""What holds for all tests at once: nothing that they, or a server of theirs, has logged was a secret."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from tests import secrecy


def pytest_configure(config: pytest.Config) -> None:
    """Listens in before anything is logged, and has no example fail for a busy machine's sake.

    Property tests try the same examples in each run; others with `--hypothesis-profile exploring`.
    """
    settings.register_profile("exploring", deadline=None)
    settings.register_profile("steady", deadline=None, derandomize=True)
    if config.getoption("--hypothesis-profile") is None:
        settings.load_profile("steady")
    structlog.configure(processors=[secrecy.heed, *structlog.get_config()["processors"]])


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_any_log() -> Iterator[None]:
    """Fails the session's last test when a log had a secret in it."""
    yield
    assert not secrecy.LEAKS, "secrets in logs:\n" + "\n".join(secrecy.LEAKS)
