"""Calls placed over HTTP: what Asterisk is told, what the gate refuses, and that nobody is called twice."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers.ami_stub import Block
from tests.web.house import Client, House, new_did, serving
from tests.web.placing import placing
from trunx.adapters.cache.valkey import open_valkey
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.database import Database
from trunx.domain.gate import Capacity, Hours, Limits
from trunx.web.application import create_application
from trunx.web.outbound import REFUSALS

TO = "+14155552671"


@pytest_asyncio.fixture(loop_scope="session")
async def bea(house: House) -> Client:
    """A user with an account of her own, so that nobody else's calls count."""
    return await house.client("Bea")


async def owned(client: Client) -> str:
    did = new_did()
    assert (await client.post("/dids", {"did": did})).status == 201
    return did


def orders(house: House, number: str = TO) -> list[Block]:
    """What Asterisk was told to dial."""
    return [
        block
        for block in house.asterisk.named("Originate")
        if block["Channel"] == [f"PJSIP/{number}@carrier"]
    ]


async def limit(house: House, client: Client, limits: Limits) -> None:
    async with Database.open(f"sqlite:///{house.folder}/trunx.db") as database:
        await AccountLimits(database).put(client.account, limits)


async def test_a_plain_call(house: House, bea: Client) -> None:
    did = await owned(bea)
    got = await bea.post("/api/voice", {"from": did, "to": TO})
    call = got.body["id"]
    assert (got.status, got.body) == (
        201,
        {"id": call, "callId": "CA" + call.replace("-", ""), "status": "initiated"},
    )
    order = await house.asterisk.order(call)
    del order["ActionID"]
    assert order == {
        "Action": ["Originate"],
        "Channel": [f"PJSIP/{TO}@carrier"],
        "ChannelId": [call],
        "Context": ["trunx-outbound"],
        "Exten": ["placed"],
        "Priority": ["1"],
        "Timeout": ["60000"],
        "Async": ["true"],
        "CallerID": [f'"" <{did}>'],
        "Variable": ["TRUNX_MAX_SECONDS=14401"],
    }
    row = (await bea.get(f"/api/voice/{call}")).body
    assert (row["provider"], row["direction"], row["status"]) == ("carrier", "outbound", "initiated")
    assert (row["ringingAt"], row["metadata"]) == (None, {})
    why = (await bea.get(f"/api/voice/{call}/why")).body["judgements"]
    assert [judgement["when"] for judgement in why] == ["accept", "dial"]
    assert [verdict["rule"] for verdict in why[0]["verdicts"]][:2] == ["suppression", "from"]
    assert why[1]["verdicts"][0]["code"] == "allowed"
    assert (await bea.delete(f"/api/voice/{call}")).body == {"ended": True}
    row = (await bea.get(f"/api/voice/{call}")).body
    assert (row["status"], row["endReason"]) == ("failed", "canceled")
    assert (await bea.delete(f"/api/voice/{call}")).body == {"ended": True}
    assert (await (await house.client("Cleo")).delete(f"/api/voice/{call}")).code == "call-not-found"


async def test_all_that_can_be_asked_for(house: House, bea: Client) -> None:
    did, other = await owned(bea), "+14155552672"
    body = {
        "from": did,
        "to": "(415) 555-2672",
        "metadata": {"campaign": 'spring; ${EXTEN} & "x"|y,z\n', "n": "1"},
        "maxDuration": "300s",
        "timeout": 600,
        "sendDigits": "ww12*#",
        "machineDetection": True,
        "record": True,
        "hold": "default",
        "queue": True,
    }
    call = (await bea.post("/api/voice", body)).body["id"]
    order = await house.asterisk.order(call)
    assert (order["Channel"], order["Timeout"]) == ([f"PJSIP/{other}@carrier"], ["600000"])
    assert order["Variable"] == ["TRUNX_MAX_SECONDS=301", "TRUNX_AMD=1", "TRUNX_RECORD=1"]
    await bea.post("/api/voice", body | {"to": TO, "metadata": {"campaign": "autumn"}, "maxDuration": 300})
    found = (await bea.get("/api/voice?metadata=n:1")).body["calls"]
    assert [(one["id"], one["metadata"]) for one in found] == [(call, body["metadata"])]
    assert (await bea.get("/api/voice?metadata=campaign:autumn")).body["count"] == 1
    assert (await bea.get("/api/voice?metadata=campaign:winter")).body["count"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("to", f"+1415555{harm}2671")
            for harm in ("\n", "\r\nAction: x", ",", "&", "|", "${A}", '"', ";", "@")
        ),
        *(("from", f"+1415555{harm}2671") for harm in ("\n", ">", "<", "&")),
        *(("sendDigits", f"1{harm}2") for harm in ("\n", ",", "|", "${", "&", " ")),
        *(("hold", f"default{harm}") for harm in ("\n", ",", '"', "${A}", "/../x")),
        *(("maxDuration", value) for value in ("0s", "1h", "-1", "300s\n", 0, 86_401, 1.5)),
        *(("timeout", value) for value in (0, 601, "601s")),
        ("metadata", {"a": 1}),
        ("metadata", {"a b": "x"}),
        ("metadata", {"a": {"b": "c"}}),
        ("metadata", {f"n{number}": "x" for number in range(51)}),
        ("queueSeconds", 3_601),
        ("surprise", 1),
    ],
)
async def test_what_is_refused_at_the_door(house: House, bea: Client, field: str, value: object) -> None:
    did = await owned(bea)
    got = await bea.post("/api/voice", {"from": did, "to": TO, field: value})
    assert (got.status, got.code) == (422, "invalid-body")
    assert got.pointers[0].startswith(f"/{field}")
    assert not house.asterisk.dialled_by(did)


