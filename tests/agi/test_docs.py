"""docs/agi.md: every snippet runs, and nothing that is public is left out."""

import asyncio
import inspect
import os
import re
import signal
import sys
from dataclasses import fields
from pathlib import Path

import agi
from agi import Channel, Limits, Server
from agi.caller import Caller, Ring
from agi.protocol import MAX_COMMAND, MAX_GREETING, MAX_REPLY, MAX_REPLY_LINES, MAX_WORDS
from tests.agi.wire import soon

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agi.md").read_text(encoding="utf-8")
PROGRAM, *SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


async def test_first_snippet_is_a_server() -> None:
    assert len([line for line in PROGRAM.splitlines() if line.strip()]) <= 15
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM.replace("port=4573", "port=0"),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        first = await soon(process.stdout.readline())
        caller = Caller(Ring("100"), {"welcome": 1.0}.get, speed=100)
        assert await soon(caller.call("127.0.0.1", int(first.split()[-1]))) == "server"
        process.send_signal(signal.SIGTERM)
        assert await soon(process.wait()) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_other_snippets_run_in_their_order() -> None:
    names: dict[str, object] = {"asyncio": asyncio, "Channel": Channel, "Server": Server}
    for snippet in SNIPPETS:
        exec(snippet, names)
    tests = [value for name, value in names.items() if name.startswith("test_") and callable(value)]
    assert len(tests) == 2
    for test in tests:
        await soon(test())


def test_page_names_all_that_is_public() -> None:
    verbs = [name for name, _ in inspect.getmembers(Channel, inspect.iscoroutinefunction) if name[0] != "_"]
    assert len(verbs) == 12
    limits = [f"{limit:,}" for limit in (MAX_COMMAND, MAX_GREETING, MAX_REPLY, MAX_REPLY_LINES, MAX_WORDS)]
    assert [verb for verb in verbs if f"`{verb}(" not in PAGE] == []
    assert [field.name for field in fields(Limits) if f"`{field.name}`: " not in PAGE] == []
    assert [name for name in [*agi.__all__, *limits] if name not in PAGE] == []
