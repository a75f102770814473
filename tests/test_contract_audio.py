"""The contract's examples of audio, typed as they stand and answered as they are written.

Changed are the address, the key, and in the last one the id, which is ours to give. What answers hold beyond
the contract's fields comes after them.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.recordings import speech, written
from tests.cli.command import Serving
from tests.pages import answered, make_run

SPEAK = """\
curl -X POST "https://api.trunx.io/audio" \\
  -H "Authorization: Bearer tk_live_..." \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "Welcome Greeting",
    "text": "Thank you for calling. Please hold while we connect you.",
    "voice": "EXAVITQu4vr4xnSDxMaL"
  }'"""
SPOKEN: dict[str, Any] = {
    "id": "aud_abc123",
    "name": "Welcome Greeting",
    "url": "https://api.trunx.io/audio/aud_abc123/file",
    "durationSeconds": 3.2,
}
UPLOAD = """\
curl -X POST "https://api.trunx.io/audio/upload" \\
  -H "Authorization: Bearer tk_live_..." \\
  -F "file=@greeting.mp3" \\
  -F "name=After Hours Greeting\""""
UPLOADED: dict[str, Any] = {
    "id": "aud_def456",
    "name": "After Hours Greeting",
    "url": "https://api.trunx.io/audio/aud_def456/file",
    "durationSeconds": 8.5,
}
LIST = """\
curl "https://api.trunx.io/audio" \\
  -H "Authorization: Bearer tk_live_...\""""
DELETE = """\
curl -X DELETE "https://api.trunx.io/audio/aud_abc123" \\
  -H "Authorization: Bearer tk_live_...\""""
NODE_TEXT = (
    "Thank you for calling. Press 1 if you are a business owner. Press 9 to be added to our do not call list."
)
SPEAK_NODE = f"""\
curl -X POST "https://api.trunx.io/ivr/qualify-business/audio" \\
-H "Authorization: Bearer tk_live_..." \\
-H "Content-Type: application/json" \\
-d '{{
"node": "welcome",
"text": "{NODE_TEXT}",
"voice": "rachel"
}}'"""

GREETING_SECONDS = 8.3
"""Of the upload, without the silence that belongs to every sound."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """As `make run` starts it, without any vendor's key; the contract's IVR is the demo."""
    with make_run(tmp_path_factory.mktemp("contract"), public_url="https://api.trunx.io") as server:
        yield server


def as_written(answer: dict[str, Any], shown: dict[str, Any]) -> None:
    """Holds the fields of `answer` against those that the contract shows, in their order."""
    fields = {name: answer[name] for name in list(answer)[: len(shown)]}
    given = answer["id"]
    assert given.startswith("aud_")
    assert given.removeprefix("aud_").isalnum()
    assert list(fields) == list(shown)
    assert fields == shown | {
        "id": given,
        "url": shown["url"].replace(shown["id"], given),
        "durationSeconds": pytest.approx(shown["durationSeconds"], abs=0.6),
    }
    assert isinstance(answer["durationSeconds"], float)


def test_audio_is_made_listed_and_deleted_as_the_contract_shows(server: Serving) -> None:
    greeting = written(server.folder / "greeting.mp3", speech(GREETING_SECONDS, 44_100), 44_100)
    assert greeting.name in UPLOAD

    status, spoken = answered(server, SPEAK)
    assert status == 201
    as_written(spoken, SPOKEN)
    assert (spoken["provider"], spoken["status"]) == ("local", "ready")

    status, uploaded = answered(server, UPLOAD)
    assert status == 201
    as_written(uploaded, UPLOADED)

    status, listed = answered(server, LIST)
    assert status == 200
    mine = [audio for audio in listed["audio"] if audio["name"] in (SPOKEN["name"], UPLOADED["name"])]
    assert mine == [uploaded, spoken], "the newest first"

    delete = DELETE.replace(SPOKEN["id"], spoken["id"])
    status, deleted = answered(server, delete)
    assert status == 200
    assert next(iter(deleted.items())) == ("deleted", True)
    assert answered(server, delete)[0] == 404


def test_a_node_speaks_as_the_contract_shows(server: Serving) -> None:
    status, spoken = answered(server, SPEAK_NODE)
    assert status == 201
    assert spoken["usedBy"] == [{"ivr": "qualify-business", "node": "welcome", "field": "audio"}]
    called = server.call("+19495551234", "--press", "9")
    assert NODE_TEXT in " ".join(called.stdout.split())
    assert f"{spoken['durationSeconds']:.1f} s" in called.stdout