async def test_any_text_in_any_field_is_refused_or_does_no_harm(house: House, bea: Client) -> None:
    """Whatever stands in a field, Asterisk is told of no other channel, place or action."""
    did = await owned(bea)
    await limit(house, bea, Limits(attempts_per_day=10_000, capacity=Capacity(10_000, 10_000)))
    loop = asyncio.get_running_loop()
    text = st.text(
        st.one_of(st.sampled_from("\r\n\0,\"';&|${}()<>@/\\ :=+0123456789wW*#s"), st.characters()),
        max_size=30,
    )
    fields = st.sampled_from(["from", "to", "sendDigits", "hold", "maxDuration", "ivr", "metadata"])

    async def harmless(field: str, value: str) -> None:
        body: dict[str, object] = {
            "from": did,
            "to": TO,
            field: {"a": value} if field == "metadata" else value,
        }
        got = await bea.post("/api/voice", body)
        assert got.status in (201, 403, 422), got
        if got.status == 201:
            order = await house.asterisk.order(got.body["id"])
            assert order.keys() == {
                *("Action", "ActionID", "Channel", "ChannelId", "Context", "Exten", "Priority"),
                *("Timeout", "Async", "CallerID", "Variable"),
            }
            assert all(len(values) == 1 for values in order.values())
            assert order["Context"] == ["trunx-outbound"]
            assert order["CallerID"] == [f'"" <{did}>']

    @settings(max_examples=150, deadline=None)
    @given(fields, text)
    def holds(field: str, value: str) -> None:
        asyncio.run_coroutine_threadsafe(harmless(field, value), loop).result(10)

    await asyncio.to_thread(holds)
    told = {block["Action"][0] for block in house.asterisk.received}
    # The last two are of other tests' calls: no text here can spell them.
    assert told <= {"Login", "Ping", "Originate", "Hangup", "Getvar", "PlayDTMF"}


async def test_what_the_gate_refuses(house: House, bea: Client) -> None:
    did = await owned(bea)
    await bea.post("/suppression", {"number": TO})
    refused = {
        "suppressed": (did, TO),
        "from-not-owned": ("+14155559876", "+14155552673"),
        "premium-number": (did, "+19005551234"),
        "emergency-number": (did, "911"),
        "short-number": (did, "40404"),
        "country-not-allowed": (did, "+442079460018"),
    }
    for code, (caller, callee) in refused.items():
        got = await bea.post("/api/voice", {"from": caller, "to": callee})
        assert (got.status, got.code, got.body["title"] != "") == (403, code, True), got
        assert got.body["rule"]
        assert got.body["inputs"]
        seen = await bea.post("/api/voice/preview", {"from": caller, "to": callee})
        assert (seen.status, seen.body["allowed"], seen.body["code"]) == (200, False, code)
        assert seen.body["rule"] == got.body["rule"]
    seen = await bea.post("/api/voice/preview", {"from": did, "to": "+14155552673"})
    assert (seen.body["allowed"], seen.body["code"]) == (True, "allowed")
    assert len(seen.body["verdicts"]) == 7
    assert not house.asterisk.dialled_by(did)
    assert (await bea.get("/api/voice")).body["count"] == 0


async def test_what_depends_on_the_time_and_on_the_numbering_plan(house: House, bea: Client) -> None:
    did = await owned(bea)
    there = datetime.now(ZoneInfo("America/Los_Angeles"))
    night = Hours(time(3), time(4)) if there.hour >= 12 else Hours(time(22), time(23))
    await limit(house, bea, Limits(hours=night))
    got = await bea.post("/api/voice", {"from": did, "to": TO})
    assert (got.status, got.code, got.body["rule"]) == (403, "outside-hours", "hours")
    seen = await bea.post("/api/voice/preview", {"from": did, "to": TO})
    assert (seen.body["allowed"], seen.body["code"]) == (False, "outside-hours")
    assert "America/Los_Angeles" in str(seen.body)

    await limit(house, bea, Limits())
    got = await bea.post("/api/voice", {"from": did, "to": "+14151552671"})
    assert (got.status, got.code, got.body["rule"]) == (403, "number-invalid", "number")

    await limit(house, bea, Limits(capacity=Capacity(per_second=1, at_once=50)))
    assert (await bea.post("/api/voice", {"from": did, "to": TO})).status == 201
    got = await bea.post("/api/voice", {"from": did, "to": TO})
    assert (got.status, got.code, got.body["rule"]) == (429, "too-many-calls-per-second", "capacity")
    assert got.headers["Retry-After"] in ("1", "2")


