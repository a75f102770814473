"""`/audio`: speech and uploads as users meet them, from the request to the file they listen to."""

import io
import re
import wave

import pytest
import soundfile

from tests.web.house import Client, House, new_did
from tests.web.tones import wav

TEXT = "Thank you for calling. Please hold while we connect you."


def menu(*audio: str) -> dict[str, object]:
    """A tree whose nodes play `audio`."""
    nodes = {f"n{at}": {"audio": name, "action": "hangup"} for at, name in enumerate(audio)}
    return {"id": "menu", "nodes": nodes}


async def test_speech_is_answered_as_the_contract_shows_it(ada: Client) -> None:
    got = await ada.post("/audio", {"name": "Welcome Greeting", "text": TEXT})
    assert got.status == 201, got.body
    answer = got.body
    assert re.fullmatch(r"aud_[0-9a-f]{24}", answer["id"])
    assert answer["name"] == "Welcome Greeting"
    assert answer["url"] == f"https://trunx.example.com/audio/{answer['id']}/file"
    assert 2 < answer["durationSeconds"] < 8
    assert (answer["status"], answer["reason"], answer["source"]) == ("ready", None, "tts")
    assert (answer["text"], answer["filename"]) == (TEXT, None)
    assert answer["voice"]
    assert answer["provider"]
    assert (answer["usedBy"], answer["warnings"]) == ([], [])
    assert [host["state"] for host in answer["staged"]] == ["staged"]
    assert answer["createdAt"].endswith("Z")
    assert (await ada.get(f"/audio/{answer['id']}")).body == answer


async def test_its_words_stand_beside_it(house: House, ada: Client) -> None:
    answer = (await ada.post("/audio", {"name": "Hello", "text": TEXT})).body
    sound = (await house.ports.audios.get(ada.account, answer["id"])).sound
    assert sound is not None
    assert house.sounds.words(sound.name) == TEXT
    assert house.sounds.seconds(sound.name) == pytest.approx(answer["durationSeconds"], abs=0.002)


async def test_a_list_goes_page_by_page(ada: Client) -> None:
    ids = [(await ada.upload(wav(), f"{at}.wav")).body["id"] for at in range(3)]
    first = (await ada.get("/audio?limit=2")).body
    assert [one["id"] for one in first["audio"]] == [ids[2], ids[1]]
    assert first["count"] == 2
    second = (await ada.get(f"/audio?limit=2&cursor={first['next']}")).body
    assert ([one["id"] for one in second["audio"]], second["next"]) == ([ids[0]], None)
    assert first["audio"][0] == (await ada.get(f"/audio/{ids[2]}")).body


async def test_the_file_is_sound_in_each_format(ada: Client) -> None:
    audio = (await ada.upload(wav(1.5), "tone.wav", name="A tone")).body
    path = f"/audio/{audio['id']}/file"
    for query in ("", "?format=wav"):
        got = await ada.get(path + query)
        assert (got.status, got.headers["Content-Type"]) == (200, "audio/wav")
        with wave.open(io.BytesIO(got.body)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 1, 2)
            assert sound.getnframes() / 16_000 == pytest.approx(audio["durationSeconds"], abs=0.002)
        assert 'filename="A tone.wav"' in got.headers["Content-Disposition"]
        assert got.headers["Content-Disposition"].startswith("inline")
    mp3 = await ada.get(path + "?format=mp3")
    assert (mp3.status, mp3.headers["Content-Type"]) == (200, "audio/mpeg")
    assert soundfile.info(io.BytesIO(mp3.body)).format == "MP3"
    ulaw = await ada.get(path + "?format=ulaw")
    assert (ulaw.status, ulaw.headers["Content-Type"]) == (200, "audio/basic")
    assert len(ulaw.body) / 8_000 == pytest.approx(audio["durationSeconds"], abs=0.002)
    etags = {one.headers["ETag"] for one in (got, mp3, ulaw)}
    assert len(etags) == 3
    assert (await ada.get(path + "?format=ogg")).code == "invalid-query"


async def test_a_player_asks_for_parts_and_what_it_has(ada: Client) -> None:
    path = f"/audio/{(await ada.upload(wav(1.5))).body['id']}/file"
    whole = await ada.get(path)
    part = await ada.ask("GET", path, Range="bytes=10-19", If_Range=whole.headers["ETag"])
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.body)}"
    assert (await ada.ask("GET", path, If_None_Match=whole.headers["ETag"])).status == 304
    beyond = await ada.ask("GET", path, Range=f"bytes={len(whole.body)}-")
    assert (beyond.status, beyond.code) == (416, "range-not-satisfiable")
    head = await ada.ask("HEAD", path)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(whole.body)))


async def test_what_another_account_owns_is_not_there(ada: Client, bob: Client) -> None:
    audio = (await ada.upload(wav())).body["id"]
    for method, path in (("GET", ""), ("GET", "/file"), ("HEAD", "/file"), ("DELETE", "")):
        got = await bob.ask(method, f"/audio/{audio}{path}")
        assert got.status == 404
    assert (await bob.get(f"/audio/{audio}")).code == "audio-not-found"
    assert (await bob.get("/audio")).body == {"audio": [], "count": 0, "next": None}
    assert (await ada.get(f"/audio/{audio}")).status == 200


