"""Staging to real hosts: asyncssh's SFTP server and OpenSSH's, and folders."""

import asyncio
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.adapters.sound_store import PROMPTS, SoundStore, StagingOpener, found, problem_with, until_state
from tests.adapters.waiting import until
from tests.peers.ssh import AsyncSsh, OpenSsh, SshPeer, started
from trunx.adapters.hosts.staging import Staging
from trunx.adapters.store.database import Database
from trunx.domain.audio import Staged, StagingState
from trunx.domain.errors import UnavailableError

# --- what is there in the end


async def test_a_sound_is_on_the_host_byte_for_byte(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener
) -> None:
    sound = await store.make()
    async with staging_to(peer) as staging:
        await staging.stage(sound)
        assert (await staging.states([sound])) == {sound: [Staged(peer.place, StagingState.STAGED)]}
    assert found(peer.folder) == store.files(sound)
    assert store.is_on(peer.folder, sound)
    for file in store.files(sound):
        assert (peer.folder / file).stat().st_mode & 0o777 == 0o644
    assert (peer.folder / "trunx").stat().st_mode & 0o777 == 0o755
    assert (peer.folder / "trunx/audio").stat().st_mode & 0o777 == 0o755


async def test_the_engines_prompts_and_what_was_made_before_are_brought(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener
) -> None:
    before = [await store.make() for _ in range(3)]
    async with staging_to(peer, running=True) as staging:
        assert (await staging.state()).state == "degraded"
        expected = sorted([*PROMPTS, *(file for sound in before for file in store.files(sound))])
        await until(lambda: found(peer.folder) == expected)
        await until_state(staging, "ok")
    assert store.is_on(peer.folder, *before)


