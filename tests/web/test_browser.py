"""What a browser makes of an audio: it is decoded by the program that users will hear it with."""

import pytest

from tests.peers.browser import played
from tests.web.house import Client
from tests.web.tones import wav


@pytest.mark.parametrize("form", ["wav", "mp3"])
async def test_an_audio_plays_in_a_browser(ada: Client, form: str) -> None:
    made = (await ada.upload(wav(seconds=1.5), "hello.wav")).body
    file = await ada.get(f"/audio/{made['id']}/file?format={form}")
    told = await played(file.body, file.headers["Content-Type"])
    assert told["seconds"] == pytest.approx(made["durationSeconds"], abs=0.1), told  # mp3 comes in frames
    assert 0.1 < told["peak"] < 0.9


async def test_a_browser_says_when_it_cannot_play() -> None:
    assert "EncodingError" in (await played(b"RIFF but no sound", "audio/wav"))["error"]
