"""What the engine and the API need of the outside: small Protocols that the adapters fulfil.

Shared rules: every method may raise `UnavailableError` (the outside cannot be reached within the adapter's
own deadline) unless it says that it never waits; an account never sees what another one owns.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trunx.domain.account import Account, Key
from trunx.domain.audio import Audio, Sound, Speech, Staged, Use, VoiceInfo
from trunx.domain.call import Call, Event, Step
from trunx.domain.channel import Fact, LiveChannel, Originate
from trunx.domain.dial import Dial, Judge, Reading
from trunx.domain.gate import Capacity, Facts, Full, Verdict
from trunx.domain.idempotency import Answer, Claim
from trunx.domain.records import CallFilter, Did, Ivr, Lease, Line, Page, PartState, Rows, Suppression


class Ivrs(Protocol):
    """IVRs and their versions. A write and the new revision of every DID behind it are one transaction."""

    async def create(self, account: str, ivr_id: str, document: dict[str, Any]) -> Ivr:
        """Version 1. Raises `ExistsError`."""

    async def change(
        self, account: str, ivr_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Ivr:
        """The next version: `change` is called once with the newest document, inside the transaction; what it
        raises leaves all as it was. Raises `NotFoundError`.
        """

    async def get(self, account: str, ivr_id: str) -> Ivr:
        """Raises `NotFoundError`."""

    async def page(self, account: str, page: Page) -> Rows[Ivr]:
        """Raises `InvalidCursorError`."""

    async def delete(self, account: str, ivr_id: str) -> None:
        """Raises `NotFoundError`, `AssignedError`."""

    async def assign(self, account: str, ivr_id: str, did: str) -> str | None:
        """Puts the IVR behind `did`, registering it when it is new; the former IVR's id.

        Raises `NotFoundError` (the IVR), `OwnedByAnotherError`.
        """


class Dids(Protocol):
    """Numbers of the accounts. Each write gives the DID a new revision."""

    async def create(
        self, account: str, did: str, ivr_id: str | None, label: str | None, agent: str | None = None
    ) -> Did:
        """Raises `ExistsError` (this account's already), `OwnedByAnotherError`, and `NotFoundError`, whose
        args[0] says what: `ivr` or `agent`.
        """

    async def change(self, account: str, did: str, fields: dict[str, str | None]) -> Did:
        """Sets `ivr`, `agent`, `label` where named. Raises `NotFoundError` with `did`, `ivr` or `agent`."""

    async def get(self, account: str, did: str) -> Did:
        """Raises `NotFoundError`."""

    async def page(self, account: str, page: Page) -> Rows[Did]: ...

    async def delete(self, account: str, did: str) -> None:
        """Gives the number up. Raises `NotFoundError`."""


class Suppressions(Protocol):
    """The do-not-call lists. What `add` returned from survives a power cut."""

    async def add(self, entries: Sequence[Suppression]) -> int:
        """How many were new; an entry that stands already is left as it was."""

    async def get(self, account: str, number: str) -> Suppression:
        """Raises `NotFoundError`."""

    async def page(self, account: str, page: Page) -> Rows[Suppression]: ...

    async def delete(self, account: str, number: str) -> None:
        """Raises `NotFoundError`."""


class Calls(Protocol):
    """Calls as they are kept, for reading."""

    async def get(self, account: str, call: str) -> Call:
        """Raises `NotFoundError`."""

    async def page(self, account: str, which: CallFilter, page: Page) -> Rows[Call]: ...

    async def steps(self, account: str, call: str) -> Sequence[Step]:
        """In the order they were taken. Raises `NotFoundError`."""

    async def events(self, account: str, call: str) -> Sequence[Event]:
        """In the order they happened. Raises `NotFoundError`."""


class Recorder(Protocol):
    """Writes what happens in calls, behind the calls' back: no method but `flush` waits or raises."""

    def call(self, call: Call) -> None:
        """The call as it is now; replaces what was recorded of it before."""

    def step(self, step: Step) -> None: ...

    def event(self, event: Event) -> None: ...

    async def flush(self) -> None:
        """Returns when all of it is written. Raises `UnavailableError`; it is kept then."""


class Accounts(Protocol):
    """Accounts and keys."""

    async def create(self, name: str) -> Account: ...

    async def list_accounts(self) -> Sequence[Account]: ...

    async def create_key(self, account: str, name: str, secret: str) -> Key:
        """Raises `NotFoundError` (the account), `ExistsError` (the secret is in use)."""

    async def list_keys(self, account: str | None = None) -> Sequence[Key]: ...

    async def revoke_key(self, key_id: str) -> Key:
        """Raises `NotFoundError`."""

    async def authenticate(self, secret: str) -> Account | None:
        """Whose key `secret` is; None for one that is unknown or revoked."""


class IdempotencyKeys(Protocol):
    """Answers kept for 24 hours; a claim that was never settled lapses after a minute."""

    async def claim(self, account: str, key: str, request_hash: str) -> Claim: ...

    async def keep(self, account: str, key: str, answer: Answer) -> None: ...

    async def forget(self, account: str, key: str) -> None: ...


class Lines(Protocol):
    """The published trees, as call time reads them."""

    async def find(self, did: str) -> Line | None:
        """What stands behind `did`; None when nobody owns it. Falls back from the cache to the database and
        then to the last answer for this DID; raises `UnavailableError` only when none of the three knows.
        """

    async def publish(self, dids: Sequence[str]) -> None:
        """Brings what the database says of `dids` to the cache. Never raises: what fails is caught up."""


class Journal(Protocol):
    """Opt-outs that the database could not take: on disk before `write` returns, replayed when it can."""

    async def write(self, entry: Suppression) -> None: ...


class Sounds(Protocol):
    """Which sounds Asterisk has, as far as we can see its folder. Never waits."""

    def seconds(self, sound: str) -> float | None:
        """How long `sound` (`trunx/...`, no extension) plays; None when it is not there or not known."""


class Audios(Protocol):
    """The accounts' audio, and the sounds that exist.

    A node names an audio by its id, its name or its uploaded file's name, in this order of precedence; among
    equals the newest that is not `failed` is meant. What changes a tree's sounds gives the DIDs behind it a
    new revision in the same transaction, and returns them: they are to be published.
    """

    async def add(self, audio: Audio) -> None: ...

    async def settle(self, audio: Audio) -> Sequence[str]:
        """Writes what became of an audio that was `processing`. Raises `NotFoundError`: it was deleted."""

    async def get(self, account: str, audio_id: str) -> Audio:
        """Raises `NotFoundError`."""

    async def page(self, account: str, page: Page) -> Rows[Audio]: ...

    async def delete(self, account: str, audio_id: str) -> Sequence[str]:
        """Raises `NotFoundError`."""

    async def uses(self, account: str, audio_ids: Collection[str]) -> Mapping[str, Sequence[Use]]:
        """Which nodes of today's trees play each of the audios; none for an id that is not there."""

    async def unknown(self, account: str, names: Collection[str]) -> set[str]:
        """Those of the names (as nodes write them) behind which there is no audio."""

    async def end_lost(self) -> None:
        """Fails what this server was processing when it last ended."""

    async def spoken(self, key: str) -> Sound | None:
        """The sound that was made for a `Speech` with this key."""

    async def keep(self, sound: Sound, key: str | None = None) -> None:
        """Notes that a sound exists, and the key of the speech it was made for. May be told again."""

    async def unused(self, limit: int) -> Sequence[str]:
        """Sounds that no audio points to, and that no call which is still live can have been told of."""

    async def drop(self, sound: str) -> bool:
        """Forgets a sound that is still unused, its speech too; False when it is in use again."""


class Words(Protocol):
    """What is said in sounds, written beside them for people and for the simulator."""

    async def note(self, sound: str, words: str) -> None:
        """Raises `OSError`."""


class Studio(Protocol):
    """Makes sounds of files, in a pool of worker processes: no method holds the event loop."""

    async def master(self, source: Path) -> Sound:
        """Decodes, levels and keeps `source` in our own folder of sounds. Raises `UnusableSoundError`."""

    async def encoded(self, sound: str, kind: str) -> Path:
        """A file of the sound as `wav`, `mp3` or `ulaw`. Raises `NotFoundError`: its files are gone."""


class Voices(Protocol):
    """Speech from text, by one provider."""

    async def plan(self, text: str, voice: str | None) -> Speech:
        """What would be said, and by whom (`voice` is an id, a name or an alias). Raises `SpeechError`."""

    async def speak(self, speech: Speech, target: Path) -> Speech:
        """Writes a sound file that the studio can decode; the speech as it was said, which differs (voice,
        key) when the fallback voice had to stand in. Raises `SpeechError`.
        """

    async def voices(self) -> Sequence[VoiceInfo]:
        """Raises `SpeechError`."""


class Staging(Protocol):
    """Brings sounds from our own folder to every Asterisk."""

    async def stage(self, sound: str) -> None:
        """Returns when every host has it or has failed once, and after a few seconds at the latest; what is
        missing then is caught up later. Never raises.
        """

    async def states(self, sounds: Collection[str]) -> Mapping[str, Sequence[Staged]]:
        """Each sound on each host."""

    async def remove(self, sound: str) -> None:
        """Takes it off every host, and out of our own folder; a host that is down is caught up later."""


class Dials(Protocol):
    """Calls that we place, and what becomes of any call. Each write tells the account's log what it changed,
    in the same transaction.
    """

    async def create(self, call: Call, dial: Dial) -> None:
        """Raises `ExistsError`: there is a call with this id."""

    async def get(self, account: str, call: str) -> tuple[Call, Dial | None]:
        """A call, and what was asked for with it if we placed it. Raises `NotFoundError`."""

    async def of_channel(self, channel: str) -> tuple[Call, Dial | None]:
        """The call that we placed by this channel, whoever owns it. Raises `NotFoundError`."""

    async def live(self) -> Sequence[tuple[Call, Dial]]:
        """All calls that we placed and that have not ended, whichever process placed them."""

    async def live_inbound(self) -> Sequence[Call]:
        """The calls that came in to this process and have not ended."""

    async def inbound_of(self, channels: Collection[str]) -> Mapping[str, str]:
        """The ids of the live inbound calls on these channels, by channel."""

    async def ended(self, ids: Collection[str]) -> Collection[str]:
        """Which of these calls exist and have ended, so that nothing of them may go on: a transfer by request
        ends a call, too, but not its channel.
        """

    async def metadata(self, ids: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """What was asked to be kept with those of the calls that we placed."""

    async def by_ai(self, ids: Collection[str]) -> Collection[str]:
        """Those of the calls that we placed for an AI agent to talk in."""

    async def standing(self, account: str, from_number: str, to_number: str) -> Facts:
        """What the gate needs to know, but for the leases."""

    async def claim(self, call: str, judge: Judge) -> tuple[Call, Dial] | Verdict | None:
        """Lets one process, once, dial a call that is live: it is that process when a call is returned.

        A verdict that refuses has ended the call; None: it has ended, or somebody dials it already. What
        `judge` raises passes, and nothing is written.
        """

    async def unclaim(self, call: str) -> None:
        """Of a claimed call: nothing was sent, and it may wait for another turn."""

    async def settle(self, news: Mapping[str, Reading]) -> Mapping[str, tuple[Call, Call]]:
        """Lets the calls, by id, become what the news make of them: how each was and how it is then."""

    async def detected(self, call: str, machine: str, cause: str) -> None:
        """Who has answered: `human`, `machine` or `unknown`, and Asterisk's reason."""


class IvrLines(Protocol):
    """What an IVR that stands behind no number plays."""

    async def version(self, account: str, ivr: str) -> int:
        """Its newest version. Raises `NotFoundError`."""

    async def line(self, account: str, ivr: str, version: int) -> Line:
        """A version's tree with its sounds. Raises `NotFoundError`."""


class Leases(Protocol):
    """The places of live calls in their account and trunk, shared by all processes."""

    async def take(self, lease: Lease, of_account: Capacity, of_trunk: Capacity) -> Full | None:
        """None: taken, for a call dialled now; asked again for the same call, it is not counted twice."""

    async def look(self, account: str, trunk: str, of_account: Capacity, of_trunk: Capacity) -> Full | None:
        """What `take` would say, without taking."""

    async def renew(self, leases: Iterable[Lease]) -> None: ...

    async def release(self, *leases: Lease) -> None: ...


class Switch(Protocol):
    """An Asterisk that can be told to dial. `place` is its name; `facts` are for one taker."""

    @property
    def place(self) -> str: ...

    @property
    def facts(self) -> AsyncIterator[Fact]: ...

    @property
    def is_ready(self) -> bool:
        """Whether it can be told, as far as is known."""

    async def answers(self) -> bool:
        """Whether it can be told: it is asked, and answers."""

    async def originate(self, wanted: Originate) -> None:
        """Raises `UnavailableError` (nothing was sent), `AmiRefusedError` (nobody will be dialled),
        `AmiUnknownError` (somebody may be: never again, ask `channels`), `ValueError` (cannot be sent).
        """

    async def hangup(self, channel: str, cause: int = 16) -> bool:
        """Ends a channel; False: there is none, or no longer. Raises `UnavailableError`."""

    async def set_variable(self, channel: str, name: str, value: str) -> None:
        """Raises `AmiRefusedError`: there is no such channel."""

    async def channels(self) -> Sequence[LiveChannel]:
        """Every channel that exists."""


class Part(Protocol):
    """A part of the outside that can tell how it is."""

    async def state(self) -> PartState:
        """Answers within two seconds; never raises."""
