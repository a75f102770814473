"""An opt-out is never lost: not by a hangup, not by a database that is down, not by our own end."""

import asyncio
from collections.abc import Sequence

import pytest
import structlog

from agi.caller import Happening, Playing, Ring, Took
from sounds import ENGINE
from tests.domain.samples import CONTRACT, gather, nodes
from tests.engine.conftest import CALLER, DID, Engine, Phone
from trunx.adapters.store.database import Database
from trunx.adapters.store.journal import Journal
from trunx.adapters.store.suppressions import Suppressions
from trunx.domain.call import EndReason
from trunx.domain.records import Page, Rows, Suppression
from trunx.domain.strict_json import loads

NUMBER = (CALLER,)


async def test_9_puts_the_caller_on_the_list(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = await engine.dial(does="9")
    assert phone.sounds == [engine.sound("welcome.wav")], "no question and no word follows"
    assert phone.ended_by == "server"
    kept = await engine.kept()
    assert kept.way == ["welcome key 9", "dnc done"]
    assert kept.call.end_reason is EndReason.SUPPRESSED
    entry = await engine.suppressions.get(engine.account, CALLER)
    assert (entry.number, entry.source, entry.reason, entry.call) == (CALLER, "ivr", None, kept.call.id)
    assert not engine.journal.waiting


async def test_the_list_is_on_disk_before_the_first_word(engine: Engine) -> None:
    await engine.publish(nodes(dnc={"action": "suppress", "audio": "done.wav"}))
    phone = engine.phone()
    found: list[int] = []

    def watch(happening: Happening) -> None:
        if isinstance(happening, Playing):
            found.append(len(engine.listed()))

    phone.watch = watch
    await phone.call(engine.server.port)
    assert phone.sounds == [engine.sound("done.wav")]
    assert found == [1]


async def test_words_that_come_before_the_node_wait_for_the_list_too(engine: Engine) -> None:
    menu = gather(timeout_node="dnc", timeout_audio="late.wav")
    await engine.publish(nodes(menu=menu, dnc={"action": "suppress"}))
    phone = engine.phone()
    found: dict[str, int] = {}

    def watch(happening: Happening) -> None:
        if isinstance(happening, Playing):
            found[happening.sound] = len(engine.listed())

    phone.watch = watch
    await phone.call(engine.server.port)
    assert found == {engine.sound("menu.wav"): 0, engine.sound("late.wav"): 1}


async def test_who_is_on_the_list_may_ask_again(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    await engine.dial(does="9")
    await engine.dial(does="9")
    second, first = await engine.all_kept()
    assert second.call.end_reason is first.call.end_reason is EndReason.SUPPRESSED
    assert engine.listed() == [(engine.account, CALLER, first.call.id)]


@pytest.mark.parametrize("caller", ["anonymous", "unknown", "1001", ""])
async def test_a_caller_without_a_number_is_logged_and_hung_up(engine: Engine, caller: str) -> None:
    await engine.publish(nodes(dnc={"action": "suppress", "audio": "you-are-on-our-list.wav"}))
    with structlog.testing.capture_logs() as logs:
        phone = await engine.dial(Ring(DID, caller))
    assert (phone.sounds, phone.ended_by) == ([], "server"), "what the audio says would not be true"
    kept = await engine.kept()
    assert (kept.way, kept.call.end_reason) == (["dnc done"], EndReason.SUPPRESS_ANONYMOUS)
    assert engine.listed() == []
    assert [(log["call"], log["account"]) for log in logs if log["log_level"] == "warning"] == [
        (kept.call.id, engine.account)
    ]


async def test_a_hangup_right_after_the_key(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = engine.phone(does="9")

    def watch(happening: Happening) -> None:
        if isinstance(happening, Took):
            phone.caller.hang_up()

    phone.watch = watch
    assert await phone.call(engine.server.port) == "caller"
    await engine.opt_outs.drain()
    kept = await engine.kept()
    assert engine.listed() == [(engine.account, CALLER, kept.call.id)]
    assert kept.way == ["welcome key 9", "dnc hangup"]


class _Slow:
    """The list, which lets the call end before it writes."""

    def __init__(self, behind: Suppressions, phone: Phone) -> None:
        self._behind = behind
        self._phone = phone

    async def add(self, entries: Sequence[Suppression]) -> int:
        self._phone.caller.hang_up()
        await self._phone.over.wait()
        return await self._behind.add(entries)

    async def get(self, account: str, number: str) -> Suppression:
        return await self._behind.get(account, number)

    async def page(self, account: str, page: Page) -> Rows[Suppression]:
        return await self._behind.page(account, page)

    async def delete(self, account: str, number: str) -> None:
        await self._behind.delete(account, number)


async def test_a_hangup_while_the_list_is_written(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = engine.phone(does="9")
    async with engine.serving(suppressions=_Slow(engine.suppressions, phone)) as server:
        assert await phone.call(server.port) == "caller"
        await engine.opt_outs.drain()
    assert [number for _, number, _ in engine.listed()] == [CALLER]
    kept = await engine.kept()
    assert (kept.way[-1], kept.call.end_reason) == ("dnc hangup", EndReason.HANGUP_CALLER)


async def test_the_database_is_down(engine: Engine) -> None:
    """1. The list cannot be written. 2. The caller hears the node's words all the same, and the entry is on
    disk. 3. The database is back: the entry is brought home, once.
    """
    await engine.publish(nodes(dnc={"action": "suppress", "audio": "done.wav"}))
    in_the_way = engine.folder / "away"
    in_the_way.touch()
    async with Database.open(f"sqlite:///{in_the_way}/trunx.db") as database:
        down = Suppressions(database)
        async with engine.serving(suppressions=down):
            phone = await engine.dial()
        assert (phone.sounds, phone.ended_by) == ([engine.sound("done.wav")], "server")
        assert engine.journal.waiting
        assert engine.listed() == []
        kept = await engine.kept()
        assert kept.call.end_reason is EndReason.SUPPRESSED

    # As the next process would, which knows nothing but the file.
    journal = Journal(engine.folder / "suppressions.journal")
    assert await journal.replay(engine.suppressions) == 1
    assert engine.listed() == [(engine.account, CALLER, kept.call.id)]
    assert not journal.waiting
    assert await journal.replay(engine.suppressions) == 0


class _Broken(_Slow):
    """The list with a fault that nobody thought of."""

    async def add(self, entries: Sequence[Suppression]) -> int:
        raise RuntimeError(f"no room for {len(entries)}")


async def test_a_fault_that_nobody_thought_of(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = engine.phone(does="9")
    async with engine.serving(suppressions=_Broken(engine.suppressions, phone)) as server:
        await phone.call(server.port)
    assert await engine.journal.replay(engine.suppressions) == 1
    assert [number for _, number, _ in engine.listed()] == [CALLER]


class _Hanging(_Slow):
    """The list of a database that accepts connections and never answers."""

    async def add(self, entries: Sequence[Suppression]) -> int:
        del entries
        await asyncio.Event().wait()
        return 0


async def test_a_database_that_never_answers_keeps_the_caller_for_two_seconds(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = engine.phone(does="9")
    async with engine.serving(suppressions=_Hanging(engine.suppressions, phone)) as server:
        started = asyncio.get_running_loop().time()
        await phone.call(server.port)
        assert 1.9 < asyncio.get_running_loop().time() - started < 4
    assert engine.journal.waiting


async def test_not_even_the_journal_can_be_written(engine: Engine) -> None:
    """The log is the last place, with everything that somebody needs to list the number by hand."""
    await engine.publish(nodes(dnc={"action": "suppress", "audio": "done.wav"}))
    in_the_way = engine.folder / "away"
    in_the_way.touch()
    engine.journal = Journal(in_the_way / "suppressions.journal")
    phone = engine.phone()
    with structlog.testing.capture_logs() as logs:
        async with engine.serving(suppressions=_Broken(engine.suppressions, phone)) as server:
            await phone.call(server.port)
    assert phone.ended_by == "server"
    critical = next(log for log in logs if log["log_level"] == "critical")
    assert (critical["account"], critical["number"]) == (engine.account, CALLER)


async def test_the_end_of_the_process_waits_for_the_list(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = engine.phone(does="9")
    async with engine.serving(suppressions=_Slow(engine.suppressions, phone)) as server:
        await phone.call(server.port)
        await server.drain(0)
        await engine.opt_outs.drain()
        assert len(engine.listed()) == 1


def test_the_engine_has_no_words_for_it() -> None:
    """The node's audio is the account's; without one the call just ends."""
    assert "suppressed" not in ENGINE
