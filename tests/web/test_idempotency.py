"""A request that is sent again, because its answer was lost, is answered and not repeated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.web.house import Client, House, new_did, serving
from trunx.domain.idempotency import Claimed
from trunx.web.dispatch import Dispatch, Unbroken
from trunx.web.health import Health
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.request_log import request_log

TREE = {"id": "menu", "nodes": {"bye": {"action": "hangup"}}}


async def test_the_same_request_gets_the_same_answer(ada: Client) -> None:
    first = await ada.post("/ivr", TREE, Idempotency_Key="k 1")
    again = await ada.post("/ivr", TREE, Idempotency_Key="k 1")
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]


async def test_a_refusal_is_kept_too(ada: Client) -> None:
    await ada.post("/ivr", TREE)
    first = await ada.post("/ivr", TREE, Idempotency_Key="k")
    await ada.delete("/ivr/menu")
    again = await ada.post("/ivr", TREE, Idempotency_Key="k")
    assert first.code == again.code == "ivr-exists"
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_body_that_was_never_understood_may_be_mended(ada: Client) -> None:
    assert (await ada.post("/ivr", {"id": "menu"}, Idempotency_Key="k")).status == 422
    assert (await ada.post("/ivr", TREE, Idempotency_Key="k")).status == 201


async def test_another_request_with_the_key_is_refused(ada: Client) -> None:
    did = new_did()
    await ada.post("/ivr", TREE, Idempotency_Key="k")
    for path, body in (("/ivr", {**TREE, "language": "en"}), ("/dids", {"did": did})):
        got = await ada.post(path, body, Idempotency_Key="k")
        assert (got.status, got.code) == (422, "idempotency-key-reused")
    assert (await ada.get(f"/dids/{did}")).status == 404


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
async def test_a_key_that_cannot_be_stored_is_refused(ada: Client, key: str) -> None:
    got = await ada.post("/ivr", TREE, Idempotency_Key=key)
    assert (got.status, got.code) == (400, "invalid-idempotency-key")


async def test_each_creating_post_takes_a_key(ada: Client) -> None:
    did = new_did()
    await ada.post("/ivr", TREE)
    for path, body in (
        ("/dids", {"did": did}),
        ("/suppression", {"number": "+12025550111"}),
        ("/ivr/menu/assign", {"did": did}),
    ):
        first = await ada.post(path, body, Idempotency_Key=path)
        again = await ada.post(path, body, Idempotency_Key=path)
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["Idempotency-Replayed"] == "true"


class Slow:
    """An operation that begins, waits to be let on, and then does `result`."""

    def __init__(self, result: Reply | Exception) -> None:
        self.result = result
        self.times = 0
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def work(self, _asked: Asked) -> Reply:
        """Work slowly."""
        self.times += 1
        self.begun.set()
        await self.go_on.wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    @asynccontextmanager
    async def served(self, house: House) -> AsyncIterator[str]:
        """Serves it over the house's ports; clients that leave cancel their handlers."""
        unbroken = Unbroken()
        operation = Operation("POST", "/slow", self.work, {201: Health}, idempotent=True)
        application = web.Application(middlewares=[request_log("http://here", frozenset())])
        application.router.add_post("/slow", Dispatch(operation, house.ports, unbroken).answer)
        async with serving(application, cancel=True) as url:
            yield url
        await unbroken.close()


DONE = Reply(201, Health(status="ok", version="1"))


async def test_the_first_request_is_still_being_worked_on(house: House, ada: Client) -> None:
    slow = Slow(DONE)
    async with slow.served(house) as url:
        here = Client(house.session, url, ada.account, ada.secret)
        first = asyncio.create_task(here.ask("POST", "/slow", Idempotency_Key="k"))
        await slow.begun.wait()
        got = await here.ask("POST", "/slow", Idempotency_Key="k")
        assert (got.status, got.code, got.headers["Retry-After"]) == (409, "request-in-progress", "1")
        slow.go_on.set()
        assert (await first).status == 201
    assert slow.times == 1


async def test_a_client_that_leaves_finds_its_answer_when_it_comes_back(house: House, ada: Client) -> None:
    slow = Slow(DONE)
    async with slow.served(house) as url:
        async with aiohttp.ClientSession() as leaving:
            gone = asyncio.create_task(
                Client(leaving, url, ada.account, ada.secret).ask("POST", "/slow", Idempotency_Key="k")
            )
            await slow.begun.wait()
            gone.cancel()
            await asyncio.wait({gone})
        slow.go_on.set()
        here = Client(house.session, url, ada.account, ada.secret)
        got = await here.ask("POST", "/slow", Idempotency_Key="k")
        while got.status == 409:
            got = await here.ask("POST", "/slow", Idempotency_Key="k")
        assert (got.status, got.headers["Idempotency-Replayed"]) == (201, "true")
    assert slow.times == 1


async def test_a_fault_of_ours_is_not_kept(house: House, ada: Client) -> None:
    slow = Slow(RuntimeError("broken"))
    slow.go_on.set()
    async with slow.served(house) as url:
        here = Client(house.session, url, ada.account, ada.secret)
        assert (await here.ask("POST", "/slow", Idempotency_Key="k")).status == 500
        slow.result = DONE
        assert (await here.ask("POST", "/slow", Idempotency_Key="k")).status == 201
    assert slow.times == 2


async def test_what_was_begun_is_finished_before_the_server_ends(house: House, ada: Client) -> None:
    slow = Slow(DONE)
    async with aiohttp.ClientSession() as leaving, slow.served(house) as url:
        gone = asyncio.create_task(
            Client(leaving, url, ada.account, ada.secret).ask("POST", "/slow", Idempotency_Key="k")
        )
        await slow.begun.wait()
        gone.cancel()
        await asyncio.wait({gone})
        asyncio.get_running_loop().call_soon(slow.go_on.set)
    claim = await house.ports.idempotency.claim(ada.account, "k", "another")
    assert not isinstance(claim, Claimed)
