"""Puts together what makes, keeps and brings sound; `app.py` puts it into the whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from sounds import ENGINE
from trunx.adapters.hosts.sound_folder import SoundFolder, SoundFolders
from trunx.adapters.hosts.staging import Staging
from trunx.adapters.store.audios import Audios
from trunx.adapters.store.database import Database
from trunx.adapters.studio.studio import Limits as StudioLimits
from trunx.adapters.studio.studio import Studio
from trunx.adapters.voices.local import LocalVoice
from trunx.background import at_work
from trunx.domain.errors import UnavailableError
from trunx.engine.incoming import Incoming
from trunx.engine.library import Library
from trunx.engine.ports import Lines, Part, Voices
from trunx.settings import PREFIX, Settings, SettingsError
from trunx.start import data_folder, setting

log = structlog.get_logger(__name__)


class Provider(Voices, Part, Protocol):
    """A provider of speech that can tell how it is."""


@dataclass(frozen=True, slots=True)
class Sounding:
    """All that makes, keeps and brings sound. `folders` are those that we see, our own first."""

    audios: Audios
    studio: Studio
    voices: Provider
    staging: Staging
    library: Library
    incoming: Incoming
    folders: SoundFolders


@asynccontextmanager
async def sounding(settings: Settings, database: Database, lines: Lines) -> AsyncIterator[Sounding]:
    own = SoundFolder(settings.sounds())
    incoming = Incoming(settings.data_dir.resolve() / "incoming")
    with data_folder(settings):
        own.root.mkdir(exist_ok=True)
        incoming.make()
    with setting(f"{PREFIX}SOUNDS_URL"):
        staging = Staging(
            database,
            own,
            settings.sounds_url,
            known_hosts=settings.ssh_known_hosts,
            keys=settings.ssh_keys,
        )
    seen = [SoundFolder.at(url) for url in settings.sounds_url if url.startswith("file:")]
    audios = Audios(database, server=settings.server_name)
    limits = StudioLimits(bytes=settings.upload_bytes, seconds=settings.audio_seconds)
    async with (
        Studio(own.root, settings.studio_workers, limits) as studio,
        provider(settings, studio) as voices,
        staging,
        Library(
            audios=audios,
            studio=studio,
            voices=voices,
            staging=staging,
            lines=lines,
            words=own,
            incoming=incoming,
        ) as library,
        AsyncExitStack() as stack,
    ):
        await _stage_prompts(own, staging)
        for work in (staging.run(), library.sweep_for_ever()):
            await stack.enter_async_context(at_work(work))
        yield Sounding(audios, studio, voices, staging, library, incoming, SoundFolders(own, *seen))


@asynccontextmanager
async def provider(settings: Settings, studio: Studio) -> AsyncIterator[Provider]:
    """The voices that the settings name: ElevenLabs' with a key, else those on this machine.

    Raises:
        SettingsError: one of the settings cannot be used.
    """
    key = settings.elevenlabs_api_key
    if key is None:
        yield LocalVoice(studio.speak_local)
        return
    # Its SDK takes a second to load, which nobody else need wait for.
    from trunx.adapters.voices.elevenlabs import VOICE, ElevenLabs  # noqa: PLC0415

    try:
        vendor = ElevenLabs(
            key.get_secret_value(),
            settings.elevenlabs_url,
            model=settings.elevenlabs_model,
            default_voice=settings.elevenlabs_voice or VOICE,
            fallback_voice=settings.elevenlabs_fallback,
            aliases=settings.elevenlabs_aliases,
            concurrency=settings.elevenlabs_concurrency,
        )
    except ValueError as error:
        raise SettingsError(f"ELEVENLABS_API_KEY or {PREFIX}ELEVENLABS_URL: {error}") from None
    async with vendor:
        yield vendor


async def _stage_prompts(own: SoundFolder, staging: Staging) -> None:
    """The engine's own prompts, so that Asterisk can speak even when we cannot."""
    try:
        for prompt in ENGINE.values():
            await own.stage(prompt.sound, ".ulaw", prompt.path.read_bytes(), prompt.words)
    except OSError as error:
        log.exception(
            "the engine's prompts cannot be staged; callers hear beeps instead",
            folder=str(own.root),
            error=str(error),
        )
    await asyncio.gather(*(staging.stage(prompt.sound) for prompt in ENGINE.values()))


async def end_lost(sound: Sounding) -> None:
    """What an earlier run of this server was in the middle of."""
    sound.incoming.clear()
    try:
        await sound.audios.end_lost()
    except UnavailableError as error:
        log.warning("audio that was being made stays as it is until the next start", error=str(error))
