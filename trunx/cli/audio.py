"""`trunx audio sync`: brings every sound to every Asterisk now, and says what is still missing."""

import asyncio
import sys
from collections.abc import Mapping

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.adapters.hosts.staging import Staging
from trunx.adapters.hosts.supply import Synced
from trunx.cli.terminal import StopError, err, opened, out, quiet, read_settings
from trunx.settings import PREFIX, Settings


def sync() -> None:
    """Prints what was done on each host; exits 1 when sounds are still missing."""
    quiet()
    settings = read_settings()
    if not settings.sounds_url:
        out.print(
            f"{PREFIX}SOUNDS_URL is not set: Asterisk plays from {settings.sounds()}, and nothing is copied."
        )
        return
    done = asyncio.run(_sync(settings))
    for place, host in done.items():
        problem = f": {host.problem}" if host.problem else ""
        out.print(
            f"{place}: {host.brought} brought, {host.removed} removed, {host.missing} missing{problem}",
            soft_wrap=True,
        )
    if any(host.missing or host.problem for host in done.values()):
        sys.exit(1)


async def _sync(settings: Settings) -> Mapping[str, Synced]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bars: dict[str, TaskID] = {}

    def progress(place: str, there: int, wanted: int) -> None:
        if place not in bars:
            bars[place] = shown.add_task(place)
        shown.update(bars[place], completed=there, total=wanted)

    async with opened(settings) as database:
        try:
            staging = Staging(
                database,
                SoundFolder(settings.sounds()),
                settings.sounds_url,
                known_hosts=settings.ssh_known_hosts,
                keys=settings.ssh_keys,
            )
        except ValueError as error:
            raise StopError(f"{PREFIX}SOUNDS_URL: {error}", 2) from None
        async with staging:
            with Progress(*columns, console=err) as shown:
                return await staging.sync(progress)
