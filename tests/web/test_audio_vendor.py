"""Speech by the vendor, as users of the API meet it: what is asked for, what is paid for, and every fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.peers.elevenlabs import RACHEL, SARAH, ElevenLabsPeer
from tests.peers.elevenlabs_troubles import Trouble
from tests.web.house import Client, House, in_one_task, open_house
from trunx.adapters.voices.answers import _CODES
from trunx.web.audio_problems import SPEECH

TEXT = "Thank you for calling. Please hold while we connect you."


@dataclass(frozen=True, slots=True)
class Vendor:
    """A house whose voice is the vendor's."""

    house: House
    peer: ElevenLabsPeer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def inside(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Vendor]:
    @asynccontextmanager
    async def opening() -> AsyncIterator[Vendor]:
        async with ElevenLabsPeer.running() as peer:
            folder = tmp_path_factory.mktemp("vendor")
            async with open_house(folder, vendor=peer.url) as house:
                yield Vendor(house, peer)

    async with in_one_task(opening()) as vendor:
        yield vendor


@pytest_asyncio.fixture(loop_scope="session")
async def peer(inside: Vendor) -> ElevenLabsPeer:
    """The vendor, well. A stalled request counts there until the end."""
    peer = inside.peer
    peer.always(None)
    peer.gate.set()
    peer.at_once = 1_000
    peer.speeches.clear()
    return peer


@pytest_asyncio.fixture(loop_scope="session")
async def cyd(inside: Vendor) -> Client:
    """A user of it."""
    return await inside.house.client("Cyd")


async def test_the_contracts_request(peer: ElevenLabsPeer, cyd: Client) -> None:
    got = await cyd.post("/audio", {"name": "Welcome Greeting", "text": TEXT, "voice": SARAH})
    assert got.status == 201, got.body
    assert (got.body["provider"], got.body["voice"], got.body["status"]) == ("elevenlabs", SARAH, "ready")
    [asked] = peer.speeches
    assert (asked.voice, asked.text) == (SARAH, TEXT)
    assert (await cyd.get(f"/audio/{got.body['id']}/file")).status == 200


async def test_a_text_is_paid_for_once(peer: ElevenLabsPeer, inside: Vendor, cyd: Client) -> None:
    body = {"name": "Once", "text": "This is said once.", "voice": "rachel"}
    said = [await cyd.post("/audio", body), await cyd.post("/audio", {**body, "name": "Twice"})]
    said.append(await (await inside.house.client("Dan")).post("/audio", body))
    assert [got.status for got in said] == [201, 201, 201]
    assert len({got.body["id"] for got in said}) == 3
    assert {got.body["voice"] for got in said} == {RACHEL}
    assert [asked.voice for asked in peer.speeches] == [RACHEL]
    await cyd.post("/audio", {**body, "voice": SARAH})
    assert [asked.voice for asked in peer.speeches] == [RACHEL, SARAH]


async def test_equal_requests_at_once_are_one_to_the_vendor(peer: ElevenLabsPeer, cyd: Client) -> None:
    peer.gate.clear()
    body = {"name": "Fifty", "text": "Fifty want to hear this."}
    asking = [asyncio.create_task(cyd.post("/audio", body)) for _ in range(50)]
    await peer.asked(1)
    peer.gate.set()
    said = await asyncio.gather(*asking)
    assert {got.status for got in said} == {201}
    assert len({got.body["id"] for got in said}) == 50
    assert len({got.body["durationSeconds"] for got in said}) == 1
    assert len(peer.speeches) == 1
    assert (await cyd.get("/audio?limit=200")).body["count"] == 50


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (Trouble.UNUSUAL_ACTIVITY, "502 voice-account-blocked"),
        (Trouble.PAYMENT_ISSUE, "502 voice-payment-due"),
        (Trouble.BUSY, "503 voice-busy"),
        (Trouble.RATE_LIMIT, "503 voice-rate-limited"),
        (Trouble.CONCURRENCY, "503 voice-rate-limited"),
        (Trouble.ERROR_500, "502 voice-provider-error"),
        (Trouble.HTML_502, "502 voice-provider-error"),
        (Trouble.FORBIDDEN_403, "502 voice-refused"),
        (Trouble.VALIDATION_422, "502 voice-refused"),
        (Trouble.TEXT_TOO_LONG, "422 voice-text-too-long"),
        (Trouble.VOICE_NOT_FOUND_400, "502 default-voice-not-found"),
        (Trouble.VOICE_NOT_FOUND_401, "502 default-voice-not-found"),
        (Trouble.DROPPED, "503 voice-unreachable"),
        (Trouble.STALL_BEFORE, "504 voice-timeout"),
        (Trouble.STALL_AMID, "504 voice-timeout"),
        (Trouble.CUT_OFF, "502 voice-truncated"),
        (Trouble.TOO_SHORT, "502 voice-truncated"),
        (Trouble.EMPTY, "502 voice-empty"),
        (Trouble.NO_SAMPLES, "502 voice-empty"),
        (Trouble.JSON_200, "502 voice-provider-error"),
        (Trouble.QUOTA_200, "502 voice-quota-exceeded"),
        (Trouble.HTML_200, "502 voice-provider-error"),
    ],
)
async def test_each_fault_has_its_code_and_leaves_nothing(
    peer: ElevenLabsPeer, inside: Vendor, cyd: Client, trouble: Trouble, told: str
) -> None:
    peer.always(trouble)
    body = {
        "name": "Fault",
        "text": f"This meets the fault {trouble.name.lower().replace('_', ' ')} on its way.",
    }
    got = await cyd.post("/audio", body)
    assert f"{got.status} {got.code}" == told, got.body
    assert ("Retry-After" in got.headers) == (got.status == 503)
    assert (await cyd.get("/audio")).body["count"] == 0
    assert inside.house.incoming == []
    # Nothing of it is kept: when the vendor is well again, it speaks.
    peer.always(None)
    assert (await cyd.post("/audio", body)).status == 201


