"""`trunx serve` with Ultravox: what it says of its settings, and what it puts right when it starts again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Serving, environment, run, serving
from tests.pages import KEY
from tests.peers.ultravox import UltravoxPeer
from tests.secrecy import SIP_PASSWORD, SIP_USER
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.adapters.store.talks import Talks
from trunx.adapters.ultravox.calls import UltravoxCalls
from trunx.adapters.ultravox.client import Client
from trunx.adapters.ultravox.reach import SipReach
from trunx.domain.agent import PromptBrief
from trunx.domain.call import new_call_id
from trunx.domain.talk import Talk, TalkRequest, TalkState, joined, new_token
from trunx.engine.settling import moment

SIP = f"sip:{SIP_USER}:{SIP_PASSWORD}@pbx.example.com:5060;transport=udp"


@pytest.fixture
async def peer() -> AsyncIterator[UltravoxPeer]:
    async with UltravoxPeer.running() as peer:
        yield peer


async def agents(server: Serving) -> dict[str, Any]:
    """What `/readyz` says of AI agents; the vendor lives in our event loop."""
    status, ready = await asyncio.to_thread(server.get, "/readyz", KEY)
    assert (status, ready["status"]) == (200, "ready"), "calls go on without an agent"
    (part,) = (part for part in ready["parts"] if part["name"] == "agents")
    return dict(part)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("ultravox_sip", f"{SIP_USER}:{SIP_PASSWORD}@pbx", "TRUNX_ULTRAVOX_SIP"),
        ("ultravox_sip", f"sip:{SIP_USER}:{SIP_PASSWORD}@pbx;transport=pigeon", "TRUNX_ULTRAVOX_SIP"),
        ("ultravox_url", "ultravox", "TRUNX_ULTRAVOX_URL"),
        ("ultravox_calls", "0", "TRUNX_ULTRAVOX_CALLS"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, name: str, value: str, named: str) -> None:
    settings = {"ultravox_api_key": "some.key", name: value}
    refused = run(tmp_path, "serve", env=environment(tmp_path, **settings))
    assert refused.returncode == 2
    assert named in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert SIP_PASSWORD not in refused.stderr


async def test_what_is_missing_is_named(tmp_path: Path, peer: UltravoxPeer) -> None:
    ways = {"ultravox_api_key": peer.key, "ultravox_url": peer.url, "ultravox_sip": SIP}
    for missing, named in (
        ("ultravox_api_key", "ULTRAVOX_API_KEY"),
        ("ultravox_sip", "TRUNX_ULTRAVOX_SIP"),
        ("", ""),
    ):
        given = {name: value for name, value in ways.items() if name != missing}
        with serving(tmp_path, api_key=KEY, **given) as server:
            part = await agents(server)
            assert part["state"] == ("off" if missing else "ok")
            assert named in part["detail"]
    peer.key = "another.key"
    with serving(tmp_path, api_key=KEY, **ways) as server:
        assert (await agents(server))["state"] == "degraded"


async def test_a_talk_that_outlived_our_process(tmp_path: Path, peer: UltravoxPeer) -> None:
    """Killed in the middle of a talk, started again: the row is right, and nothing was asked for twice."""
    ways = {"ultravox_api_key": peer.key, "ultravox_url": peer.url, "ultravox_sip": SIP}
    with serving(tmp_path, api_key=KEY, **ways):
        pass  # it ends as a crash ends it
    async with Database.open(f"sqlite:///{tmp_path}/data/trunx.db") as database:
        account = (await Accounts(database).list_accounts())[0].id
        talks = Talks(database)
        talk = Talk(
            *(new_call_id(), new_call_id(), account, None, new_token()), TalkState.WANTED, moment(), 300
        )
        await talks.add(talk)
        async with Client.open(peer.key, peer.url) as client:
            vendor = UltravoxCalls(client, SipReach.of(SIP))
            brief = PromptBrief("Be kind.")
            made = await vendor.create_call(TalkRequest(talk.id, talk.call, talk.token, brief, {}, {}, 300))
        await peer.join(made.id)
        await talks.settle(talk.id, joined(moment()))
        peer.say(made.id, "AGENT", "Goodbye.")
        await peer.end(made.id)
        async with database.writing() as connection:  # as long ago as it takes to start again
            await connection.exec_driver_sql("UPDATE talks SET due_at = 0")
    with serving(tmp_path, api_key=KEY, **ways):
        async with Database.open(f"sqlite:///{tmp_path}/data/trunx.db") as database, asyncio.timeout(15):
            while not (known := await Talks(database).get(talk.id)).settled:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert (known.state, known.vendor_call, known.end_reason) == (TalkState.ENDED, made.id, "hangup")
    assert known.transcript == "Agent: Goodbye."
    assert len(peer.calls) == 1
