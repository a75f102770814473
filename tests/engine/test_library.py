"""The accounts' audio: made once, kept while somebody needs it, gone afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.peers.elevenlabs import ElevenLabsPeer
from tests.peers.elevenlabs_troubles import Trouble
from tests.web.tones import wav
from trunx.adapters.cache.published import Published
from trunx.adapters.cache.valkey import open_valkey
from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.adapters.hosts.staging import Staging
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.audios import Audios
from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import now, sounds
from trunx.adapters.studio.studio import Studio
from trunx.adapters.voices.elevenlabs import Deadlines, ElevenLabs
from trunx.domain.audio import Audio, AudioStatus, SpeechError, UnusableSoundError
from trunx.domain.errors import NotFoundError
from trunx.domain.records import Page
from trunx.engine.incoming import Incoming
from trunx.engine.library import Library

HURRIED = Deadlines(speech=4.0, silence=1.0, voices=2.0, backoff=0.01)


@dataclass(frozen=True, slots=True)
class Shop:
    """A library with all that it works with."""

    library: Library
    audios: Audios
    database: Database
    own: SoundFolder
    incoming: Path
    peer: ElevenLabsPeer
    account: str

    async def speak(self, text: str = "Hello.", patience: float | None = 20.0) -> Audio:
        """Somebody wants to hear a text."""
        return await self.library.speak(self.account, name="Hi", text=text, voice=None, patience=patience)

    async def upload(self, content: bytes) -> Audio:
        """Somebody uploads a file."""
        file = self.incoming / "upload"
        file.write_bytes(content)
        return await self.library.upload(self.account, name="Up", filename="up.wav", file=file)

    async def count(self) -> int:
        """How many audios the account has."""
        return len((await self.audios.page(self.account, Page(200))).rows)

    def files(self, audio: Audio) -> set[str]:
        """The endings of the files of an audio's sound."""
        assert audio.sound is not None
        path = self.own.root / audio.sound.name
        return {file.suffix for file in path.parent.glob(f"{path.name}.*")}

    async def age(self) -> None:
        """Lets an hour pass for sounds that nobody uses."""
        async with self.database.writing() as connection:
            unused = update(sounds).where(sounds.c.unused_since.is_not(None))
            await connection.execute(unused.values(unused_since=now() - timedelta(hours=1)))


@asynccontextmanager
async def opened(folder: Path, peer: ElevenLabsPeer) -> AsyncIterator[Shop]:
    own = SoundFolder(folder / "sounds")
    own.root.mkdir(exist_ok=True)
    incoming = Incoming(folder / "incoming")
    incoming.make()
    async with (
        Database.open(f"sqlite:///{folder}/trunx.db") as database,
        open_valkey(folder / "run") as valkey,
        Published(database, valkey.client) as lines,
        Studio(own.root, 1) as studio,
        Staging(database, own) as staging,
        ElevenLabs(peer.key, peer.url, deadlines=HURRIED) as voices,
    ):
        accounts, audios = Accounts(database), Audios(database, server="tests")
        account, *_ = await accounts.list_accounts() or [await accounts.create("Ada")]
        async with Library(
            audios=audios,
            studio=studio,
            voices=voices,
            staging=staging,
            lines=lines,
            words=own,
            incoming=incoming,
        ) as library:
            yield Shop(library, audios, database, own, folder / "incoming", peer, account.id)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with ElevenLabsPeer.running() as peer, opened(tmp_path, peer) as shop:
        yield shop


async def test_many_who_want_the_same_wait_for_one(shop: Shop) -> None:
    shop.peer.gate.clear()
    wanting = [asyncio.create_task(shop.speak()) for _ in range(50)]
    await shop.peer.asked(1)
    shop.peer.gate.set()
    audios = await asyncio.gather(*wanting)
    assert len({audio.id for audio in audios}) == 50
    assert len({audio.sound for audio in audios}) == 1
    assert {audio.status for audio in audios} == {AudioStatus.READY}
    assert (len(shop.peer.speeches), await shop.count()) == (1, 50)


