"""How calls end, and how the server does: a hangup stops the work at once, and cleanup always runs."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from agi import CallEndedError, Channel, DisconnectedError, HangupError, Server
from agi.caller import Ring
from agi.protocol import State
from tests.agi.wire import PATIENCE, Asterisk, on_call, soon

DEAD = "511 Command Not Permitted on a dead channel or intercept routine"
VARIABLE = "GET VARIABLE X"


class Lookup:
    """Slow work between two commands, that only its cancellation or `answer` ends."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.answer = asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        await self.answer.wait()


async def cancelled_with_cleanup(channel: Channel, lookup: Lookup) -> str | None:
    """A handler whose lookup must be cancelled; what its cleanup reads."""
    try:
        await lookup()
    except asyncio.CancelledError:
        return await channel.get_variable("X")
    raise AssertionError("the lookup was not cancelled")


async def cleanup_is_answered(asterisk: Asterisk, outcome: asyncio.Future[object]) -> None:
    assert await asterisk.heard() == VARIABLE
    asterisk.say("200 result=1 (kept)")
    assert await soon(outcome) == "kept"


async def heard_of_the_hangup(channel: Channel) -> None:
    """Waits until the notice has come and whatever it starts has had its turn."""
    async with asyncio.timeout(PATIENCE):
        while not channel.hung_up:  # noqa: ASYNC110 - the library has no event for it, nor needs one
            await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)


async def closed(channel: Channel) -> None:
    """Waits until the end of the connection is known and whatever it starts has had its turn."""
    async with asyncio.timeout(PATIENCE):
        while channel.wire.state is not State.CLOSED:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)


# A hangup


async def test_hangup_during_a_slow_lookup_cancels_it_and_cleanup_may_read_variables() -> None:
    lookup = Lookup()
    async with on_call(lambda channel: cancelled_with_cleanup(channel, lookup)) as (asterisk, outcome):
        await soon(lookup.begun.wait())
        asterisk.say("HANGUP")
        await cleanup_is_answered(asterisk, outcome)


async def test_hangup_behind_the_greeting_in_one_segment_cancels_the_lookup() -> None:
    lookup = Lookup()
    outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def handler(channel: Channel) -> None:
        outcome.set_result(await cancelled_with_cleanup(channel, lookup))

    async with Server(handler, port=0) as server, Asterisk.connected(server.port) as asterisk:
        asterisk.say_bytes(Ring("100").greeting("127.0.0.1", 1) + b"HANGUP\n")
        await cleanup_is_answered(asterisk, outcome)


@pytest.mark.parametrize(
    "segments",
    [
        ["200 result=0\nHANGUP"],
        ["HANGUP\n200 result=0"],
        ["200 result=0", "HANGUP"],
        ["HANGUP", "200 result=0"],
        ["HANGUP\n100 Trying...", "200 result=0\nHANGUP"],
    ],
)
async def test_hangup_beside_a_good_reply_lets_the_verb_have_it_and_cancels_the_lookup_behind(
    segments: list[str],
) -> None:
    lookup = Lookup()

    async def handler(channel: Channel) -> str | None:
        await channel.answer()
        return await cancelled_with_cleanup(channel, lookup)

    async with on_call(handler) as (asterisk, outcome):
        assert await asterisk.heard() == "ANSWER"
        for segment in segments:
            asterisk.say(segment)
            await asterisk.sent()
        await cleanup_is_answered(asterisk, outcome)


async def test_hangup_lets_commands_that_follow_at_once_run_on() -> None:
    async def handler(channel: Channel) -> list[str | None]:
        return [await channel.get_variable("X") for _ in range(3)]

    async with on_call(handler) as (asterisk, outcome):
        for value in "abc":
            assert await asterisk.heard() == VARIABLE
            asterisk.say("HANGUP", f"200 result=1 ({value})", "HANGUP")
        assert await soon(outcome) == ["a", "b", "c"]


async def test_work_behind_a_command_that_was_sent_after_the_hangup_is_cancelled() -> None:
    lookup = Lookup()

    async def handler(channel: Channel) -> str | None:
        for _ in range(2):
            await channel.get_variable("X")
        return await cancelled_with_cleanup(channel, lookup)

    async with on_call(handler) as (asterisk, outcome):
        assert await asterisk.heard() == VARIABLE
        asterisk.say("HANGUP", "200 result=1 (a)")
        assert await asterisk.heard() == VARIABLE
        asterisk.say("200 result=1 (b)")
        await cleanup_is_answered(asterisk, outcome)


async def test_hangup_is_told_once_and_cleanup_is_left_alone() -> None:
    cleanup = Lookup()
    channels = []

    async def handler(channel: Channel) -> str | None:
        channels.append(channel)
        with pytest.raises(HangupError):
            await channel.stream_file("x")
        await cleanup()
        return await channel.get_variable("X")

    async with on_call(handler) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.say(DEAD)
        await soon(cleanup.begun.wait())
        asterisk.say("HANGUP", "HANGUP")
        await heard_of_the_hangup(channels[0])
        cleanup.answer.set()
        await cleanup_is_answered(asterisk, outcome)


