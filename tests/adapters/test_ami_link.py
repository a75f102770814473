"""What the AMI adapter sends, what it takes, and what it tells, byte by byte, on a stub of an Asterisk."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.ami_on_stub import CALL, QUICK, connected, taken
from tests.peers.ami_stub import SECRET, Block, ami_stub
from trunx.adapters.ami.ami import Ami
from trunx.adapters.ami.link import Link, text
from trunx.domain.channel import (
    AmiRefusedError,
    ChannelRinging,
    ChannelUp,
    FactsMissed,
    LinkUp,
    NoSuchChannelError,
)
from trunx.domain.errors import UnavailableError

_anything = st.text(st.characters(exclude_categories=()), max_size=60)
_controls = st.sampled_from(["\r", "\n", "\0", "\r\nAction: Originate\r\n", "\t", "\x7f"])


async def test_an_action_is_one_action_whatever_its_fields_hold() -> None:
    async with connected() as (stub, ami):
        loop = asyncio.get_running_loop()

        def since(before: int) -> list[Block]:
            return [block for block in stub.received[before:] if block["Action"] != ["Ping"]]

        def sent(**fields: object) -> bool:
            """Whether the call was sent; if so, it is one action and nothing else has come."""
            before = len(stub.received)
            wanted = replace(CALL, **fields)  # type: ignore[arg-type]
            try:
                asyncio.run_coroutine_threadsafe(ami.originate(wanted), loop).result(5)
            except ValueError:
                assert since(before) == []
                return False
            (block,) = since(before)
            assert set(block) == {
                *("Action", "ActionID", "Channel", "ChannelId", "Context", "Exten", "Priority"),
                *("Timeout", "Async", "CallerID", *(["Variable"] if wanted.variables else [])),
            }
            assert all(len(values) == 1 for name, values in block.items() if name != "Variable")
            assert len(block.get("Variable", [])) == len(wanted.variables)
            return True

        @settings(max_examples=300, deadline=None)
        @given(
            st.sampled_from(
                ["channel", "dial", "context", "exten", "from_number", "from_name", "value", "name"]
            ),
            _anything,
            _controls,
            _anything,
        )
        def holds(field: str, one: str, control: str, other: str) -> None:
            for value, harmful in ((one, False), (one + control + other, True), (one + control, True)):
                fields: dict[str, object] = {field: value}
                if field == "value":
                    fields = {"variables": {"A": value, "B": "b"}}
                elif field == "name":
                    fields = {"variables": {value: "a"}}
                assert not (sent(**fields) and harmful)

        await asyncio.to_thread(holds)
        for told in (
            ami.hangup("a\nb"),
            ami.redirect("a", "b\r", "s"),
            ami.redirect("a", "b", "s\0"),
            ami.set_variable("a", "b\n", "c"),
            ami.set_variable("a", "b", "c\r\nAction: Logoff"),
            ami.get_variable("a", "b\n"),
            ami.set_variable("a", "b", "x" * 1100),
        ):
            before = len(stub.received)
            with pytest.raises(ValueError, match="Asterisk"):
                await told
            assert len(stub.received) == before


async def test_refusals_have_asterisks_words() -> None:
    async with connected() as (stub, ami):
        stub.replies["Redirect"] = "Response: Error\r\n{id}Message: Channel does not exist: a\r\n\r\n"
        stub.replies["Hangup"] = "Response: Error\r\n{id}Message: No such channel\r\n\r\n"
        stub.replies["Originate"] = "Response: Error\r\n{id}Message: Extension does not exist.\r\n\r\n"
        with pytest.raises(NoSuchChannelError, match="Channel does not exist: a"):
            await ami.redirect("a", "b", "s")
        assert not await ami.hangup("a")
        with pytest.raises(AmiRefusedError, match=r"^Extension does not exist\.$"):
            await ami.originate(CALL)


async def test_facts_that_nobody_takes_make_room_and_say_so() -> None:
    async with connected(most_facts=3) as (stub, ami):
        for number in range(4):
            stub.tell(Event="Newstate", ChannelState="5", Uniqueid=f"c{number}")
        await ami.hangup("there-and-back")
        assert await taken(ami, 2) == [FactsMissed(), ChannelRinging("c3")]
        stub.tell(Event="Newstate", ChannelState="6", Uniqueid="c4")
        assert await taken(ami, 1) == [ChannelUp("c4")]


async def test_bytes_may_come_in_any_portions() -> None:
    async with connected() as (stub, ami):
        stub.replies["Getvar"] = "Response: Success\r\n{id}Variable: A\r\nValue: Zoë à \r\n\r\n"
        assert await ami.get_variable("c", "A") == "Zoë à "
        for byte in "Event: Newstate\r\nChannelState: 5\r\nUniqueid: ë\r\n\r\n".encode():
            stub.say(bytes([byte]))
            await asyncio.sleep(0)  # a segment of its own
        stub.say(b"nonsense\r\n\r\n\r\n\r\nEvent: Newstate\r\nChannelState: \xff\r\nUniqueid\r\n\r\n")
        assert await taken(ami, 1) == [ChannelRinging("ë")]
        assert (await ami.state()).state == "ok"


async def test_what_nobody_asks_for_is_not_told() -> None:
    async with ami_stub() as stub:
        heard: list[str] = []
        link = Link(lambda event: heard.append(text(event, "Event")))
        await link.connect("127.0.0.1", stub.port, "trunx", SECRET, 5)
        for name in ("Newchannel", "NewchannelX", "DialBegin", "BridgeEnter", "Hangup"):
            stub.tell(Event=name, Uniqueid="c")
        await link.ask("Ping", {}, seconds=5)
        link.close()
    assert [name for name in heard if name != "FullyBooted"] == ["NewchannelX", "Hangup"]


@pytest.mark.parametrize(
    "url",
    [
        "ami://127.0.0.1:5038",
        "ami://trunx@127.0.0.1",
        "ami://trunx:top-secret@:5038",
        "http://trunx:top-secret@127.0.0.1",
        "ami://trunx:top-secret@127.0.0.1:port",
        "ami://trunx:top-secret@127.0.0.1/x",
        "ami://trunx:top-secret%0d%0aAction: Logoff@127.0.0.1",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"ami://user:secret@host:5038|control character") as refused:
        Ami(url)
    assert "top-secret" not in str(refused.value)


async def test_nobody_listens() -> None:
    async with ami_stub() as stub:
        pass
    async with Ami(stub.url, pace=QUICK) as ami:
        with pytest.raises(UnavailableError, match="Connection refused"):
            await ami.wait_connected(0.2)
        assert (await ami.state()).state == "degraded"


async def test_a_host_that_cannot_be() -> None:
    async with Ami(f"ami://trunx:x@{'a' * 70}.example", pace=QUICK) as ami:
        with pytest.raises(UnavailableError, match="cannot be the name of a host"):
            await ami.wait_connected(0.5)


async def test_a_ping_that_is_refused_is_answered() -> None:
    async with connected(replace(QUICK, ping=0.05)) as (stub, ami):
        stub.replies["Ping"] = "Response: Error\r\n{id}Message: Permission denied\r\n\r\n"
        await stub.has("Ping", 4)
        assert (await ami.state()).state == "ok"
        assert stub.connections == 1


async def test_nothing_is_told_before_the_connection_is() -> None:
    async with ami_stub() as stub:
        stub.booted = False
        async with Ami(stub.url, pace=QUICK) as ami:
            await stub.connected(1)
            for number in range(5):
                stub.tell(Event="Newstate", ChannelState="5", Uniqueid=f"c{number}")
            stub.tell(Event="FullyBooted")
            assert await taken(ami, 1) == [LinkUp()]
            stub.tell(Event="Newstate", ChannelState="6", Uniqueid="c")
            assert await taken(ami, 1) == [ChannelUp("c")]


async def test_a_link_that_is_lost_sends_nothing() -> None:
    async with ami_stub() as stub:
        link = Link(lambda _: None)
        await link.connect("127.0.0.1", stub.port, "trunx", SECRET, 5)
        link.close()
        with pytest.raises(UnavailableError, match="we closed"):
            await link.ask("Ping", {}, seconds=1)
        assert await asyncio.wait_for(stub.ends.get(), 5) == "closed"
