"""The AMI adapter on two real Asterisks: how calls end, what text passes whole, and what a cut leaves."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers.asterisk import Asterisk
from tests.peers.world import World, pbx_and_world
from trunx.adapters.ami.ami import Ami, LoginRefusedError
from trunx.adapters.ami.link import Link
from trunx.domain.channel import (
    AmiRefusedError,
    ChannelEnded,
    ChannelRinging,
    ChannelUp,
    Fact,
    FactsMissed,
    LinkDown,
    LinkUp,
    NoSuchChannelError,
    Originate,
    OriginateEnded,
)
from trunx.domain.errors import UnavailableError

FROM = "+19495551234"
DIALPLAN = """
[trunx-inbound]
exten => s,1,NoOp()
[trunx-outbound]
exten => s,1,Wait(3600)
exten => brief,1,Wait(0.2)
 same => n,Hangup(16)
"""
CALLEES = """
exten => +14155550001,1,Ringing()
 same => n,Wait(0.1)
 same => n,Answer()
 same => n,Wait(0.2)
 same => n,Hangup(16)
exten => +14155550002,1,Answer()
 same => n,Wait(3600)
exten => +14155550003,1,Ringing()
 same => n,Wait(3600)
exten => +14155550017,1,Hangup(17)
exten => +14155550021,1,Hangup(21)
exten => +14155550034,1,Hangup(34)
"""
LEAST = """
[least]
secret = least-secret
read = system,call
write = originate,call,reporting
"""

Told = dict[str, list[Fact]]


@asynccontextmanager
async def asterisks() -> AsyncIterator[tuple[Asterisk, World, str]]:
    """Both, and the URL of a login that has no more rights than it needs."""
    async with pbx_and_world(DIALPLAN, CALLEES) as (pbx, world):
        pbx.write("manager.conf", (pbx.folder / "etc" / "manager.conf").read_text("utf-8") + LEAST)
        await pbx.ami.command("manager reload")
        yield pbx, world, f"ami://least:least-secret@127.0.0.1:{pbx.ports.ami}"


class Calls:
    """Calls placed by the adapter, and the facts of each."""

    def __init__(self, ami: Ami) -> None:
        self.ami = ami
        self.told: Told = {}
        self._news = asyncio.Condition()
        self._taking = asyncio.create_task(self._take())

    def new(self, number: str, exten: str = "s", seconds: int = 5) -> Originate:
        """A call that is not placed yet."""
        dial = f"PJSIP/{number}@trunk"
        return Originate(str(uuid.uuid4()), dial, "trunx-outbound", exten, seconds, FROM)

    async def has(self, call: Originate, kind: type[Fact]) -> Fact:
        """Waits for the first fact of a kind."""

        def found() -> Fact | None:
            return next((fact for fact in self.told.get(call.channel, []) if isinstance(fact, kind)), None)

        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(found)
        fact = found()
        assert fact is not None
        return fact

    async def over(self, call: Originate) -> list[Fact]:
        """All facts of a call that was dialled, when its two ends are told, in an order of ours."""
        await self.has(call, ChannelEnded)
        await self.has(call, OriginateEnded)
        order = (ChannelRinging, ChannelUp, OriginateEnded, ChannelEnded)
        return sorted(self.told[call.channel], key=lambda fact: order.index(type(fact)))

    async def close(self) -> None:
        self._taking.cancel()
        await asyncio.gather(self._taking, return_exceptions=True)

    async def _take(self) -> None:
        async for fact in self.ami.facts:
            async with self._news:
                if not isinstance(fact, LinkUp | LinkDown | FactsMissed):
                    self.told.setdefault(fact.channel, []).append(fact)
                self._news.notify_all()


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Calls]:
    async with Ami(url) as ami:
        await ami.wait_connected(5)
        calls = Calls(ami)
        try:
            yield calls
        finally:
            await calls.close()


async def test_how_calls_end() -> None:
    async with asterisks() as (_, _, url), calling(url) as calls:
        ami = calls.ami

        async def after(call: Originate, kind: type[Fact], cause: int) -> list[Fact]:
            """Ends the call ourselves when it has come so far."""
            await ami.originate(call)
            await calls.has(call, kind)
            assert await ami.hangup(call.channel, cause)
            return await calls.over(call)

        async def whole(call: Originate) -> list[Fact]:
            await ami.originate(call)
            return await calls.over(call)

        async def expect(
            call: Originate,
            doing: asyncio.Task[list[Fact]],
            *states: type,
            answered: bool,
            reason: int,
            end: tuple[int, int | None, bool],
        ) -> None:
            one = call.channel
            cause, sip, by_far_end = end
            assert await doing == [
                *(state(one) for state in states),
                OriginateEnded(one, answered=answered, reason=reason),
                ChannelEnded(one, cause, sip, by_far_end=by_far_end),
            ], call.dial

        new = calls.new
        cases = [
            (new("+14155550001"), None, (ChannelRinging, ChannelUp), True, 4, (16, None, True)),
            (new("+14155550002", "brief"), None, (ChannelUp,), True, 4, (16, None, False)),
            (new("+14155550002"), (ChannelUp, 16), (ChannelUp,), True, 4, (16, None, False)),
            (new("+14155550003"), (ChannelRinging, 16), (ChannelRinging,), False, 0, (16, None, False)),
            (new("+14155550003", seconds=1), None, (ChannelRinging,), False, 3, (19, None, False)),
            (new("+14155550017"), None, (), False, 0, (17, 486, True)),
            (new("+14155550021"), None, (), False, 0, (21, 403, True)),
            (new("+14155550034"), None, (), False, 0, (34, 503, True)),
            (new("+14155559999"), None, (), False, 0, (1, 404, True)),
        ]
        async with asyncio.TaskGroup() as group:
            for call, ending, states, answered, reason, end in cases:
                doing = group.create_task(whole(call) if ending is None else after(call, *ending))
                group.create_task(expect(call, doing, *states, answered=answered, reason=reason, end=end))

        # Where there is no endpoint there is no channel, and so nothing but this.
        lost = replace(new(""), dial="PJSIP/+14155550002@nowhere")
        await ami.originate(lost)
        assert await calls.has(lost, OriginateEnded) == OriginateEnded(lost.channel, answered=False, reason=0)
        with pytest.raises(AmiRefusedError, match="Extension does not exist"):
            await ami.originate(new("+14155550002", "nowhere"))
        assert await ami.channels() == []


async def test_a_live_channel() -> None:
    async with asterisks() as (pbx, _, url), calling(url) as calls:
        ami = calls.ami
        call = replace(calls.new("+14155550002"), variables={"TRUNX_CALL": "it", "TIMEOUT(absolute)": "60"})
        await ami.originate(call)
        await calls.has(call, ChannelUp)
        (channel,) = await ami.channels()
        assert (channel.channel, channel.up) == (call.channel, True)
        assert channel.name.startswith("PJSIP/trunk-")
        assert await ami.get_variable(call.channel, "TRUNX_CALL") == "it"
        await ami.set_variable(call.channel, "TRUNX_CALL", "other")
        assert await ami.get_variable(call.channel, "TRUNX_CALL") == "other"
        assert await ami.get_variable(call.channel, "NOTHING") == ""
        # A channel's id cannot be given twice: the second dial fails, and it is the same id that is told so.
        again = len(calls.told[call.channel])
        await ami.originate(call)
        async with asyncio.timeout(5):
            while len(calls.told[call.channel]) == again:
                await ami.channels()
        assert calls.told[call.channel][-1] == OriginateEnded(call.channel, answered=False, reason=0)
        assert len(await ami.channels()) == 1

        await ami.redirect(call.channel, "trunx-outbound", "brief")
        assert await calls.has(call, ChannelEnded) == ChannelEnded(call.channel, 16, None, by_far_end=False)
        assert not await ami.hangup(call.channel)
        for gone in (
            ami.redirect(call.channel, "trunx-outbound", "s"),
            ami.set_variable(call.channel, "A", "b"),
            ami.get_variable(call.channel, "A"),
        ):
            with pytest.raises(NoSuchChannelError):
                await gone
        assert "exited non-zero" in pbx.log


async def test_a_tone_played_leaves_the_connection_as_it_is() -> None:
    """PlayDTMF's reply ("DTMF successfully queued") ended the library's connection."""
    async with asterisks() as (pbx, _, url), calling(url) as calls:
        call = calls.new("+14155550002")
        await calls.ami.originate(call)
        await calls.has(call, ChannelUp)
        link = Link(lambda _: None)
        await link.connect("127.0.0.1", pbx.ports.ami, "least", "least-secret", 5)
        fields = {"Channel": call.channel, "Digit": "5", "Duration": "100"}
        (reply,) = await link.ask("PlayDTMF", fields, seconds=5)
        assert reply["Message"] == "DTMF successfully queued"
        await link.ask("Ping", {}, seconds=5)
        link.close()


async def test_any_text_on_one_line_arrives_as_it_is_and_nothing_else() -> None:
    async with asterisks() as (pbx, _, url), calling(url) as calls:
        ami = calls.ami
        loop = asyncio.get_running_loop()
        line = st.text(
            st.one_of(
                st.sampled_from("\\\",;&|${}()[]<>=:'%#`~ \u2028\u0085\u00a0Zë"),
                st.characters(exclude_categories=["Cs"], exclude_characters="\x7f", min_codepoint=32),
            ),
            max_size=60,
        )

        async def arrives(name: str, value: str) -> None:
            variables = {"A": value, "B": "kept"}
            call = replace(calls.new("+14155550002"), from_name=name, variables=variables)
            with pbx.ami.watch("Newchannel") as made:
                await ami.originate(call)
                await calls.has(call, ChannelUp)
                one = call.channel
                assert await ami.get_variable(one, "A") == value
                assert await ami.get_variable(one, "B") == "kept"
                assert await ami.get_variable(one, "CALLERID(num)") == FROM
                assert await ami.get_variable(one, "CALLERID(name)") == name
                await ami.set_variable(one, "C", "." + value)
                assert await ami.get_variable(one, "C") == "." + value
                assert [channel.channel for channel in await ami.channels()] == [one]
                assert await ami.hangup(one)
                await calls.has(call, ChannelEnded)
            assert [event["Uniqueid"] for event in made.seen] == [one]

        @settings(max_examples=100, deadline=None)
        @given(line, line)
        def holds(name: str, value: str) -> None:
            asyncio.run_coroutine_threadsafe(arrives(name, value), loop).result(10)

        await asyncio.to_thread(holds)

        bad = st.sampled_from(
            ["\r", "\n", "\0", ",", '"', "'", ";", "&", "|", "${A}", "\r\nAction: Originate"]
        )
        where = st.sampled_from(["channel", "dial", "context", "exten", "from_number", "variables"])

        @settings(max_examples=100, deadline=None)
        @given(where, bad, st.text(max_size=5))
        def refused(field: str, harm: str, rest: str) -> None:
            whole = calls.new("+14155550002")
            value = f"PJSIP/+14155550002@trunk{harm}{rest}" if field == "dial" else f"s{harm}{rest}"
            wanted = replace(whole, **{field: {value: "x"} if field == "variables" else value})  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="Asterisk"):
                asyncio.run_coroutine_threadsafe(ami.originate(wanted), loop).result(10)

        with pbx.ami.watch("Newchannel") as made:
            await asyncio.to_thread(refused)
            await pbx.ami.action("Ping")
        assert made.seen == []


async def test_the_longest_line_and_no_longer() -> None:
    async with asterisks() as (_, _, url), calling(url) as calls:
        longest = "x" * (1_000 - len("Variable: A="))
        call = replace(calls.new("+14155550002"), variables={"A": longest})
        await calls.ami.originate(call)
        await calls.has(call, ChannelUp)
        assert await calls.ami.get_variable(call.channel, "A") == longest
        with pytest.raises(ValueError, match="too long for Asterisk"):
            await calls.ami.originate(replace(call, variables={"A": longest + "x"}))


async def test_asterisk_restarts_and_a_login_is_refused() -> None:
    async with asterisks() as (pbx, _, url), Ami(url) as ami:
        facts: list[Fact] = []

        async def until(kind: type[Fact]) -> None:
            async with asyncio.timeout(20):
                while not (facts and isinstance(facts[-1], kind)):
                    facts.append(await anext(ami.facts))

        await until(LinkUp)
        await ami.originate(Originate("one", "PJSIP/+14155550002@trunk", "trunx-outbound", "s", 5, FROM))
        await until(ChannelUp)
        await pbx.stop()
        await until(LinkDown)
        with pytest.raises(UnavailableError):
            await ami.channels()
        assert (await ami.state()).state == "degraded"
        await pbx.start()
        await until(LinkUp)
        assert await ami.channels() == []
        await pbx.kill()
        await until(LinkDown)
        await pbx.start()
        await until(LinkUp)
        assert (await ami.state()).state == "ok"

        async with Ami(url.replace("least-secret", "another")) as stranger:
            with pytest.raises(LoginRefusedError, match=r"TRUNX_AMI_URL: .*Authentication failed") as refused:
                await stranger.wait_connected(5)
            assert "another" not in str(refused.value)
