"""`/api/events`: what happens comes at once, nothing is missed, and the stream ends when we do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from sqlalchemy import update

from tests.web.house import Client, House, serving
from trunx.adapters.store.log import append
from trunx.adapters.store.purge import Purge
from trunx.adapters.store.tables import events, now
from trunx.domain.call import Event, new_call_id
from trunx.web.application import create_application


@dataclass(slots=True)
class Stream:
    """An answer that is read event by event, as browsers do."""

    answer: aiohttp.ClientResponse
    last_id: str = ""

    async def next(self, within: float = 5.0) -> dict[str, Any]:
        """The next event's JSON."""
        async with asyncio.timeout(within):
            fields: dict[str, str] = {}
            while line := (await self.answer.content.readline()).decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "data" in fields:
                    self.last_id = fields["id"]
                    body = json.loads(fields["data"])
                    assert (fields["event"], fields["id"]) == (body["type"], str(body["seq"]))
                    return dict(body)
                else:
                    fields = {}
        raise EOFError


@asynccontextmanager
async def listening(client: Client, query: str = "", last_id: str = "") -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {client.secret}"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{client.url}/api/events{query}", headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readline() == b"retry: 2000\n"
        yield Stream(answer)


async def tell(house: House, client: Client, *types: str) -> None:
    for type_ in types:
        house.recorder.event(Event(client.account, new_call_id(), type_, datetime.now(UTC), {"n": "ä\n"}))
        await house.recorder.flush()


async def test_what_happens_comes_at_once(house: House, ada: Client) -> None:
    await tell(house, ada, "call.answered")
    async with listening(ada) as stream:
        begun = asyncio.get_running_loop().time()
        await tell(house, ada, "call.completed")
        event = await stream.next()
        assert asyncio.get_running_loop().time() - begun < 1
        assert (event["type"], event["seq"], event["data"]) == ("call.completed", 2, {"n": "ä\n"})
        assert event["account"] == ada.account
    got = await ada.get(f"/api/voice/{event['call']}/events")
    assert got.status == 404  # an event is no call


async def test_who_was_cut_off_misses_nothing(house: House, ada: Client) -> None:
    await tell(house, ada, *["call.answered"] * 3)
    async with listening(ada, "?after=0") as stream:
        assert [(await stream.next())["seq"] for _ in range(2)] == [1, 2]
        last = stream.last_id
    await tell(house, ada, "call.completed")
    async with listening(ada, last_id=last) as stream:
        assert [(await stream.next())["seq"] for _ in range(2)] == [3, 4]
        await tell(house, ada, "call.completed")
        assert (await stream.next())["seq"] == 5
    # A number that the log has not reached is of another log.
    async with listening(ada, last_id="999999") as stream:
        await tell(house, ada, "call.completed")
        assert (await stream.next())["seq"] == 6


async def test_who_was_away_for_longer_than_events_are_kept_is_told_so(house: House, ada: Client) -> None:
    database = house.recorder._database
    await tell(house, ada, *["call.answered"] * 4)
    async with database.writing() as connection:
        old = update(events).where(events.c.account == ada.account, events.c.seq < 4)
        await connection.execute(old.values(at=now() - timedelta(days=31)))
    await Purge(database, timedelta(days=30)).once()

    for query, headers in (("?after=2", {}), ("?follow=false", {"Last_Event_ID": "1"})):
        got = await ada.ask("GET", f"/api/events{query}", **headers)
        assert (got.status, got.code) == (410, "events-gone")
        assert "up to 3" in got.body["detail"]
    for last_id, query in (("3", ""), ("0", ""), ("", "?after=0")):
        async with listening(ada, query, last_id) as stream:
            assert (await stream.next())["seq"] == 4


async def test_only_some_types_and_no_further_than_now(house: House, ada: Client) -> None:
    await tell(house, ada, "call.answered", "ivr.step", "call.failed", "ivr.step")
    async with listening(ada, "?types=ivr.step,call.failed&after=0") as stream:
        assert [(await stream.next())["seq"] for _ in range(3)] == [2, 3, 4]
    async with listening(ada, "?after=1&follow=false&types=ivr.step") as stream:
        assert b"\n".join((await stream.answer.read()).split(b"\n")).count(b"data: ") == 2
    refused = await ada.get("/api/events?types=ivr.stop")
    assert (refused.status, refused.code) == (422, "invalid-query")
    head = await ada.ask("HEAD", "/api/events")
    assert (head.status, head.body) == (200, "")


async def test_two_listeners_get_all_while_many_write(house: House, ada: Client, bob: Client) -> None:
    async def write(writer: int) -> None:
        database = house.recorder._database
        for turn in range(10):
            events = [
                Event(client.account, None, "ivr.step", datetime.now(UTC), {"of": f"{writer}-{turn}"})
                for client in (ada, bob, ada)[: 1 + (writer + turn) % 3]
            ]
            async with database.writing() as connection:
                await append(connection, events)

    async def read(stream: Stream, most: int) -> list[int]:
        return [(await stream.next(20))["seq"] for _ in range(most)]

    async with listening(ada) as one, listening(ada, "?after=0") as two:
        writing = asyncio.gather(*(write(writer) for writer in range(6)))
        seen = await asyncio.gather(read(one, 80), read(two, 80), writing)
    assert seen[0] == seen[1] == list(range(1, 81))


async def test_streams_end_with_the_server(house: House, ada: Client) -> None:
    server = serving(create_application(house.ports))
    elsewhere = Client(house.session, await server.__aenter__(), ada.account, ada.secret)
    async with listening(elsewhere) as stream:
        begun = asyncio.get_running_loop().time()
        await server.__aexit__(None, None, None)
        assert asyncio.get_running_loop().time() - begun < 3
        with pytest.raises(EOFError):
            await stream.next()
