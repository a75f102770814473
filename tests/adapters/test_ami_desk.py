"""Acting on live channels, on a stub of an Asterisk: what is sent, and what a key holds up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.adapters.ami_on_stub import QUICK
from tests.peers.ami_stub import AmiStub, ami_stub
from trunx.adapters.ami.desk import Desk
from trunx.domain.channel import AmiRefusedError, NoSuchChannelError
from trunx.domain.errors import UnavailableError

QUEUED = "Response: Success\r\n{id}Message: DTMF successfully queued\r\n\r\n"
GONE = "Response: Error\r\n{id}Message: Channel not specified\r\n\r\n"
NOBODY = "Response: Error\r\n{id}Message: No such channel\r\n\r\n"


@pytest.fixture
async def stub() -> AsyncIterator[AmiStub]:
    async with ami_stub() as stub:
        yield stub


@pytest.fixture
async def desk(stub: AmiStub) -> AsyncIterator[Desk]:
    async with Desk(stub.url, pace=QUICK) as desk:
        await desk.wait_connected(5)
        yield desk


def sent(stub: AmiStub, action: str) -> list[dict[str, str]]:
    return [
        {name: value for name, (value, *_) in block.items() if name not in {"Action", "ActionID"}}
        for block in stub.named(action)
    ]


async def test_a_key_has_a_session_of_its_own(stub: AmiStub, desk: Desk) -> None:
    """1. While a tone lasts all else goes on, and another key. 2. Sessions are used again. 3. They are told
    no events.
    """
    stub.silent = {"PlayDTMF"}
    pressing = [asyncio.create_task(desk.press("1.1", key, seconds=0.1)) for key in "1#"]
    await stub.has("PlayDTMF", 2)
    assert stub.connections == 3
    assert await desk.hangup("2.2")
    for task in pressing:
        with pytest.raises(UnavailableError, match="no answer"):
            await task
    stub.silent.clear()
    stub.replies["PlayDTMF"] = QUEUED
    await desk.press("1.1", "5", seconds=0.2)
    await desk.press("1.1", "*", seconds=0.2)
    assert stub.connections == 4  # those whose answer did not come are not used again
    assert sent(stub, "PlayDTMF")[-1] == {
        "Channel": "1.1",
        "Digit": "*",
        "Duration": "200",
        "Async": "false",
    }
    assert [login["Events"] for login in sent(stub, "Login")] == ["system,call,dtmf", "off", "off", "off"]


async def test_whose_channel_is_gone(stub: AmiStub, desk: Desk) -> None:
    for action in ("PlayDTMF", "ControlPlayback", "MixMonitor"):
        stub.replies[action] = NOBODY
    for acting in (desk.press("1.1", "1", seconds=0.1), desk.interrupt("1.1"), desk.record("1.1", "a", "")):
        with pytest.raises(NoSuchChannelError):
            await acting
    stub.replies["PlayDTMF"] = GONE
    with pytest.raises(AmiRefusedError):
        await desk.press("1.1", "1", seconds=0.1)
    assert stub.connections == 2  # a refusal is an answer
    for nonsense in ("", "12", "x", "1\r\n"):
        with pytest.raises(ValueError, match="telephone"):
            await desk.press("1.1", nonsense, seconds=0.1)


async def test_what_is_sent(stub: AmiStub, desk: Desk) -> None:
    await desk.interrupt("1.1")
    await desk.record("1.1", "trunx/calls/a.wav", "")
    await desk.record("1.1", "", "Sr(a)t(b)")
    await desk.stop_recording("1.1")
    await desk.mute_recording("1.1", muted=True)
    await desk.mute_recording("1.1", muted=False)
    assert sent(stub, "ControlPlayback") == [{"Channel": "1.1", "Control": "stop"}]
    assert sent(stub, "MixMonitor") == [
        {"Channel": "1.1", "File": "trunx/calls/a.wav"},
        {"Channel": "1.1", "Options": "Sr(a)t(b)"},
    ]
    assert sent(stub, "StopMixMonitor") == [{"Channel": "1.1"}]
    assert [block["State"] for block in sent(stub, "MixMonitorMute")] == ["1", "0"]


async def test_a_key_of_the_far_end_is_heard_by_who_listens(stub: AmiStub, desk: Desk) -> None:
    """One that we send ourselves is none, nor one of another channel."""
    with desk.listening("1.1") as first, desk.listening("1.1") as second:
        stub.tell(Event="DTMFEnd", Uniqueid="1.1", Digit="1", Direction="Sent")
        stub.tell(Event="DTMFEnd", Uniqueid="2.2", Digit="2", Direction="Received")
        stub.tell(Event="DTMFEnd", Uniqueid="1.1", Digit="3", Direction="Received")
        stub.tell(Event="DTMFEnd", Uniqueid="1.1", Digit="4", Direction="Received")
        async with asyncio.timeout(5):
            assert [await first, await second] == ["3", "3"]
    with desk.listening("1.1") as third:
        await desk.hangup("1.1")  # all that was told before has been read
        assert not third.done()
    assert third.cancelled()