async def test_several_hosts_of_both_kinds(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    sound = await store.make()
    mounted = tmp_path / "mount" / "a b"
    async with staging_to(peer, mounted.as_uri()) as staging:
        await staging.stage(sound)
        states = (await staging.states([sound]))[sound]
        assert [each.state for each in states] == [StagingState.STAGED, StagingState.STAGED]
        assert states[1].host == f"file://{mounted}"
    assert store.is_on(peer.folder, sound)
    assert store.is_on(mounted, sound)
    assert (mounted / store.files(sound)[0]).stat().st_mode & 0o777 == 0o644


async def test_what_is_there_is_not_sent_again(
    store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    host = AsyncSsh(tmp_path)
    async with started(host):
        sound = await store.make()
        (host.folder / sound).parent.mkdir(parents=True)
        for file in store.files(sound)[:2]:
            (host.folder / file).write_bytes((store.own.root / file).read_bytes())
        (host.folder / store.files(sound)[2]).write_bytes(b"half of it")
        async with staging_to(host) as staging:
            await staging.stage(sound)
            await staging.stage(sound)
        assert len(host.written) == 1
        assert host.logins == 1
        assert store.is_on(host.folder, sound)


async def test_without_hosts_there_is_nothing_to_bring(store: SoundStore, staging_to: StagingOpener) -> None:
    sound = await store.make()
    async with staging_to() as staging:
        await staging.stage(sound)
        await staging.run()
        assert (await staging.states([sound])) == {sound: [Staged("local", StagingState.STAGED)]}
        assert (await staging.state()).state == "ok"
        await store.drop(sound)
        await staging.remove(sound)
    assert not [file for file in found(store.own.root) if sound in file]


@pytest.mark.parametrize(
    "sound", ["trunx/audio/../../etc/passwd", "trunx/MA1/welcome", "trunx/audio/" + "A" * 32]
)
async def test_only_names_that_we_gave_become_paths(sound: str, staging_to: StagingOpener) -> None:
    async with staging_to() as staging:
        with pytest.raises(ValueError, match="not the name of a sound"):
            await staging.stage(sound)
        with pytest.raises(ValueError, match="not the name of a sound"):
            await staging.remove(sound)


# --- never half a file


async def test_a_reader_never_finds_half_a_file(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    mounted = tmp_path / "mount"
    names = [await store.make(scale=5) for _ in range(12)]
    whole = {file: (store.own.root / file).read_bytes() for sound in names for file in store.files(sound)}
    halves: list[str] = []
    seen: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            for folder in (peer.folder, mounted):
                for file, content in whole.items():
                    try:
                        if (folder / file).read_bytes() != content:
                            halves.append(file)
                        seen.add(file)
                    except FileNotFoundError:
                        continue

    reader = threading.Thread(target=read)
    reader.start()
    try:
        async with staging_to(peer, mounted.as_uri()) as staging:
            await asyncio.gather(*(staging.stage(sound) for sound in names))
            for folder in (peer.folder, mounted):
                assert store.is_on(folder, *names)
            await until(lambda: len(seen) == len(whole))
    finally:
        stop.set()
        reader.join()
    assert not halves
    assert not [file for file in found(peer.folder) if file.endswith(".part")]


async def test_a_server_that_cannot_rename_over_a_file(
    store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    host = AsyncSsh(tmp_path, can_replace=False)
    async with started(host):
        sound, other = await store.make(), await store.make()
        (host.folder / sound).parent.mkdir(parents=True)
        (host.folder / store.files(sound)[0]).write_bytes(b"half of it")
        with capture_logs() as lines:
            async with staging_to(host) as staging:
                await staging.stage(sound)
                await staging.stage(other)
        assert store.is_on(host.folder, sound, other)
        assert len([line for line in lines if "posix-rename" in line["event"]]) == 1


# --- keys


async def test_a_host_with_an_unknown_key_is_refused(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener
) -> None:
    peer.known_hosts.unlink()
    sound = await store.make()
    async with staging_to(peer) as staging:
        await staging.stage(sound)
        problem = await problem_with(staging, sound, peer.place)
        known = store.own.root.parent / "known_hosts"
        assert "SHA256:" in problem
        assert problem.endswith(f"ssh-keyscan -p {peer.port} 127.0.0.1 >> {known}")
        assert found(peer.folder) == []
        state = await staging.state()
        assert state.state == "degraded"
        assert problem in state.detail
        # What the operator then does counts without a new start.
        peer.trust()
        known.write_text(peer.known_hosts.read_text())
        await staging.sync(lambda *_: None)
        assert store.is_on(peer.folder, sound)


# --- what cannot be written


async def test_a_host_that_may_not_be_written_to(
    store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    host = OpenSsh(tmp_path, sftp="-R")
    (host.folder / "trunx/audio").mkdir(parents=True)
    async with started(host):
        sound = await store.make()
        async with staging_to(host) as staging:
            with capture_logs() as lines:
                await staging.stage(sound)
                assert "we must not write" in await problem_with(staging, sound, host.place)
                done = await staging.sync(lambda *_: None)
            assert "we must not write" in (done[host.place].problem or "")
            assert len([line for line in lines if line["log_level"] == "error"]) == 1


async def test_a_folder_that_may_not_be_written_to(store: SoundStore, staging_to: StagingOpener) -> None:
    sound = await store.make()
    async with staging_to("file:///sys/trunx") as staging:  # nobody can make a folder there, root neither
        await staging.stage(sound)
        assert "our user needs to write there" in await problem_with(staging, sound, "file:///sys/trunx")
        assert (await staging.state()).state == "degraded"


async def test_one_file_that_cannot_be_written_keeps_no_other_away(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener
) -> None:
    names = [await store.make() for _ in range(3)]
    blocked, others = min(names), sorted(names)[1:]
    (peer.folder / store.files(blocked)[0]).mkdir(parents=True)
    async with staging_to(peer) as staging:
        done = await staging.sync(lambda *_: None)
        assert done[peer.place].missing == 1
        assert done[peer.place].problem is not None
        assert await problem_with(staging, blocked, peer.place)
        assert (await staging.state()).state == "degraded"
    assert store.is_on(peer.folder, *others)


async def test_a_sound_whose_files_are_on_another_server(
    store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    elsewhere = "trunx/audio/" + "0" * 32
    await store.note(elsewhere)
    sound = await store.make()
    mounted = tmp_path / "mount"
    async with staging_to(mounted.as_uri()) as staging:
        done = await staging.sync(lambda *_: None)
        assert (done[f"file://{mounted}"].missing, done[f"file://{mounted}"].problem) == (1, None)
        assert "has no files" in await problem_with(staging, elsewhere, f"file://{mounted}")
        (mounted / f"{elsewhere}.ulaw").write_bytes(b"as the other server brought it")
        done = await staging.sync(lambda *_: None)
        assert done[f"file://{mounted}"].missing == 0
    assert store.is_on(mounted, sound)


async def test_a_database_that_is_away_keeps_no_sound_away(store: SoundStore, tmp_path: Path) -> None:
    sound = await store.make()
    mounted = tmp_path / "mount"
    async with (
        Database.open("postgresql://nobody@127.0.0.1:1/none") as away,
        Staging(away, store.own, [mounted.as_uri()]) as staging,
    ):
        await staging.stage(sound)
        assert store.is_on(mounted, sound)
        with pytest.raises(UnavailableError):
            await staging.remove(sound)
        assert "cannot be used" in ((await staging.sync(lambda *_: None))[f"file://{mounted}"].problem or "")