async def test_all_who_wait_hear_of_the_failure_and_the_next_one_tries_again(shop: Shop) -> None:
    shop.peer.always(Trouble.FORBIDDEN_403)
    failed = await asyncio.gather(*(shop.speak() for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in failed] == [SpeechError] * 5
    assert (len(shop.peer.speeches), await shop.count()) == (1, 0)
    shop.peer.always(None)
    assert (await shop.speak()).status is AudioStatus.READY
    assert list(shop.incoming.iterdir()) == []


async def test_a_sound_whose_files_are_lost_is_made_again(shop: Shop) -> None:
    first = await shop.speak()
    assert first.sound is not None
    for file in (shop.own.root / "trunx" / "audio").iterdir():
        file.unlink()
    again = await shop.speak()
    assert again.sound == first.sound
    assert len(shop.peer.speeches) == 2
    assert {".ulaw", ".wav", ".txt"} <= shop.files(again)


async def test_one_who_stops_waiting_stops_nothing(shop: Shop) -> None:
    shop.peer.gate.clear()
    impatient, patient = asyncio.create_task(shop.speak()), asyncio.create_task(shop.speak())
    await shop.peer.asked(1)
    impatient.cancel()
    await asyncio.wait({impatient})
    shop.peer.gate.set()
    assert (await patient).status is AudioStatus.READY
    assert len(shop.peer.speeches) == 1


async def test_an_upload_is_taken_away(shop: Shop) -> None:
    audio = await shop.upload(wav())
    assert (audio.status, audio.filename, audio.name) == (AudioStatus.READY, "up.wav", "Up")
    with pytest.raises(UnusableSoundError):
        await shop.upload(b"no sound at all")
    assert await shop.count() == 1
    assert list(shop.incoming.iterdir()) == []


async def test_a_sound_goes_when_nobody_needs_it(shop: Shop) -> None:
    gone, kept = await shop.speak("This goes."), await shop.upload(wav())
    twin = await shop.speak("This goes.")
    await shop.library.delete(shop.account, gone.id)
    await shop.age()
    await shop.library.sweep()
    assert shop.files(gone) == shop.files(twin) != set()
    await shop.library.delete(shop.account, twin.id)
    await shop.library.sweep()
    assert shop.files(twin) != set(), "a call that has just begun may still play it"
    await shop.age()
    await shop.library.sweep()
    assert shop.files(twin) == set()
    assert shop.files(kept) != set()
    # It was forgotten as well: the same text is made anew.
    assert shop.files(await shop.speak("This goes.")) != set()
    assert len(shop.peer.speeches) == 2


async def test_what_takes_long_is_ready_later(shop: Shop) -> None:
    shop.peer.gate.clear()
    begun = await shop.speak(patience=0)
    assert (begun.status, begun.sound) == (AudioStatus.PROCESSING, None)
    shop.peer.gate.set()
    async with asyncio.timeout(5):
        while (then := await shop.audios.get(shop.account, begun.id)).status is AudioStatus.PROCESSING:
            pass  # each look is a turn of the loop
    assert then.status is AudioStatus.READY
    assert shop.files(then) != set()


async def test_what_is_deleted_while_it_is_made_stays_deleted(shop: Shop) -> None:
    shop.peer.gate.clear()
    begun = await shop.speak(patience=0)
    await shop.library.delete(shop.account, begun.id)
    shop.peer.gate.set()
    assert (await shop.speak()).status is AudioStatus.READY
    with pytest.raises(NotFoundError):
        await shop.audios.get(shop.account, begun.id)


async def test_what_was_being_made_at_the_end_is_failed_at_the_next_start(tmp_path: Path) -> None:
    async with ElevenLabsPeer.running() as peer:
        peer.gate.clear()
        async with opened(tmp_path, peer) as shop:
            begun = await shop.speak(patience=0)
            await peer.asked(1)
        assert list(shop.incoming.iterdir()) == []
        async with opened(tmp_path, peer) as shop:
            await shop.audios.end_lost()
            lost = await shop.audios.get(shop.account, begun.id)
    assert lost.status is AudioStatus.FAILED
    assert lost.failure is not None
    assert lost.failure.code == "interrupted"


def test_the_incoming_folder_is_emptied_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "left").write_bytes(b"half")
    Incoming(tmp_path / "incoming").clear()
    assert list((tmp_path / "incoming").iterdir()) == []