async def test_a_used_up_account_is_no_bad_key(peer: ElevenLabsPeer, cyd: Client) -> None:
    left, peer.credits_left = peer.credits_left, 3
    got = await cyd.post("/audio", {"name": "Poor", "text": "There is no money for this."})
    peer.credits_left = left
    assert (got.status, got.code) == (502, "voice-quota-exceeded")
    key, peer.key = peer.key, "sk_another"
    got = await cyd.post("/audio", {"name": "Key", "text": "There is no key for this."})
    peer.key = key
    assert (got.status, got.code) == (502, "voice-key-invalid")
    assert key not in str(got.body)


async def test_a_voice_that_was_asked_for_and_is_gone_is_the_requests_fault(
    peer: ElevenLabsPeer, cyd: Client
) -> None:
    for voice in ("X" * 20, "nobody"):
        got = await cyd.post("/audio", {"name": "Gone", "text": "Who says this?", "voice": voice})
        assert (got.status, got.code, got.pointers) == (422, "voice-not-found", ["/voice"])
    assert {asked.voice for asked in peer.speeches} <= {"X" * 20}


async def test_a_node_that_cannot_speak_stays_as_it_was(peer: ElevenLabsPeer, cyd: Client) -> None:
    await cyd.post("/ivr", {"id": "menu", "nodes": {"bye": {"action": "hangup", "audio": "bye.wav"}}})
    peer.always(Trouble.ERROR_500)
    got = await cyd.post("/ivr/menu/audio", {"node": "bye", "text": "This goes wrong."})
    assert (got.status, got.code) == (502, "voice-provider-error")
    ivr = (await cyd.get("/ivr/menu")).body
    assert (ivr["version"], ivr["nodes"]["bye"]["audio"]) == (1, "bye.wav")
    assert (await cyd.get("/audio")).body["count"] == 0


async def test_a_fault_of_the_vendor_is_not_kept_under_a_key(peer: ElevenLabsPeer, cyd: Client) -> None:
    body = {"name": "Key", "text": "This is tried again."}
    peer.always(Trouble.ERROR_503)
    assert (await cyd.post("/audio", body, Idempotency_Key="k")).status == 502
    peer.always(None)
    assert (await cyd.post("/audio", body, Idempotency_Key="k")).status == 201


async def test_what_takes_long_goes_on(peer: ElevenLabsPeer, inside: Vendor, cyd: Client) -> None:
    peer.gate.clear()
    library = inside.house.ports.library
    begun = await library.speak(cyd.account, name="Slow", text="This takes a while.", voice=None, patience=0)
    path = f"/audio/{begun.id}"
    now = (await cyd.get(path)).body
    assert (now["status"], now["durationSeconds"], now["staged"]) == ("processing", None, [])
    assert (await cyd.get(path + "/file")).code == "audio-processing"
    peer.gate.set()
    async with asyncio.timeout(5):
        while (then := (await cyd.get(path)).body)["status"] == "processing":
            pass
    assert (then["status"], then["createdAt"]) == ("ready", now["createdAt"])
    assert (await cyd.get(path + "/file")).status == 200


async def test_what_fails_late_says_why(peer: ElevenLabsPeer, inside: Vendor, cyd: Client) -> None:
    peer.always(Trouble.FORBIDDEN_403)
    library = inside.house.ports.library
    begun = await library.speak(cyd.account, name="Late", text="This fails late.", voice=None, patience=0)
    async with asyncio.timeout(5):
        while (then := (await cyd.get(f"/audio/{begun.id}")).body)["status"] == "processing":
            pass
    assert (then["status"], then["reason"]["code"]) == ("failed", "voice-refused")
    got = await cyd.get(f"/audio/{begun.id}/file")
    assert (got.status, got.code) == (409, "audio-failed")
    assert "voice-refused" in got.body["detail"]


def test_every_code_of_the_vendor_has_its_kind() -> None:
    codes = {kind.code for kind in SPEECH}
    assert set(_CODES) <= codes
