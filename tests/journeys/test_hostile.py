"""Hostile text in every field of a call that we are asked to place, on a real Asterisk.

What is refused names its field; what is accepted is one call, with the number, caller and commands that were
meant. Nothing that stands in a field is ever evaluated, and the connection to Asterisk survives all of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.journeys.scene import Asterisks, Scene, opened
from tests.journeys.server import KEY, eventually
from tests.peers.ami import Watch
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.database import Database
from trunx.domain.gate import Capacity, Limits
from trunx.domain.number import e164

TO = "+14155550012"
CANARY = "HOSTILE"

# Each would leave a trace if anything evaluated it: a channel, a global, an entry that is gone, words in
# Asterisk's log.
_EVIL = [
    *(
        "\n",
        "\r",
        "\r\n",
        "\0",
        '"',
        "'",
        ",",
        ";",
        "&",
        "|",
        "${",
        "}",
        "$[",
        "\\",
        "<",
        ">",
        "=",
        "(",
        ")",
        "@",
    ),
    f"${{DB_DELETE({CANARY}/kept)}}",
    f"${{SHELL(touch {CANARY})}}",
    "${INC(TRUNX_MAX_SECONDS)}",
    f"\r\nVariable: {CANARY}=1",
    f"\r\n\r\nAction: Setvar\r\nVariable: {CANARY}\r\nValue: 1\r\n\r\n",
    "\r\n\r\nAction: Originate\r\nChannel: Local/s@elsewhere\r\nApplication: Wait\r\nData: 1\r\n\r\n",
    f"\n\nAction: DBDel\nFamily: {CANARY}\nKey: kept\n\n",
    *("&PJSIP/+14155550099@trunk", ",b(elsewhere^s^1)", "|s|1", "@dead", f",{CANARY}=1"),
]
evil = st.lists(st.one_of(st.sampled_from(_EVIL), st.text(max_size=4)), min_size=1, max_size=4).map("".join)


def near(*good: str) -> st.SearchStrategy[str]:
    """What begins, ends or is split like something that would be taken."""
    parts = st.tuples(st.sampled_from(["", *good]), evil, st.sampled_from(["", *good]))
    return parts.map("".join)


TEXT = {
    "from": near("+19495550100", "+1949"),
    "to": near(TO, "(415) 555-0012", "911"),
    "sendDigits": near("ww1#", "*"),
    "hold": near("default", "silence"),
    "ivr": near("qualify-business"),
    "timeout": near("5s", "30"),
    "maxDuration": near("300s", "60"),
    "queueSeconds": near("300"),
    "record": near("true"),
    "machineDetection": near("1"),
    "queue": near("false"),
    "metadata": st.dictionaries(near("name", "a.b"), near("value"), min_size=1, max_size=3),
    "surprise": evil,
}
HARMLESS = st.dictionaries(st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True), evil, max_size=5)
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
KEYS = st.lists(
    st.one_of(st.sampled_from([one for one in _EVIL if one.isprintable()]), PRINTABLE), min_size=1
)


@dataclass
class Desk:
    """Who asks for calls, and looks at what Asterisk makes of them."""

    scene: Scene
    did: str
    client: aiohttp.ClientSession
    dialled: Watch
    reached: Watch
    commands: Watch
    count: int = 0
    seen: set[int] = field(default_factory=set)

    async def send(self, body: Mapping[str, Any], **headers: str) -> tuple[int, Any]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Content-Type"] = "application/json"
        async with self.client.post("/api/voice", data=json.dumps(body), headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def tries(self, hostile: Mapping[str, Any]) -> None:
        """A call with these fields is refused for one of them, or is the call that is meant."""
        body = {"from": self.did, "to": TO, **hostile}
        status, answer = await self.send(body)
        self.seen.add(status)
        match status:
            case 201:
                await self.meant(answer["id"], body)
            case 422 if answer["code"] == "invalid-body":
                assert {fault["pointer"].split("/")[1] for fault in answer["errors"]} <= hostile.keys(), (
                    answer
                )
            case 422:
                assert (answer["code"], "ivr" in hostile) == ("ivr-unknown", True), answer
            case 403:
                assert {"from", "to"} & hostile.keys(), answer
                assert answer["rule"] in ("from", "number", "country"), answer
            case _:
                raise AssertionError((status, answer))

    async def meant(self, call: str, body: Mapping[str, Any]) -> None:
        """There is one channel more, and it is this call; then it is ended."""
        self.count += 1
        channel, arrived = await self.dialled.next(), await self.reached.next()
        try:
            assert channel["Uniqueid"] == call
            await self.looked_at(call, body, arrived)
        finally:
            with self.scene.pbx.ami.watch("Hangup", Uniqueid=channel["Uniqueid"]) as over:
                ended = await self.scene.trunx.ask("DELETE", f"/api/voice/{channel['Uniqueid']}")
                await over.next()
        assert ended == (200, {"ended": True})

    async def looked_at(self, call: str, body: Mapping[str, Any], arrived: Mapping[str, str]) -> None:
        ami = self.scene.pbx.ami
        assert (arrived["Exten"], arrived["CallerIDNum"]) == (e164(body["to"]), self.did)

        async def answered() -> bool | None:
            row = await self.scene.trunx.get(f"/api/voice/{call}")
            assert row["endedAt"] is None, row
            return row["status"] == "answered" or None

        await eventually(answered)
        seconds = str(body.get("maxDuration", 14_400)).rstrip("s")
        for name, value in {
            "TRUNX_MAX_SECONDS": str(int(seconds) + 1),
            "TRUNX_AMD": "",
            "TRUNX_RECORD": "",
            CANARY: "",
            "CALLERID(num)": self.did,
            "CALLERID(name)": "",
            "CHANNEL(context)": "trunx-outbound",
            "CHANNEL(exten)": "placed",
        }.items():
            got = await ami.action("Getvar", Channel=call, Variable=name)
            assert got["Value"] == value, (name, got)
        wanted = []
        if "sendDigits" in body:
            wanted.append(f"EXEC SendDTMF {body['sendDigits']}")
        if body.get("hold", "silence") != "silence":
            wanted.append(f"SET MUSIC ON {body['hold']}")

        async def told() -> bool | None:
            given = [
                event["Command"].replace('"', "")
                for event in self.commands.seen
                if event["Uniqueid"] == call and event["Command"].split()[0] in ("EXEC", "SET")
            ]
            assert wanted[: len(given)] == given
            return given == wanted or None

        await eventually(told)

    async def nothing_else(self) -> None:
        """No other channel was made, nothing was evaluated, and Asterisk is still told what to do."""
        ami = self.scene.pbx.ami
        await self.tries({})
        assert len(self.dialled.seen) == len(self.reached.seen) == self.count
        assert "kept" in await ami.command(f"database get {CANARY} kept")
        assert CANARY not in await ami.command("dialplan show globals")
        assert CANARY not in self.scene.pbx.log
        said = [line["event"] for line in self.scene.trunx.log]
        assert said.count("asterisk can be reached") == 1
        assert not [event for event in said if "out of reach" in event or "Asterisk does not take" in event]

    async def all_of(self, examples: Callable[[Callable[[Coroutine[Any, Any, None]], None]], None]) -> None:
        """Runs hypothesis in a thread of its own; what it is given, in this loop."""
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(
            examples, lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(20)
        )


@pytest_asyncio.fixture(loop_scope="session")
async def desk(asterisks: Asterisks, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    pbx, world = asterisks
    config = {"ami_url": pbx.ami_url, "trunk": "trunk", "trunk_calls_per_second": "1000"}
    async with opened(asterisks, tmp_path_factory.mktemp("hostile"), **config) as scene:
        async with Database.open(f"sqlite:///{scene.trunx.database}") as database:
            wide = Limits(attempts_per_day=10_000, capacity=Capacity(per_second=1_000, at_once=50))
            await AccountLimits(database).put(scene.trunx.account, wide)
        did = scene.new_did()
        assert (await scene.trunx.ask("POST", "/dids", {"did": did}))[0] == 201
        await pbx.ami.command(f"database put {CANARY} kept kept")
        async with aiohttp.ClientSession(
            scene.trunx.url, headers={"Authorization": f"Bearer {KEY}"}
        ) as client:
            with (
                pbx.ami.watch("Newchannel") as dialled,
                world.ami.watch("Newchannel", Context="callees") as reached,
                pbx.ami.watch("AGIExecStart") as commands,
            ):
                desk = Desk(scene, did, client, dialled, reached, commands)
                yield desk
                await desk.nothing_else()
        await scene.no_channels()


async def test_a_field_that_could_reach_asterisk(desk: Desk) -> None:
    """One or two fields of a request hold anything at all."""
    fields = st.sets(st.sampled_from(sorted(TEXT)), min_size=1, max_size=2)
    hostile = fields.flatmap(lambda names: st.fixed_dictionaries({name: TEXT[name] for name in names}))

    def holds(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        settings(max_examples=500, deadline=None)(given(hostile)(lambda body: run(desk.tries(body))))()

    await desk.all_of(holds)
    assert {403, 422} <= desk.seen


async def test_what_is_taken_as_it_is(desk: Desk) -> None:
    """Metadata hold any text, a key any that a header can; of the rest, all that is allowed."""
    calls = st.fixed_dictionaries(
        {"metadata": HARMLESS.filter(lambda data: "\0" not in "".join(data.values()))},
        optional={
            "sendDigits": st.text("0123456789ABCD*#w", min_size=1, max_size=3),
            "hold": st.from_regex(r"silence|default|[A-Za-z0-9_-]{1,79}", fullmatch=True),
            "maxDuration": st.integers(60, 86_400).map(lambda seconds: f"{seconds}s"),
            "to": st.sampled_from([TO, "(415) 555-0012", "+1 415-555-0012", "1.415.555.0012"]),
        },
    )

    async def taken(body: Mapping[str, Any], key: str) -> None:
        before = desk.count
        status, answer = await desk.send({"from": desk.did, "to": TO, **body}, Idempotency_Key=key)
        if status == 422:
            assert answer["code"] == "idempotency-key-reused", answer
            return
        if await has_ended(answer["id"]):
            return  # the same request once more
        await desk.meant(answer["id"], {"to": TO, **body})
        assert desk.count == before + 1
        assert (await desk.scene.trunx.get(f"/api/voice/{answer['id']}"))["metadata"] == body["metadata"]

    async def has_ended(call: str) -> bool:
        return (await desk.scene.trunx.get(f"/api/voice/{call}"))["endedAt"] is not None

    def holds(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        tried = given(calls, KEYS.map("".join).filter(lambda key: len(key) < 256))
        settings(max_examples=40, deadline=None)(tried(lambda body, key: run(taken(body, key))))()

    await desk.all_of(holds)
    assert desk.count > 20


async def test_a_name_in_a_path_or_a_query(desk: Desk) -> None:
    """None of them ends, finds or changes anything, while a call goes on."""
    status, answer = await desk.send({"from": desk.did, "to": TO})
    assert status == 201
    call = answer["id"]
    name = near(call, f"{call[:8]}")
    ways = st.sampled_from(
        [("DELETE", ""), ("GET", ""), ("GET", "/events"), ("GET", "/steps"), ("GET", "/why")]
    )
    filters = st.sampled_from(["from", "to", "status", "direction", "since", "until", "metadata", "cursor"])

    async def asked(way: tuple[str, str], name: str, parameter: str) -> None:
        method, rest = way
        path = f"/api/voice/{quote(name, safe='', errors='replace')}{rest}"
        async with desk.client.request(method, path) as got:
            # Aside from what HTTP itself does not take.
            assert got.status in (400, 404), (method, path, await got.text())
        async with desk.client.get("/api/voice", params={parameter: name}) as got:
            answer = await got.json(content_type=None)
            assert got.status in (200, 422), answer
            if got.status == 422:
                assert [fault["parameter"] for fault in answer["errors"]] == [parameter]
            else:
                assert parameter in ("metadata", "from", "to"), answer

    def holds(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        settings(max_examples=200, deadline=None)(
            given(ways, name, filters)(lambda way, name, of: run(asked(way, name, of)))
        )()

    await desk.all_of(holds)
    await desk.meant(call, {"to": TO})
