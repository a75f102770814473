"""`/api/recordings`: lists, files by key and by link, and who may see what."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.house import Client, House
from tests.web.recorded import SECONDS, recorded, tone
from tests.web.test_calls import call
from trunx.adapters.store.database import Database
from trunx.adapters.store.recordings import Secrets
from trunx.adapters.store.tables import now
from trunx.domain import signed_link

MEDIA_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}


def path_of(url: str) -> str:
    """A link, as the house serves it."""
    parts = urlsplit(url)
    assert url.startswith("https://trunx.example.com/api/recordings/")
    return f"{parts.path}?{parts.query}"


async def test_a_recording_as_it_is_shown(house: House, ada: Client) -> None:
    made = await recorded(house, ada, format="wav", channels="dual", trim_silence=True, max_seconds=60)
    got = await ada.get(f"/api/recordings/{made.id}")
    url = got.body.pop("url")
    expires = got.body.pop("expiresAt")
    stopped = got.body.pop("stoppedAt")
    assert got.body == {
        "id": made.id,
        "call": made.call,
        "status": "ready",
        "format": "wav",
        "channels": "dual",
        "trimSilence": True,
        "maxLength": 60,
        "duration": SECONDS,
        "bytes": len(tone("wav")),
        "problem": None,
        "startedAt": got.body["startedAt"],
    }
    assert stopped > got.body["startedAt"]
    assert expires > stopped
    assert f"/api/recordings/{made.id}/file?expires=" in url


@pytest.mark.parametrize(
    ("state", "problem"),
    [("recording", None), ("processing", None), ("failed", "Asterisk did not record: no such channel.")],
)
async def test_one_that_cannot_be_listened_to(
    house: House, ada: Client, state: str, problem: str | None
) -> None:
    made = await recorded(house, ada, state)
    got = (await ada.get(f"/api/recordings/{made.id}")).body
    assert (got["status"], got["url"], got["duration"], got["problem"]) == (state, None, None, problem)
    file = await ada.get(f"/api/recordings/{made.id}/file")
    assert file.status == 409
    assert file.code == ("recording-failed" if state == "failed" else "recording-processing")


async def test_lists_are_narrowed(house: House, ada: Client) -> None:
    start = now() - timedelta(hours=1)
    some = [await recorded(house, ada, "processing", at=start + timedelta(minutes=at)) for at in range(4)]
    newest = [one.id for one in reversed(some)]

    async def listed(query: str) -> list[str]:
        return [one["id"] for one in (await ada.get(f"/api/recordings?{query}")).body["recordings"]]

    first = (await ada.get("/api/recordings?limit=3")).body
    assert ([one["id"] for one in first["recordings"]], first["count"]) == (newest[:3], 3)
    assert await listed(f"limit=3&cursor={first['next']}") == newest[3:]
    assert await listed(f"call={some[1].call}") == [some[1].id]
    moments = [one.started_at.isoformat().replace("+00:00", "Z") for one in some]
    assert await listed(f"since={moments[1]}&until={moments[3]}") == newest[1:3]
    for query in ("call=CA1", "since=yesterday", "limit=0", "cursor=x", "status=ready"):
        assert (await ada.get(f"/api/recordings?{query}")).status == 422


# --- the file


@pytest.mark.parametrize("form", ["mp3", "wav"])
async def test_the_file_with_a_key_and_with_a_link(
    house: House, ada: Client, stranger: Client, form: str
) -> None:
    made = await recorded(house, ada, format=form)
    link = path_of((await ada.get(f"/api/recordings/{made.id}")).body["url"])
    for who, path in ((ada, f"/api/recordings/{made.id}/file"), (stranger, link), (ada, link)):
        whole = await who.get(path)
        assert (whole.status, whole.body) == (200, tone(form))
        assert whole.headers["Content-Type"] == MEDIA_TYPES[form]
        assert whole.headers["ETag"] == f'"{made.id}"'
        assert f'inline; filename="{made.id}.{form}"' in whole.headers["Content-Disposition"]
        assert whole.headers["Cache-Control"] == "private, no-cache"
        size = len(whole.body)
        part = await who.ask("GET", path, Range="bytes=100-199")
        assert (part.status, part.body) == (206, whole.body[100:200])
        assert part.headers["Content-Range"] == f"bytes 100-199/{size}"
        tail = await who.ask("GET", path, Range="bytes=-10")
        assert (tail.status, tail.body) == (206, whole.body[-10:])
        past = await who.ask("GET", path, Range=f"bytes={size}-")
        assert (past.status, past.headers["Content-Range"]) == (416, f"bytes */{size}")
        assert past.code == "range-not-satisfiable"
        assert (await who.ask("GET", path, If_None_Match=f'"{made.id}"')).status == 304
        head = await who.ask("HEAD", path)
        assert (head.status, head.headers["Content-Length"], head.body) == (200, str(size), b"")


async def test_a_file_that_another_server_keeps(house: House, ada: Client) -> None:
    made = await recorded(house, ada)
    house.ports.recordings.path(made).unlink()
    got = await ada.get(f"/api/recordings/{made.id}/file")
    assert (got.status, got.code) == (503, "recording-elsewhere")


# --- links


async def test_a_link_opens_nothing_but_its_own_file(
    house: House, ada: Client, bob: Client, stranger: Client
) -> None:
    made, other = await recorded(house, ada), await recorded(house, ada)
    link = path_of((await ada.get(f"/api/recordings/{made.id}")).body["url"])
    assert (await bob.get(link)).status == 200  # whoever has it may
    for path, code in (
        (link.replace(made.id, other.id), "link-invalid"),
        (link.replace("expires=", "expires=1"), "link-invalid"),
        (link[:-1] + ("0" if link[-1] != "0" else "1"), "link-invalid"),
        (link.partition("?")[0] + "?" + link.partition("&")[2], "link-invalid"),  # without its expiry
    ):
        for who in (stranger, ada):
            got = await who.get(path)
            assert (got.status, got.code) == (403, code), path
    assert (await stranger.get(link.partition("&")[0])).code == "invalid-key"  # without its signature
    assert (await stranger.get(link.partition("?")[0])).code == "invalid-key"
    query = link.partition("?")[2]
    for path in (f"/api/recordings/{made.id}?{query}", f"/api/recordings?{query}"):
        assert (await stranger.get(path)).code == "invalid-key"
        assert (await ada.get(path)).status == 422
    assert (await stranger.ask("DELETE", f"/api/recordings/{made.id}?{query}")).status == 401
    assert (await stranger.get(link.partition("signature=")[0] + "signature=")).status == 422


async def test_the_reference_knows_both_ways_in(stranger: Client) -> None:
    reference = (await stranger.get("/openapi.json")).body
    file = reference["paths"]["/api/recordings/{id}/file"]["get"]
    assert file["security"] == [{"key": []}, {"link": []}]
    assert reference["components"]["securitySchemes"]["link"]["name"] == "signature"
    assert {parameter["name"] for parameter in file["parameters"]} == {"id", "expires", "signature"}


async def test_a_link_expires(house: House, ada: Client, stranger: Client) -> None:
    made = await recorded(house, ada)
    async with Database.open(f"sqlite:///{house.folder}/trunx.db") as database:
        secret = await Secrets(database).secret("recordings")
    for since, status in ((timedelta(minutes=1), 200), (timedelta(), 403)):
        expires = int((now() + since).timestamp())
        signed = signed_link.signature(secret, made.id, expires)
        got = await stranger.get(f"/api/recordings/{made.id}/file?expires={expires}&signature={signed}")
        assert got.status == status
    assert "has expired" in got.body["detail"]


async def test_each_answer_has_a_link_for_a_day(house: House, ada: Client) -> None:
    made = await recorded(house, ada)
    query = parse_qs(urlsplit((await ada.get(f"/api/recordings/{made.id}")).body["url"]).query)
    assert 86_390 < int(query["expires"][0]) - now().timestamp() <= 86_400
    assert secret_free(query)


def secret_free(query: dict[str, list[str]]) -> bool:
    return set(query) == {"expires", "signature"} and len(query["signature"][0]) == 64


# --- its end


async def test_a_deleted_recording_is_gone_with_its_link(house: House, ada: Client, stranger: Client) -> None:
    made = await recorded(house, ada)
    link = path_of((await ada.get(f"/api/recordings/{made.id}")).body["url"])
    got = await ada.delete(f"/api/recordings/{made.id}")
    assert (got.status, got.body) == (200, {"deleted": True, "id": made.id})
    for answer in (
        await stranger.get(link),
        await ada.get(f"/api/recordings/{made.id}"),
        await ada.get(f"/api/recordings/{made.id}/file"),
        await ada.delete(f"/api/recordings/{made.id}"),
    ):
        assert (answer.status, answer.code) == (404, "recording-not-found")
    assert (await ada.get("/api/recordings")).body["count"] == 0


async def test_what_is_being_recorded_is_not_deleted(house: House, ada: Client) -> None:
    made = await recorded(house, ada, "recording")
    got = await ada.delete(f"/api/recordings/{made.id}")
    assert (got.status, got.code) == (409, "still-recorded")


async def test_events_tell_of_them(house: House, ada: Client) -> None:
    one = call(ada.account, 0)
    house.recorder.call(one)
    await house.recorder.flush()
    made = await recorded(house, ada, call=one)
    events = (await ada.get(f"/api/voice/{one.id}/events")).body["events"]
    (told,) = [event for event in events if event["type"] == "recording.ready"]
    assert told["data"]["recording"] == made.id
    assert told["data"]["duration"] == SECONDS
