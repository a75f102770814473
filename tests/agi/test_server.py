"""Who is let in, and what strangers cost: nobody but themselves."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_network

import pytest

from agi import Channel, DisconnectedError, Limits, Server
from agi.caller import Ring
from agi.protocol import MAX_GREETING
from tests.agi.wire import Asterisk, on_call, soon

GREETING = Ring("100").greeting("127.0.0.1", 4573)


async def echo(channel: Channel) -> None:
    """Asks for a variable until it has no value."""
    while await channel.get_variable("X") is not None:
        pass


async def a_call_works(asterisk: Asterisk) -> None:
    """One turn of `echo`."""
    assert await asterisk.heard() == "GET VARIABLE X"
    asterisk.say("200 result=1 (x)")


async def a_new_call_works(server: Server) -> None:
    async with Asterisk.connected(server.port) as asterisk:
        asterisk.greet()
        await a_call_works(asterisk)
        assert await asterisk.heard() == "GET VARIABLE X"
        asterisk.say("200 result=0")
        assert await asterisk.end() == "closed"


# Limits of who may come


async def test_call_past_the_limit_is_told_failure_at_once_and_later_ones_are_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Server(echo, port=0, limits=Limits(sessions=1)) as server:
        async with Asterisk.connected(server.port) as first:
            first.greet()
            assert await first.heard() == "GET VARIABLE X"
            assert server.sessions == 1
            for _ in range(3):
                async with Asterisk.connected(server.port) as refused:
                    refused.greet()
                    # What makes AGISTATUS FAILURE in Asterisk; a mere close reads SUCCESS there.
                    assert await refused.heard() == "failure"
                    assert await refused.end() == "closed"
            first.say("200 result=0")
            assert await first.end() == "closed"
        assert server.refused == 3
        assert server.sessions == 0
        assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 2  # the 1st and the 2nd
        await a_new_call_works(server)


async def test_limit_holds_for_strangers_who_greet_at_once() -> None:
    async with (
        Server(echo, port=0, limits=Limits(sessions=1)) as server,
        Asterisk.connected(server.port) as first,
        Asterisk.connected(server.port) as second,
    ):
        first.greet()
        assert await first.heard() == "GET VARIABLE X"
        second.greet()
        assert await second.heard() == "failure"
        assert await second.end() == "closed"
        assert server.refused == 1


async def test_address_that_is_not_allowed_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    elsewhere = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    async with Server(echo, port=0, allow=elsewhere) as server, Asterisk.connected(server.port) as asterisk:
        assert await asterisk.end() == "closed"
    assert "not an allowed address" in caplog.text


async def test_address_that_is_allowed_is_served() -> None:
    async with Server(echo, port=0, allow=[ip_network("127.0.0.0/8")]) as server:
        await a_new_call_works(server)


async def test_oldest_stranger_makes_room_for_a_new_one() -> None:
    async with (
        Server(echo, port=0, limits=Limits(strangers=2)) as server,
        Asterisk.connected(server.port) as oldest,
        Asterisk.connected(server.port) as older,
        Asterisk.connected(server.port) as newest,
    ):
        assert await oldest.end() == "closed"
        for patient in (older, newest):
            patient.greet()
            await a_call_works(patient)


async def test_port_in_use_is_told_at_once() -> None:
    async with Server(echo, port=0) as server:
        with pytest.raises(OSError, match="address already in use"):
            await Server(echo, port=server.port).__aenter__()


async def test_burst_of_calls_finds_room() -> None:
    async with Server(echo, port=0) as server:
        await asyncio.gather(*(a_new_call_works(server) for _ in range(200)))


# Deadlines


@pytest.mark.parametrize("said", [b"", GREETING[:60], GREETING[:-1]])
async def test_greeting_has_a_deadline_and_calls_have_none(said: bytes) -> None:
    async with (
        Server(echo, port=0, limits=Limits(greeting=0.2)) as server,
        Asterisk.connected(server.port) as call,
    ):
        call.greet()
        await a_call_works(call)
        async with Asterisk.connected(server.port) as slow:
            slow.say_bytes(said)
            assert await slow.end() == "closed"
        await a_call_works(call)


async def test_each_command_has_a_deadline_of_its_own_and_a_handler_at_work_has_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(channel: Channel) -> None:
        await asyncio.sleep(0.5)  # longer than a command may take: work of its own has no such limit
        assert await channel.get_variable("X") == "x"
        await channel.get_variable("X")

    async with on_call(handler, limits=Limits(reply=0.4)) as (asterisk, outcome):
        assert await asterisk.heard() == "GET VARIABLE X"
        await asyncio.sleep(0.22)  # seen by two of the checks, which are a tenth of a second apart
        asterisk.say("200 result=1 (x)")
        assert await asterisk.heard() == "GET VARIABLE X"
        assert isinstance(await soon(outcome), DisconnectedError)
        assert await asterisk.end() == "closed"
    assert "has not answered a command" in caplog.text


# Strangers


async def says(data: bytes, stranger: Asterisk) -> None:
    stranger.say_bytes(data)
    with contextlib.suppress(ConnectionError):
        await stranger.sent()
    assert await stranger.end() in {"closed", "reset"}


async def closes(stranger: Asterisk) -> None:
    stranger.close()


async def closes_within_its_greeting(stranger: Asterisk) -> None:
    stranger.say_bytes(GREETING[:70])
    await stranger.sent()
    stranger.close()


async def resets(stranger: Asterisk) -> None:
    stranger.say_bytes(GREETING[:70])
    await stranger.sent()
    stranger.reset()


HOSTILE: dict[str, Callable[[Asterisk], Awaitable[None]]] = {
    "closes": closes,
    "closes within its greeting": closes_within_its_greeting,
    "resets": resets,
    "http": lambda s: says(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", s),
    "tls": lambda s: says(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", s),
    "noise": lambda s: says(bytes(range(255, -1, -1)) * 64, s),
    "a line of 1 MB": lambda s: says(b"agi_x: " + b"x" * 1_000_000, s),
    "33 MB of lines": lambda s: says(b"agi_network: yes\n" * 2_000_000, s),
    "too long a greeting": lambda s: says(b"agi_x: y\n" * (MAX_GREETING // 9 + 1) + b"\n", s),
    "1 MB behind its greeting": lambda s: says(GREETING + b"x" * 1_000_000, s),
    "a million lines behind its greeting": lambda s: says(GREETING + b"\n" * 1_000_000, s),
}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_stranger_costs_nobody_else_a_thing(hostile: str) -> None:
    async def handler(channel: Channel) -> None:
        # The one who greets is asked nothing; the call is asked as always.
        if channel.environment()["agi_dnid"] == "100":
            await asyncio.Event().wait()
        await echo(channel)

    async with Server(handler, port=0) as server, Asterisk.connected(server.port) as call:
        call.greet()
        await a_call_works(call)
        async with Asterisk.connected(server.port) as stranger:
            misbehaving = asyncio.ensure_future(HOSTILE[hostile](stranger))
            while not misbehaving.done():
                await a_call_works(call)
            await misbehaving
        await a_call_works(call)
        await a_new_call_works(server)
        assert server.sessions == 1


async def test_reply_of_1_mb_ends_that_call_only() -> None:
    async with on_call(echo) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.say("200 result=1 (" + "x" * 1_000_000)
        assert isinstance(await soon(outcome), DisconnectedError)


async def test_200_strangers_who_dribble_leave_a_call_its_pace() -> None:
    async with Server(echo, port=0) as server, contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(Asterisk.connected(server.port)) for _ in range(200)]
        call = await stack.enter_async_context(Asterisk.connected(server.port))
        call.greet()
        for position in range(20):
            for stranger in slow:
                stranger.say_bytes(GREETING[position : position + 1])
            await a_call_works(call)
        for stranger in slow[:3]:
            stranger.say_bytes(GREETING[20:])
            await a_call_works(stranger)


# A handler's faults


async def test_fault_of_a_handler_is_logged_and_ends_its_own_call(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(channel: Channel) -> None:
        if channel.environment()["agi_dnid"] == "100":
            raise RuntimeError("a bug")
        await echo(channel)

    async with Server(handler, port=0) as server, Asterisk.connected(server.port) as call:
        call.greet()
        await a_call_works(call)
        async with Asterisk.connected(server.port) as faulty:
            faulty.greet(Ring("100"))
            assert await faulty.end() == "closed"
        await a_call_works(call)
    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.name == "agi"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a bug"


@pytest.mark.parametrize(("beside", "logged"), [(None, 0), (KeyError("a bug"), 1)])
async def test_end_of_a_call_inside_a_task_group_is_no_fault(
    beside: Exception | None, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(channel: Channel) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(channel.stream_file("x"))
            try:
                await asyncio.Event().wait()
            finally:
                if beside is not None:
                    raise beside

    async with on_call(handler) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.say("511 Command Not Permitted on a dead channel or intercept routine")
        assert isinstance(await soon(outcome), ExceptionGroup)
        assert await asterisk.end() == "closed"
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == logged
