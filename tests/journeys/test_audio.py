"""Journeys of audio that users make: from a text, or from a file of any kind, to what the caller hears."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.adapters.recordings import Signal, noise, sine, speech, third_octaves, written
from tests.journeys.listening import is_exactly, seconds, shipped, told
from tests.journeys.scene import SOON, Asterisks, Scene, opened
from tests.journeys.server import left
from tests.peers.hearing import RATE, find
from tests.peers.recogniser import MOST, recalled
from tests.peers.world import LiveCall
from trunx.adapters.studio.loudness import Loudness
from trunx.demo import DID as DEMO_DID

SENTENCE = {  # the contract's own request
    "node": "welcome",
    "text": "Thank you for calling. Press 1 if you are a business owner. "
    "Press 9 to be added to our do not call list.",
    "voice": "rachel",
}


async def test_a_text_is_what_the_next_call_hears(asterisks: Asterisks, tmp_path: Path) -> None:
    """1. A server is started anew, with the demo tree and without any key. 2. Its user sends the contract's
    request: a sentence for the node `welcome`. 3. The next caller hears that sentence, whole: it is the
    asset's file to the sample, and most of its words are recognised; she presses 1 and goes on. 4. Another
    presses 1 in the middle of it. 5. Both rows name the new version.
    """
    async with opened(asterisks, tmp_path) as scene:
        trunx = scene.trunx
        patient, hasty = scene.new_caller(), scene.new_caller()
        before = await trunx.get("/ivr/qualify-business")
        status, made = await trunx.ask("POST", "/ivr/qualify-business/audio", SENTENCE)
        assert (status, made["status"], made["warnings"]) == (201, "ready", [])
        assert (made["source"], made["provider"], made["text"]) == ("tts", "local", SENTENCE["text"])
        assert made["voice"] in {voice["id"] for voice in (await trunx.get("/audio/voices"))["voices"]}
        assert made["version"] == before["version"] + 1
        after = await trunx.get("/ivr/qualify-business")
        assert (after["version"], after["nodes"]["welcome"]["audio"]) == (made["version"], made["id"])
        sentence = await trunx.sound(made["id"])
        assert made["durationSeconds"] == pytest.approx(seconds(sentence), abs=0.001)

        async def hears_it_out(call: LiveCall) -> None:
            said = await call.hears(sentence, within=2)
            await call.until(said + seconds(sentence) + 0.3)
            await call.press("1")
            await call.hears(shipped()["business_check"], within=2)
            await call.hangup()

        async def presses_in_the_middle(call: LiveCall) -> None:
            await call.until(2.0)
            await call.press("1")
            await call.until(0.7 + await call.hears(shipped()["business_check"], within=2))
            await call.hangup()

        with scene.pbx.ami.watch("DTMFEnd", Direction="Received", CallerIDNum=hasty) as keys:
            whole, cut = await asyncio.gather(
                scene.world.call(DEMO_DID, patient, keys=hears_it_out),
                scene.world.call(DEMO_DID, hasty, keys=presses_in_the_middle),
            )

        (place,) = find(sentence, whole.audio, 0.9)
        heard = whole.audio[max(0, round(place.at * RATE)) :][: len(sentence)]
        recall = await asyncio.to_thread(recalled, SENTENCE["text"], heard)
        print(f"correlation {place.score:.4f}, {recall:.2f} of the words recognised")
        assert place.at < SOON
        assert is_exactly(sentence, whole.audio, place.at)
        assert recall > MOST

        (place,) = find(sentence, cut.audio, 0.9, head=1.5)
        assert place.at < SOON
        assert is_exactly(sentence, cut.audio, place.at)
        (question,) = find(shipped()["business_check"], cut.audio, 0.9, head=0.4)
        pressed = float(keys.seen[0]["Timestamp"]) - cut.began
        assert -0.05 < question.at - pressed < SOON

        for caller, played, late in ((patient, seconds(sentence), 0.005), (hasty, pressed, 0.15)):
            call = await trunx.row(caller)
            assert (call["ivr"], call["ivrVersion"]) == ("qualify-business", made["version"])
            steps = await trunx.steps_of(call)
            assert left(steps) == [("welcome", "key", "1"), ("has_business", "hangup", None)]
            assert not any(step["fallback"] for step in steps)
            assert steps[0]["promptMs"] == pytest.approx(1000 * played, abs=1000 * late)


SECONDS = 30
KINDS: dict[str, dict[str, str]] = {
    "8-bit.wav": {"format": "WAV", "subtype": "PCM_U8"},
    "mp3": {"format": "MP3"},
    "ogg": {"format": "OGG"},
    "flac": {"format": "FLAC"},
    "24-bit.wav": {"format": "WAV", "subtype": "PCM_24"},
    "5.1.wav": {"format": "WAVEX", "subtype": "PCM_16"},
}
TARGET_LUFS = -20.0
SPECTRUM_DB = 1.0
"""By how much a third of an octave may stand elsewhere than in the source, where the mean over all of them is
0: for µ-law and the codec of the file together. The thirds are those between the deepest tone of the voice
(169 Hz) and 3.4 kHz."""


async def test_uploads_of_each_kind_are_heard_at_one_level(scene: Scene, tmp_path: Path) -> None:
    """1. Half a minute of speech (44.1 kHz, stereo, or 5.1 with a rumble and a hiss in the other channels) is
    uploaded in six kinds, each at a level of its own. 2. Six callers hear one each, whole: at the target's
    level within 1 LU, and with the spectrum of what was spoken.
    """
    figures: list[str] = []
    await asyncio.gather(
        *(upload_and_call(scene, tmp_path, number, kind, figures) for number, kind in enumerate(KINDS))
    )
    print("\n".join(sorted(figures)))


async def upload_and_call(scene: Scene, folder: Path, number: int, kind: str, figures: list[str]) -> None:
    """One kind's journey; the server works on all of them at once."""
    trunx, caller, did = scene.trunx, scene.new_caller(), scene.new_did()
    source = speech(50, 44_100)[4 * number * 44_100 :][: SECONDS * 44_100] * np.float32(2 / (1 + number))
    filename = f"half a minute.{kind}"
    file = written(
        folder / filename, channels(source, 6 if kind.startswith("5.1") else 2), 44_100, **KINDS[kind]
    )
    made = await trunx.upload(file.read_bytes(), filename)
    assert made["filename"] == made["name"] == filename
    assert {warning["code"] for warning in made["warnings"]} <= {"noisy"}  # eight bits are
    sound = await trunx.sound(made["id"])
    await trunx.publish(f"upload-{number}", did, {"only": {"action": "hangup", "audio": filename}})

    heard = await scene.world.call(did, caller)
    (one,) = told(heard.audio, {kind: sound})
    assert (one.prompt, heard.ended_by) == (kind, "far")
    assert one.at < SOON
    assert one.seconds == pytest.approx(made["durationSeconds"], abs=0.1)
    assert one.seconds == pytest.approx(SECONDS, abs=1.0)
    assert heard.seconds == pytest.approx(one.end, abs=SOON)
    begin = max(0, round(one.at * RATE))
    stretch = heard.audio[begin : begin + len(sound)]
    lufs = Loudness(stretch, RATE).integrated()
    difference = np.abs(bands(stretch, RATE) - bands(source, 44_100))
    score = max(place.score for place in find(sound, heard.audio, 0.5))
    figures.append(
        f"{kind}: correlation {score:.4f}, {lufs - TARGET_LUFS:+.2f} LU, "
        f"spectrum off by {difference.max():.2f} dB at most"
    )
    assert lufs == pytest.approx(TARGET_LUFS, abs=1.0)
    assert difference.max() < SPECTRUM_DB
    (step,) = await trunx.steps_of(await trunx.row(caller))
    assert (step["left"], step["fallback"]) == ("done", False)


def bands(signal: Signal, rate: int) -> Signal:
    """Thirteen thirds of an octave, up to 3.4 kHz."""
    return np.asarray(third_octaves(signal, rate, 168.6, 3_400), np.float32)


def channels(voice: Signal, number: int) -> Signal:
    """The voice as people record it: left of the middle, or in the centre of 5.1."""
    if number == 2:
        return np.stack([voice, voice * np.float32(0.7)], 1)
    samples = np.zeros((len(voice), 6), np.float32)
    samples[:, 2] = voice
    samples[:, 3] = sine(60, SECONDS, 44_100)  # of low effects, which no telephone plays
    samples[:, 4:] = noise(SECONDS, 44_100, 1e-4)[:, None]
    return samples