async def test_what_is_counted(bea: Client) -> None:
    async def counted() -> list[float]:
        text = (await bea.get("/metrics")).body
        names = (
            "trunx_placed_calls_total",
            'trunx_placed_calls_refused_total{code="suppressed"}',
            'trunx_placed_calls_ended_total{reason="canceled"}',
        )
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines())
        return [float(lines.get(name, 0)) for name in names]

    did, before = await owned(bea), await counted()
    call = (await bea.post("/api/voice", {"from": did, "to": TO})).body["id"]
    await bea.delete(f"/api/voice/{call}")
    await bea.post("/suppression", {"number": TO})
    assert (await bea.post("/api/voice", {"from": did, "to": TO})).status == 403
    assert await counted() == [count + 1 for count in before]


def test_every_code_of_the_gate_is_asked_for_here() -> None:
    """In this file, with its status."""
    asked = Path(__file__).read_text("utf-8")
    assert [code for code in REFUSALS if f'"{code}"' not in asked] == []


async def test_how_much_an_account_may_dial(house: House, bea: Client) -> None:
    did = await owned(bea)
    await limit(
        house, bea, Limits(attempts_per_day=2, capacity=Capacity(per_second=100, at_once=3, for_inbound=1))
    )
    body = {"from": did, "to": "+14155552674"}
    calls = [(await bea.post("/api/voice", body)).body["id"] for _ in range(2)]
    for call in calls:
        await house.asterisk.order(call)
    got = await bea.post("/api/voice", body)
    assert (got.status, got.code, got.body["inputs"]["attempts"]) == (429, "too-many-attempts", 2)
    body["to"] = "+14155552675"
    got = await bea.post("/api/voice", body)
    assert (got.status, got.code, got.body["inputs"]["scope"]) == (429, "too-many-calls", "account")
    assert "Retry-After" in got.headers
    await bea.delete(f"/api/voice/{calls[0]}")  # gives its place back
    assert (await bea.post("/api/voice", body)).status == 201


async def test_one_request_one_call(house: House, bea: Client) -> None:
    """A key finds its call also when the answer to it was never kept, as after a crash."""
    body = {"from": await owned(bea), "to": "+14155552676"}
    first = await bea.post("/api/voice", body, Idempotency_Key="once")
    again = await bea.post("/api/voice", body, Idempotency_Key="once")
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
    with closing(sqlite3.connect(house.folder / "trunx.db")) as connection, connection:
        connection.execute("DELETE FROM idempotency WHERE account = ?", (bea.account,))
    crashed = await bea.post("/api/voice", body, Idempotency_Key="once")
    assert (crashed.status, crashed.body) == (201, first.body)
    other = await bea.post("/api/voice", body, Idempotency_Key="twice")
    await house.asterisk.order(other.body["id"])
    assert [order["ChannelId"] for order in orders(house, "+14155552676")] == [
        [first.body["id"]],
        [other.body["id"]],
    ]


async def test_without_an_asterisk(house: House, bea: Client) -> None:
    did, logins = await owned(bea), len(house.asterisk.named("Login"))
    await house.asterisk.end()
    body = {"from": did, "to": "+14155552677"}

    async def refused() -> bool:
        got = await bea.post("/api/voice", body)
        return got.status == 503 and got.code == "ami-unavailable" and got.headers["Retry-After"] == "5"

    assert await refused()
    got = await bea.post("/api/voice", body | {"queue": True})
    assert got.status == 201
    call = got.body["id"]
    assert (await bea.get(f"/api/voice/{call}")).body["status"] == "initiated"
    assert (await bea.delete(f"/api/voice/{call}")).body == {"ended": True}
    assert (await bea.get(f"/api/voice/{call}")).body["endReason"] == "canceled"
    assert not house.asterisk.dialled_by(did)
    await house.asterisk.connected(logins + 1)
    async with asyncio.timeout(15):
        while await refused():
            pass


async def test_where_no_calls_are_placed(house: House, bea: Client, tmp_path: Path) -> None:
    async with (
        open_valkey(tmp_path / "run") as valkey,
        Database.open(f"sqlite:///{house.folder}/trunx.db") as database,
    ):
        ports = replace(house.ports, outbound=placing(database, valkey, None))
        async with serving(create_application(ports)) as url:
            client = Client(house.session, url, bea.account, bea.secret)
            got = await client.post("/api/voice", {"from": await owned(bea), "to": TO})
            assert (got.status, got.code) == (503, "ami-off")


async def test_an_ivr_that_is_not_there(house: House, bea: Client) -> None:
    did = await owned(bea)
    got = await bea.post("/api/voice", {"from": did, "to": TO, "ivr": "no-such"})
    assert (got.status, got.code) == (422, "ivr-unknown")
    assert not house.asterisk.dialled_by(did)