async def test_cleanup_after_a_cancelled_lookup_is_not_cancelled_by_the_end_of_the_connection() -> None:
    lookup, cleanup = Lookup(), Lookup()

    channels = []

    async def handler(channel: Channel) -> str:
        channels.append(channel)
        with pytest.raises(asyncio.CancelledError):
            await lookup()
        await cleanup()
        with pytest.raises(HangupError):
            await channel.get_variable("X")
        return "cleaned"

    async with on_call(handler) as (asterisk, outcome):
        await soon(lookup.begun.wait())
        asterisk.say("HANGUP")
        await soon(cleanup.begun.wait())
        asterisk.close()
        await closed(channels[0])
        cleanup.answer.set()
        assert await soon(outcome) == "cleaned"


async def test_end_of_the_connection_is_told_once_and_cleanup_is_left_alone() -> None:
    cleanup = Lookup()
    channels = []

    async def handler(channel: Channel) -> str:
        channels.append(channel)
        with pytest.raises(DisconnectedError):
            await channel.stream_file("x")
        await cleanup()
        return "cleaned"

    async with on_call(handler) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.close()
        await soon(cleanup.begun.wait())
        await closed(channels[0])
        cleanup.answer.set()
        assert await soon(outcome) == "cleaned"


@pytest.mark.parametrize("leave", [Asterisk.close, Asterisk.reset])
async def test_end_of_the_connection_cancels_the_lookup(leave: Callable[[Asterisk], None]) -> None:
    lookup = Lookup()

    async def handler(channel: Channel) -> str:
        with pytest.raises(asyncio.CancelledError):
            await lookup()
        with pytest.raises(DisconnectedError):
            await channel.get_variable("X")
        return "cleaned"

    async with on_call(handler) as (asterisk, outcome):
        await soon(lookup.begun.wait())
        leave(asterisk)
        assert await soon(outcome) == "cleaned"


async def test_work_behind_a_cancelled_command_is_cancelled_too() -> None:
    lookup = Lookup()

    async def handler(channel: Channel) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await channel.stream_file("x")
        with pytest.raises(asyncio.CancelledError):
            await lookup()
        return "cleaned"

    async with on_call(handler) as (_, outcome):
        assert await soon(outcome) == "cleaned"


# Draining


@contextlib.asynccontextmanager
async def one_call(
    handler: Callable[[Channel], Coroutine[Any, Any, None]],
) -> AsyncIterator[tuple[Server, Asterisk]]:
    """A live call, and its server."""
    async with Server(handler, port=0) as server, Asterisk.connected(server.port) as asterisk:
        asterisk.greet()
        yield server, asterisk


async def ask(channel: Channel) -> None:
    await channel.get_variable("X")


async def test_drain_takes_no_new_calls_and_waits_for_the_live_one() -> None:
    async with one_call(ask) as (server, asterisk), Asterisk.connected(server.port) as stranger:
        assert server.listening
        assert await asterisk.heard() == VARIABLE
        port = server.port
        draining = asyncio.ensure_future(server.drain(60))
        assert await stranger.end() == "closed"
        assert not server.listening
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not draining.done()
        asterisk.say("200 result=0")
        assert await asterisk.end() == "closed"
        await soon(draining)
        assert server.sessions == 0


# After two turns of asyncio's loop the accept is half done, and asyncio itself loses such a connection when
# its listener closes (CPython issue 109564).
@pytest.mark.parametrize("ticks", [0, 1, 3, 4])
async def test_connection_that_arrives_as_the_drain_begins_is_ended(ticks: int) -> None:
    loop = asyncio.get_running_loop()
    async with Server(ask, port=0) as server:
        callers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        try:
            for caller in callers:
                caller.sendall(Ring("100").greeting("127.0.0.1", 1))
                caller.setblocking(False)
            for _ in range(ticks):
                await asyncio.sleep(0)
            await soon(server.drain(0))
            for caller in callers:
                with contextlib.suppress(ConnectionResetError):
                    async with asyncio.timeout(PATIENCE):
                        while await loop.sock_recv(caller, 100):
                            pass
        finally:
            for caller in callers:
                caller.close()


async def test_late_call_is_cancelled_in_its_lookup_and_its_cleanup_runs_to_its_end() -> None:
    lookup = Lookup()
    kept = []

    async def handler(channel: Channel) -> None:
        kept.append(await cancelled_with_cleanup(channel, lookup))

    async with one_call(handler) as (server, asterisk):
        await soon(lookup.begun.wait())
        draining = asyncio.ensure_future(server.drain(0.01))
        assert await asterisk.heard() == VARIABLE
        assert not draining.done()
        asterisk.say("200 result=1 (kept)")
        await soon(draining)
        assert kept == ["kept"]
        assert await asterisk.end() == "closed"


async def test_late_call_is_cancelled_in_its_command_and_asterisk_goes_on() -> None:
    ended = []

    async def handler(channel: Channel) -> None:
        try:
            await channel.stream_file("x")
        finally:
            with pytest.raises(CallEndedError) as error:
                await channel.get_variable("X")
            ended.append(error.type)

    async with one_call(handler) as (server, asterisk):
        await asterisk.heard()
        await soon(server.drain(0.01))
        assert ended == [DisconnectedError]
        assert await asterisk.end() == "closed"


async def test_drain_may_be_called_again_at_any_time() -> None:
    async with one_call(ask) as (server, asterisk):
        await asterisk.heard()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.drain(60), 0.01)
        patient = asyncio.ensure_future(server.drain(60))
        await soon(server.drain(0))
        await soon(patient)
        await soon(server.drain(0))
        assert await asterisk.end() == "closed"