async def test_no_key_no_audio(stranger: Client) -> None:
    for method, path in (
        ("GET", "/audio"),
        ("POST", "/audio"),
        ("POST", "/audio/upload"),
        ("GET", "/audio/voices"),
    ):
        assert (await stranger.ask(method, path)).code == "invalid-key"


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, ["/name", "/text"]),
        ({"name": "", "text": ""}, ["/name", "/text"]),
        ({"name": "x" * 201, "text": "Hello"}, ["/name"]),
        ({"name": "a\nb", "text": "Hello"}, ["/name"]),
        ({"name": "a", "text": "Hello", "voice": 1}, ["/voice"]),
        ({"name": "a", "text": "Hello", "voice": ""}, ["/voice"]),
        ({"name": "a", "text": "Hello", "speed": 2}, ["/speed"]),
        ({"name": "a", "text": "   "}, ["/text"]),
        ({"name": "a", "text": "<speak>Hello</speak>"}, ["/text"]),
        ({"name": "a", "text": "Hello " * 5_000}, ["/text"]),
        ({"name": "a", "text": "欢迎致电"}, ["/text"]),
    ],
)
async def test_each_fault_of_a_request_is_named(ada: Client, body: object, places: list[str]) -> None:
    got = await ada.post("/audio", body)
    assert (got.status, got.pointers) == (422, places), got.body
    assert (await ada.get("/audio")).body["count"] == 0


async def test_the_same_text_again_is_another_audio_of_the_same_sound(ada: Client, bob: Client) -> None:
    said = [await one.post("/audio", {"name": "Hi", "text": "Hello there."}) for one in (ada, ada, bob)]
    assert len({got.body["id"] for got in said}) == 3
    files = [
        await one.get(f"/audio/{got.body['id']}/file") for one, got in zip((ada, ada, bob), said, strict=True)
    ]
    assert len({got.headers["ETag"] for got in files}) == 1


async def test_a_key_makes_it_once(ada: Client) -> None:
    body = {"name": "Hi", "text": "Hello there."}
    first = await ada.post("/audio", body, Idempotency_Key="k")
    again = await ada.post("/audio", body, Idempotency_Key="k")
    assert (first.status, again.body) == (201, first.body)
    other = await ada.post("/audio", {**body, "text": "Bye."}, Idempotency_Key="k")
    assert other.code == "idempotency-key-reused"
    assert (await ada.get("/audio")).body["count"] == 1


async def test_voices_are_listed_and_can_be_asked_for(ada: Client) -> None:
    got = (await ada.get("/audio/voices")).body
    assert got["count"] == len(got["voices"]) > 0
    assert [voice["isDefault"] for voice in got["voices"]].count(True) == 1
    for voice in (got["voices"][-1]["id"], got["voices"][-1]["name"]):
        audio = (await ada.post("/audio", {"name": "Hi", "text": "Hello.", "voice": voice})).body
        assert audio["voice"] == got["voices"][-1]["id"]


async def test_nodes_may_name_it_by_id_name_or_file(house: House, ada: Client) -> None:
    did = new_did()
    one = (await ada.upload(wav(0.5), "one.wav")).body
    two = (await ada.upload(wav(0.6), "two.wav", name="The second")).body
    tree = menu(one["id"], "one.wav", "The second", "two.wav", "three.wav")
    created = await ada.post("/ivr", tree)
    assert [(warning["code"], warning["node"]) for warning in created.body["warnings"]][-1:] == [
        ("audio-missing", "n4")
    ]
    await ada.post("/ivr/menu/assign", {"did": did})
    used = (await ada.get(f"/audio/{two['id']}")).body["usedBy"]
    assert used == [{"ivr": "menu", "node": node, "field": "audio"} for node in ("n2", "n3")]
    line = await house.lines.find(did)
    assert line is not None
    assert line.sounds["The second"] == line.sounds["two.wav"] != line.sounds["one.wav"]
    # An audio that comes later is heard by the next call.
    three = (await ada.upload(wav(0.7), "three.wav")).body
    line = await house.lines.find(did)
    assert line is not None
    assert "three.wav" in line.sounds
    assert [use["node"] for use in three["usedBy"]] == ["n4"]


async def test_a_deleted_audio_is_gone_and_names_the_nodes_that_miss_it(house: House, ada: Client) -> None:
    did = new_did()
    audio = (await ada.upload(wav(), "hello.wav")).body["id"]
    await ada.post("/ivr", menu("hello.wav", audio))
    await ada.post("/ivr/menu/assign", {"did": did})
    got = await ada.delete(f"/audio/{audio}")
    assert (got.status, got.body["deleted"], got.body["id"]) == (200, True, audio)
    assert got.body["usedBy"] == [{"ivr": "menu", "node": node, "field": "audio"} for node in ("n0", "n1")]
    line = await house.lines.find(did)
    assert line is not None
    assert line.sounds == {}
    for path in (f"/audio/{audio}", f"/audio/{audio}/file"):
        assert (await ada.get(path)).code == "audio-not-found"
    assert (await ada.delete(f"/audio/{audio}")).code == "audio-not-found"


async def test_files_put_there_by_hand_still_count(house: House, ada: Client) -> None:
    await house.sounds.stage(f"trunx/{ada.account}/by-hand", ".ulaw", b"\xff" * 8_000)
    got = await ada.post("/ivr", menu("by-hand.wav", "nothing.wav"))
    missing = [warning["node"] for warning in got.body["warnings"] if warning["code"] == "audio-missing"]
    assert missing == ["n1"]


async def test_names_that_no_audio_can_have_are_not_there(ada: Client) -> None:
    for path, allowed in (("/audio/voices", "GET,HEAD"), ("/audio/upload", "POST")):
        got = await ada.delete(path)
        assert (got.status, got.headers["Allow"]) == (405, allowed)
    assert (await ada.get("/audio/..%2f..%2fetc%2fpasswd")).status == 404
