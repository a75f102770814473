"""Hosts that are down, killed in the middle, wiped and back again; and sounds that have to leave them."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from time import monotonic

from structlog.testing import capture_logs

from tests.adapters.sound_store import PROMPTS, SoundStore, StagingOpener, found, problem_with, until_state
from tests.adapters.waiting import until
from tests.peers.ssh import AsyncSsh, DeafHost, SshPeer, started
from trunx.domain.audio import StagingState

# --- down and back


async def test_a_host_killed_in_the_middle_is_caught_up(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener
) -> None:
    small = await store.make()
    big = await store.make(scale=200)
    audio = peer.folder / "trunx/audio"

    def is_under_way() -> bool:
        with suppress(FileNotFoundError):  # it was moved to its place at this moment
            return any(part.stat().st_size > 1_000_000 for part in audio.glob(".*.sln16.*.part"))
        return False

    def times_back() -> int:
        return len([line for line in lines if line["event"] == "sounds can be brought to the host again"])

    with capture_logs() as lines:
        async with staging_to(peer, running=True) as staging:
            await until_state(staging, "degraded", "missing")
            await until(is_under_way)
            await peer.kill()
            assert not (peer.folder / (big + ".sln16")).exists()
            await until_state(staging, "degraded", "Connect call failed")
            assert list(audio.glob(".*.part"))
            await peer.start()
            await until(lambda: times_back() == 1, 30)
            assert (await staging.state()).state == "ok"
            assert store.is_on(peer.folder, small, big)
            assert not list(audio.glob(".*.part"))
            assert {
                each.state for states in (await staging.states([small, big])).values() for each in states
            } == {StagingState.STAGED}
    assert times_back() == 1
    problems = [line["problem"] for line in lines if line["event"].startswith("sounds cannot be brought")]
    assert len(problems) == len(set(problems))


async def test_one_host_that_is_down_delays_nobody(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener
) -> None:
    deaf = DeafHost()
    try:
        first, second = await store.make(), await store.make()
        async with staging_to(f"sftp://127.0.0.1:{deaf.port}/sounds", peer, patience=0.5) as staging:
            began = monotonic()
            staged = asyncio.create_task(staging.stage(first))
            await until(lambda: store.is_on(peer.folder, first))
            assert not staged.done()
            await staged
            assert 0.45 < monotonic() - began < 1.5
            states = (await staging.states([first]))[first]
            assert [each.state for each in states] == [StagingState.PENDING, StagingState.STAGED]
            await staging.stage(second)
            assert store.is_on(peer.folder, second)
    finally:
        deaf.close()


async def test_nobody_waits_for_a_host_that_just_failed(
    store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    host = AsyncSsh(tmp_path)
    async with started(host):
        await host.kill()
        async with staging_to(host) as staging:
            first, second = await store.make(), await store.make()
            await staging.stage(first)
            await staging.stage(second)
            for sound in (first, second):
                assert "Connect call failed" in await problem_with(staging, sound, host.place)


async def test_a_wiped_host_is_caught_up_when_it_is_back(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener
) -> None:
    sound = await store.make()
    async with staging_to(peer, running=True) as staging:
        await until_state(staging, "ok")
        await peer.kill()
        peer.wipe()
        with capture_logs() as lines:
            await peer.start()
            await until(lambda: (peer.folder / PROMPTS[0]).exists() and store.is_on(peer.folder, sound), 30)
            await until_state(staging, "ok")
        assert [line["sounds"] for line in lines if "has lost sounds" in line["event"]] == [len(PROMPTS) + 1]


async def test_a_wiped_host_is_caught_up_by_a_sync(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    names = [await store.make() for _ in range(3)]
    mounted = tmp_path / "mount"
    told: list[tuple[str, int, int]] = []
    async with staging_to(peer, mounted.as_uri()) as staging:
        everything = len(PROMPTS) + len(names)
        done = await staging.sync(lambda *progress: told.append(progress))
        for place in (peer.place, f"file://{mounted}"):
            assert (done[place].brought, done[place].missing, done[place].problem) == (everything, 0, None)
            assert [each for each in told if each[0] == place][-1] == (place, everything, everything)
        peer.wipe()
        (mounted / store.files(names[0])[0]).unlink()
        (mounted / store.files(names[1])[1]).write_bytes(b"half of it")
        done = await staging.sync(lambda *_: None)
        assert done[peer.place].brought == everything
        assert done[f"file://{mounted}"].brought == 2
        assert store.is_on(peer.folder, *names)
        assert store.is_on(mounted, *names)
        done = await staging.sync(lambda *_: None)
        assert [each.brought for each in done.values()] == [0, 0]


async def test_a_sync_tells_what_it_could_not_do(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    await store.make()
    mounted = tmp_path / "mount"
    await peer.kill()
    async with staging_to(peer, mounted.as_uri()) as staging:
        done = await staging.sync(lambda *_: None)
    assert done[f"file://{mounted}"].problem is None
    assert "Connect call failed" in (done[peer.place].problem or "")
    assert done[peer.place].missing == len(PROMPTS) + 1


async def test_halves_that_a_crash_left_are_deleted(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    sound = await store.make()
    mounted = tmp_path / "mount"
    for folder in (peer.folder, mounted):
        (folder / "trunx/audio").mkdir(parents=True)
        for age, name in ((7200, ".old.ulaw.aa-1.part"), (60, ".other-process.ulaw.bb-2.part")):
            half = folder / "trunx/audio" / name
            half.write_bytes(b"half")
            os.utime(half, (half.stat().st_mtime - age,) * 2)
    async with staging_to(peer, mounted.as_uri()) as staging:
        await staging.sync(lambda *_: None)
    for folder in (peer.folder, mounted):
        assert store.is_on(folder, sound)
        assert [path.name for path in (folder / "trunx/audio").glob(".*")] == [
            ".other-process.ulaw.bb-2.part"
        ]


# --- removal


async def test_a_removed_sound_leaves_every_host_also_one_that_was_down(
    peer: SshPeer, store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    gone, kept = await store.make(), await store.make()
    mounted = tmp_path / "mount"
    async with staging_to(peer, mounted.as_uri(), running=True) as staging:
        await until_state(staging, "ok")
        await peer.kill()
        await store.drop(gone)
        await staging.remove(gone)
        assert not [file for file in found(store.own.root) if gone in file]
        await until(lambda: not [file for file in found(mounted) if gone in file])
        assert [file for file in found(peer.folder) if gone in file]
        await peer.start()
        await until(lambda: not [file for file in found(peer.folder) if gone in file], 30)
        assert store.is_on(peer.folder, kept)
        assert store.is_on(mounted, kept)


async def test_a_sound_that_is_known_again_is_not_removed(
    store: SoundStore, staging_to: StagingOpener, tmp_path: Path
) -> None:
    sound = await store.make()
    mounted = tmp_path / "mount"
    async with staging_to(mounted.as_uri()) as staging:
        await staging.stage(sound)
        await staging.remove(sound)
        await staging.sync(lambda *_: None)
    assert store.is_on(mounted, sound)
