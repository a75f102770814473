"""The description for programs: true to the routes, and to every answer that schemathesis can get."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.web.house import Client, House
from tests.web.schemathesis_hooks import TREE
from tests.web.test_calls import call
from trunx.web.application import RESOURCES, create_application

ROOT = Path(__file__).parents[2]


async def test_every_route_is_described(house: House, stranger: Client) -> None:
    described = {
        (method.upper(), path)
        for path, operations in (await stranger.get("/openapi.json")).body["paths"].items()
        for method in operations
    }
    served = {
        (route.method, route.resource.canonical)
        for route in create_application(house.ports).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    ours = {("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")}
    assert served - described == ours | {("POST", "/hooks/ultravox")}  # for Ultravox alone
    assert described <= served


async def test_names_are_told_once_and_texts_are_there(stranger: Client) -> None:
    paths = (await stranger.get("/openapi.json")).body["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) == sum(len(group) for group in RESOURCES.values())
    assert all(operation["summary"] for operation in operations)


async def test_every_code_is_explained_once(stranger: Client) -> None:
    description = (await stranger.get("/openapi.json")).body
    kinds = {kind["code"]: kind for kind in description["x-problems"]}
    assert len(kinds) == len(description["x-problems"])
    assert {"not-found", "method-not-allowed", "invalid-tree", "request-in-progress"} <= kinds.keys()
    for methods in description["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                for code in re.findall(r"`([a-z-]+)`:", response["description"]):
                    assert kinds[code]["status"] == int(status)


@pytest.mark.timeout(300)
async def test_schemathesis_finds_nothing(house: House, ada: Client, tmp_path: Path) -> None:
    house.recorder.call(call(ada.account, 0))
    await house.recorder.flush()
    await ada.post("/ivr", TREE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{house.url}/openapi.json", "--url", house.url),
        *("--header", f"Authorization: Bearer {ada.secret}", "--checks", "all", "--max-examples", "8"),
        *("--seed", "1", "--suppress-health-check", "all", "--warnings", "off", "--no-color"),
        cwd=tmp_path,  # it keeps what it found beside it
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.web.schemathesis_hooks"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
