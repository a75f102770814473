"""The five faults of the AMI library, each on a stub of an Asterisk that shows it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from tests.adapters.ami_on_stub import CALL, QUICK, connected, taken
from tests.peers.ami_stub import SECRET, ami_stub
from trunx.adapters.ami.ami import Ami, LoginRefusedError
from trunx.domain.channel import AmiRefusedError, AmiUnknownError, LinkDown, LinkUp
from trunx.domain.errors import UnavailableError

LISTED = (
    "Response: Success\r\n{id}EventList: start\r\nMessage: Channels will follow\r\n\r\n"
    "Event: CoreShowChannel\r\n{id}Channel: PJSIP/a-1\r\nChannelState: 6\r\nContext: c\r\nExten: s\r\n"
    "Uniqueid: one\r\n\r\n"
    "Event: CoreShowChannelsComplete\r\n{id}EventList: Complete\r\nListItems: COUNT\r\n\r\n"
)


# 1. A reply that says "successfully queued" ended the connection.


async def test_a_reply_that_says_queued_leaves_the_connection_as_it_is() -> None:
    async with connected() as (stub, ami):
        for action in ("Hangup", "Originate"):
            stub.replies[action] = "Response: Success\r\n{id}Message: DTMF successfully queued\r\n\r\n"
        assert await ami.hangup("call-1")
        await ami.originate(CALL)
        assert (await ami.state()).state == "ok"
        assert stub.connections == 1


# 2. What was not answered was sent again on the next connection.


@pytest.mark.parametrize("ended", ["cut", "shutdown"])
async def test_an_originate_is_never_sent_again(ended: str) -> None:
    async with connected() as (stub, ami):
        stub.silent = {"Originate"}
        dialling = asyncio.create_task(ami.originate(CALL))
        await stub.has("Originate")
        if ended == "cut":
            stub.cut()
        else:
            stub.tell(Event="Shutdown", Shutdown="Cleanly", Restart="False")
        with pytest.raises(AmiUnknownError, match="Originate: Asterisk closed the connection"):
            await dialling
        assert await taken(ami, 2) == [LinkDown(), LinkUp()]
        await stub.connected(2)
        # Once more there and back: all that could have been waiting has been sent by now.
        stub.silent.clear()
        assert await ami.hangup("other")
        assert len(stub.named("Originate")) == 1


async def test_nothing_is_sent_while_there_is_no_connection() -> None:
    async with connected(replace(QUICK, pause=0.3, longest_pause=0.3)) as (stub, ami):
        stub.cut()
        assert await taken(ami, 1) == [LinkDown()]
        with pytest.raises(UnavailableError, match="Asterisk closed the connection"):
            await ami.originate(CALL)
        await ami.wait_connected(5)
        await ami.hangup("other")
        assert stub.named("Originate") == []


async def test_an_asterisk_that_is_ending_is_away() -> None:
    """It says no to everything, which is no verdict on what was asked."""
    async with connected() as (stub, ami):
        for action in ("Originate", "CoreShowChannels"):
            stub.replies[action] = "Response: Error\r\n{id}Message: Asterisk is shutting down\r\n\r\n"
        for asking in (ami.originate(CALL), ami.channels()):
            with pytest.raises(UnavailableError, match="shutting down"):
                await asking


# 3. A refused login raised nothing.


async def test_a_refused_login_names_the_setting_and_not_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with ami_stub() as stub:
        url = f"ami://trunx:wrong-{SECRET[:3]}@127.0.0.1:{stub.port}"
        with capture_logs() as ours:
            async with Ami(url, pace=QUICK) as ami:
                with pytest.raises(LoginRefusedError) as refused:
                    await ami.wait_connected(5)
                with pytest.raises(UnavailableError) as unavailable:
                    await ami.originate(CALL)
                state = await ami.state()
                await stub.connected(3)
        said = str(refused.value)
        assert said.startswith("TRUNX_AMI_URL: ")
        assert "'trunx': Authentication failed" in said
        assert state.state == "degraded"
        everything = f"{said} {unavailable.value} {state} {ours} {caplog.text} {ami!r}"
        assert "wrong" not in everything
        assert len(ours) == 1  # not once for each attempt


async def test_a_login_that_is_let_in_later_needs_no_restart() -> None:
    async with ami_stub() as stub:
        stub.replies["Login"] = "Response: Error\r\n{id}Message: Authentication failed\r\n\r\n"
        async with Ami(stub.url, pace=QUICK) as ami:
            with pytest.raises(LoginRefusedError):
                await ami.wait_connected(5)
            stub.replies.clear()
            assert await taken(ami, 1) == [LinkUp()]
            await ami.wait_connected(0)


# 4. An action whose completion does not come waited for ever.


async def test_every_action_has_a_deadline() -> None:
    async with connected() as (stub, ami):
        stub.silent = {"Originate", "Hangup", "Redirect", "Setvar", "Getvar", "CoreShowChannels"}
        with pytest.raises(AmiUnknownError, match=r"Originate: no answer within 1 s"):
            await ami.originate(CALL)
        for waits in (
            ami.hangup("a"),
            ami.redirect("a", "b", "s"),
            ami.set_variable("a", "b", "c"),
            ami.get_variable("a", "b"),
            ami.channels(),
        ):
            with pytest.raises(UnavailableError, match="no answer"):
                await waits
        link = ami._link
        assert link is not None
        assert not link._manager.responses  # nothing is kept of what nobody answers
        # A list that never ends, one that is short of a row, one that is refused, and a whole one.
        stub.silent.clear()
        stub.replies["CoreShowChannels"] = LISTED.rpartition("Event:")[0]
        with pytest.raises(UnavailableError, match="no answer"):
            await ami.channels()
        stub.replies["CoreShowChannels"] = LISTED.replace("COUNT", "2")
        with pytest.raises(UnavailableError, match="incomplete"):
            await ami.channels()
        stub.replies["CoreShowChannels"] = "Response: Success\r\n{id}Message: no list\r\n\r\n"
        with pytest.raises(UnavailableError, match="incomplete"):
            await ami.channels()
        stub.replies["CoreShowChannels"] = "Response: Error\r\n{id}Message: Permission denied\r\n\r\n"
        with pytest.raises(AmiRefusedError, match="Permission denied"):
            await ami.channels()
        stub.replies["CoreShowChannels"] = LISTED.replace("COUNT", "1")
        assert [channel.channel for channel in await ami.channels()] == ["one"]


async def test_a_server_that_never_answers_the_login_is_left() -> None:
    async with ami_stub() as stub:
        stub.silent = {"Login"}
        async with Ami(stub.url, pace=replace(QUICK, connect=0.1)) as ami:
            await stub.connected(2)
            with pytest.raises(UnavailableError, match="no answer to the login"):
                await ami.wait_connected(0.2)


async def test_an_asterisk_that_is_still_starting_is_not_asked_for_calls() -> None:
    async with ami_stub() as stub:
        stub.booted = False
        async with Ami(stub.url, pace=replace(QUICK, boot=0.1)) as ami:
            await stub.connected(2)
            assert "read = system,call" in (await ami.state()).detail
            stub.booted = True
            await ami.wait_connected(5)


# 5. A half-open socket was never noticed, and a new attempt came at a fixed pace.


async def test_a_socket_that_swallows_everything_is_left_and_its_bytes_die_with_it() -> None:
    async with connected(replace(QUICK, ping=0.1)) as (stub, ami):
        await stub.has("Ping", 2)
        stub.freeze()
        await asyncio.sleep(0.06)  # what came with the last answer is not what was just heard
        asking = [asyncio.create_task(ami.set_variable("c", f"V{number}", "x" * 900)) for number in range(60)]
        asking.append(asyncio.create_task(ami.redirect("c", "a", "b")))
        asking.append(asyncio.create_task(ami.originate(CALL)))
        assert await taken(ami, 1) == [LinkDown()]
        for asked in asking:
            with pytest.raises(UnavailableError):
                await asked
        stub.thaw()
        assert await asyncio.wait_for(stub.ends.get(), 5) == "reset"
        assert await taken(ami, 1) == [LinkUp()]
        assert stub.named("Redirect") == stub.named("Originate") == []


async def test_an_order_goes_only_into_a_connection_that_has_just_answered() -> None:
    async with connected(replace(QUICK, silence=0.1)) as (stub, ami):
        stub.silent = {"Ping"}
        await asyncio.sleep(0.06)  # what came with the login is not what was just heard
        with pytest.raises(UnavailableError, match="Ping: no answer"):
            await ami.originate(CALL)
        assert stub.named("Originate") == []
        stub.silent.clear()
        assert await ami.hangup("other")  # whatever is answered ends the silence
        await ami.originate(CALL)
        assert len(stub.named("Originate")) == 1


async def test_a_ping_that_is_refused_is_an_answer() -> None:
    async with connected() as (stub, ami):
        stub.replies["Ping"] = "Response: Error\r\n{id}Message: Permission denied\r\n\r\n"
        assert await ami.answers()
        await asyncio.sleep(0.06)  # until nothing was just heard, and the order asks first
        await ami.originate(CALL)
        assert (len(stub.named("Ping")), len(stub.named("Originate"))) == (2, 1)


async def test_no_order_is_sent_into_a_silence() -> None:
    """A connection may be dead for seconds before a ping says so: what was sent then would be lost."""
    async with connected(replace(QUICK, silence=0.1)) as (stub, ami):
        stub.silent = {"Originate"}
        with pytest.raises(AmiUnknownError):
            await ami.originate(CALL)
        assert (await ami.state()).state == "degraded"
        with pytest.raises(UnavailableError, match="no answer for"):
            await ami.originate(CALL)
        assert len(stub.named("Originate")) == 1
        assert await ami.hangup("other")  # whatever is answered ends it
        assert (await ami.state()).state == "ok"
        stub.silent.clear()
        await ami.originate(CALL)


async def test_an_asterisk_that_takes_nothing_more_is_sent_nothing_more() -> None:
    async with connected(replace(QUICK, answer=0.01, silence=60.0)) as (stub, ami):
        stub.freeze()
        flood = (ami.set_variable("c", f"V{number}", "x" * 900) for number in range(8_000))
        problems = {str(problem) for problem in await asyncio.gather(*flood, return_exceptions=True)}
        assert "Asterisk does not read what it is sent" in problems


async def test_attempts_grow_apart_and_are_not_in_step() -> None:
    pace = replace(QUICK, pause=0.05, longest_pause=0.2)
    async with ami_stub() as stub:
        stub.replies["Login"] = "Response: Error\r\n{id}Message: no\r\n\r\n"
        times = []
        async with Ami(stub.url, pace=pace):
            for count in range(1, 6):
                await stub.connected(count)
                times.append(asyncio.get_running_loop().time())
        gaps = [after - before for before, after in pairwise(times)]
        for gap, most in zip(gaps, (0.05, 0.1, 0.2, 0.2), strict=True):
            assert most * 0.5 <= gap < most + 0.1
