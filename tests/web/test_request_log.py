"""What surrounds every request: its id, its line in the log, and an answer whatever happens."""

import asyncio
import json
from dataclasses import replace

import pytest
import structlog
from aiohttp import web
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.web.house import PROBLEM, Client, House, serving, stores
from trunx.adapters.store.database import Database
from trunx.web.application import create_application
from trunx.web.dispatch import Dispatch, Unbroken
from trunx.web.health import Health
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.request_log import request_log

TREE = {"id": "menu", "nodes": {"bye": {"action": "hangup"}}}


async def test_each_request_has_a_line_without_secrets(ada: Client) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        got = await ada.ask("GET", "/ivr/menu?secret=hidden", X_Request_Id="mine-1")
    assert got.headers["X-Request-Id"] == "mine-1"
    [line] = [line for line in lines if line["event"] == "request"]
    assert line.pop("ms") > 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/ivr/{id}",
        "status": 422,
        "account": ada.account,
        "request_id": "mine-1",
    }
    assert structlog.contextvars.get_contextvars() == {}


async def test_probes_are_quiet(stranger: Client) -> None:
    with capture_logs() as lines:
        await stranger.get("/healthz")
    assert [line["log_level"] for line in lines if line["event"] == "request"] == ["debug"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", "a/b"])
async def test_an_id_that_is_no_name_is_replaced(stranger: Client, given: str) -> None:
    got = await stranger.ask("GET", "/nowhere", X_Request_Id=given)
    assert len(got.headers["X-Request-Id"]) == 32
    assert got.body["instance"] == f"urn:trunx:request:{got.headers['X-Request-Id']}"


async def test_a_problem_says_everything(stranger: Client) -> None:
    got = await stranger.ask("GET", "/nowhere", X_Request_Id="r1")
    assert got.headers["Content-Type"] == PROBLEM
    assert got.body == {
        "type": "https://trunx.example.com/docs#not-found",
        "title": "There is nothing at this path",
        "status": 404,
        "detail": "the paths are listed at /docs",
        "code": "not-found",
        "instance": "urn:trunx:request:r1",
    }


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE", "DELETE", "QUERY"])
async def test_a_method_that_a_path_does_not_take(ada: Client, method: str) -> None:
    got = await ada.ask(method, "/ivr")
    assert (got.status, got.code, got.headers["Allow"]) == (405, "method-not-allowed", "GET,HEAD,POST")


async def test_head_works_where_get_does(ada: Client, stranger: Client) -> None:
    await ada.post("/ivr", TREE)
    for client, path in ((ada, "/ivr"), (ada, "/ivr/menu"), (stranger, "/healthz"), (stranger, "/docs")):
        got, full = await client.ask("HEAD", path), await client.get(path)
        assert (got.status, got.body) == (200, "")
        assert got.headers["Content-Type"] == full.headers["Content-Type"]
        assert got.headers["Content-Length"] == full.headers["Content-Length"]


async def test_answers_tell_neither_versions_nor_other_origins(ada: Client) -> None:
    got = await ada.ask("GET", "/ivr", Origin="https://elsewhere.example.com")
    assert got.headers["Server"] == "trunx"
    assert "Access-Control-Allow-Origin" not in got.headers


async def test_a_fault_of_ours_is_told_without_its_inside(house: House) -> None:
    async def break_down(_asked: Asked) -> Reply:
        """Break down."""
        raise RuntimeError("the inside")

    operation = Operation("GET", "/broken", break_down, {200: Health}, open=True)
    application = web.Application(middlewares=[request_log("http://here", frozenset())])
    application.router.add_get("/broken", Dispatch(operation, house.ports, Unbroken()).answer)
    async with serving(application) as url:
        with capture_logs(processors=[merge_contextvars]) as lines:
            got = await Client(house.session, url, "", "").get("/broken")
    assert (got.status, got.code) == (500, "internal-error")
    assert "inside" not in json.dumps(got.body)
    [line] = [line for line in lines if line["event"] == "request-failed"]
    assert line["request_id"] == got.headers["X-Request-Id"]
    assert line["exc_info"]


async def test_a_store_that_is_down_is_told_as_such(house: House, ada: Client) -> None:
    # Port 1 is nobody's: the database cannot be reached.
    async with Database.open("postgresql://nobody@127.0.0.1:1/nothing") as database:
        ports = replace(house.ports, **stores(database), parts=[database])
        async with serving(create_application(ports)) as url:
            here = Client(house.session, url, ada.account, ada.secret)
            got = await here.get("/ivr")
            assert (got.status, got.code) == (503, "store-unavailable")
            assert int(got.headers["Retry-After"]) > 0
            ready = await here.get("/readyz")
            assert (ready.status, ready.body["status"]) == (503, "not-ready")
            assert ready.body["parts"][0]["state"] == "down"
            assert (await here.get("/healthz")).status == 200


async def test_a_client_that_leaves_in_its_body_costs_nothing(house: House, ada: Client) -> None:
    host, _, port = house.url.removeprefix("http://").partition(":")
    with capture_logs() as lines:
        _reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /ivr HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada.secret}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        while not any(line["event"] == "request" and line["status"] == 400 for line in lines):
            assert (await ada.get("/ivr")).body["count"] == 0
    assert not [line for line in lines if line["log_level"] in {"error", "critical"}]
