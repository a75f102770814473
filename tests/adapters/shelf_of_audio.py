"""Audio and sounds to test with."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, update

from trunx.adapters.store.audios import Audios
from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import now, sounds
from trunx.domain.audio import Audio, AudioStatus, Failure, Sound, SoundWarning, Source, new_audio_id

_BEGAN = now()


def sound(content: str) -> Sound:
    """A sound with this content."""
    digits = hashlib.sha256(content.encode()).hexdigest()[:32]
    return Sound(f"trunx/audio/{digits}", 3_200, (SoundWarning("too-quiet", "it has -41 LUFS"),))


class AudioShelf:
    """Puts audio into the database, each a second newer than the one before."""

    def __init__(self, database: Database) -> None:
        self.audios = Audios(database, server="tests")
        self._database = database
        self._made = 0

    async def processing(self, account: str, name: str, filename: str | None = None) -> Audio:
        """An upload, or speech when there is no `filename`, that is being made."""
        self._made += 1
        audio = Audio(
            id=new_audio_id(),
            account=account,
            name=name,
            source=Source.UPLOAD if filename else Source.TTS,
            status=AudioStatus.PROCESSING,
            created_at=_BEGAN + timedelta(seconds=self._made),
            text=None if filename else "Thank you for calling.",
            filename=filename,
        )
        await self.audios.add(audio)
        return audio

    async def ready(
        self, account: str, name: str, filename: str | None = None, content: str | None = None
    ) -> Audio:
        """An audio that can be played, with a sound of its own when no `content` is given."""
        audio = await self.processing(account, name, filename)
        await self.settle(audio, content)
        return await self.audios.get(account, audio.id)

    async def settle(self, audio: Audio, content: str | None = None) -> Sequence[str]:
        """Makes an audio ready; the DIDs that are to be published."""
        made = sound(content or audio.id)
        return await self.audios.settle(replace(audio, status=AudioStatus.READY, sound=made))

    async def fail(self, audio: Audio) -> Sequence[str]:
        """Makes an audio failed; the DIDs that are to be published."""
        failure = Failure("voice-gone", "choose another voice")
        return await self.audios.settle(replace(audio, status=AudioStatus.FAILED, failure=failure))

    async def age(self, seconds: float) -> None:
        """As if all that is unused had been so for this much longer."""
        async with self._database.writing() as connection:
            unused = sounds.c.unused_since
            for name, since in (
                await connection.execute(select(sounds.c.name, unused).where(unused.is_not(None)))
            ).all():
                earlier = since - timedelta(seconds=seconds)
                await connection.execute(
                    update(sounds).where(sounds.c.name == name).values(unused_since=earlier)
                )
