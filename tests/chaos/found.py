"""What a round has left behind, and whether that is as it must be. Nothing here asks anybody anything."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ORDERS_AT_ONCE = 2
"""How many orders to dial may be on their way, and so be lost with a process, a connection or an Asterisk."""

_ORDER = ("call.initiated", "call.ringing", "call.answered", "call.completed", "call.failed")
_ENDS = ("call.completed", "call.failed")


@dataclass
class Found:
    """One round.

    Attributes:
        requests: the number called by each request that was sent.
        placed: the ids that were answered, by number called.
        rows: the calls as the API shows them in the end; with `dialledAt`, which it does not show.
        invites: how often each number was dialled.
        log: the account's events in the order of the log.
        got: the events in the order in which the receiver took them.
        listed: what GET /api/voice/{id}/events says, by call.
        live: rows that were live and channels that were there when the time was over.
        seconds: from the last fault until there was no live row and no channel, and all was told.
        at_once: the most channels that were seen at a time.
    """

    requests: Sequence[str]
    placed: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    invites: Mapping[str, int]
    log: Sequence[Mapping[str, Any]]
    got: Sequence[Mapping[str, Any]]
    listed: Mapping[str, Sequence[Mapping[str, Any]]]
    live: tuple[int, int]
    seconds: float
    at_once: int
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def told(self) -> list[Mapping[str, Any]]:
        """What the receiver keeps: each event when it comes for the first time."""
        first: dict[str, Mapping[str, Any]] = {}
        for event in self.got:
            first.setdefault(event["id"], event)
        return list(first.values())

    @property
    def undialled(self) -> list[Mapping[str, Any]]:
        """The calls without an INVITE."""
        return [row for row in self.rows if not self.invites.get(row["to"])]

    @property
    def disordered(self) -> int:
        """Calls whose events came in another order than that of the log."""
        told = _by_call(self.told)
        return sum(told[call] != list(events) for call, events in self.listed.items())

    def counts(self) -> dict[str, Any]:
        """The figures of the table."""
        why = Counter(str(row["endReason"]) for row in self.undialled)
        return {
            "requests": len(self.requests),
            "accepted": len(self.rows),
            "answered": len(self.placed),
            "invites": sum(self.invites.values()),
            "most": max(self.invites.values(), default=0),
            "undialled": " ".join(f"{reason}:{count}" for reason, count in sorted(why.items())) or "0",
            "at once": self.at_once,
            **{name: self.faults[name] for name in ("kills", "cuts", "freezes", "restarts")},
            "log": len(self.log),
            "receiver": len(self.told),
            "again": len(self.got) - len(self.told),
            "disorder": self.disordered,
            "rows": self.live[0],
            "channels": self.live[1],
            "seconds": round(self.seconds, 1),
        }

    def breaches(self) -> list[str]:
        """What is not as it must be, in a sentence each."""
        return [*self._dialling(), *self._ends(), *self._telling(), *self._stories()]

    def _dialling(self) -> list[str]:
        said = []
        rows = Counter(row["to"] for row in self.rows)
        said += [f"{number}: {count} rows for one request" for number, count in rows.items() if count > 1]
        said += [
            f"{number}: {count} INVITEs for {rows[number]} rows"
            for number, count in self.invites.items()
            if count > rows[number]
        ]
        kept = {row["id"] for row in self.rows}
        said += [f"{number}: no row of {call}" for number, call in self.placed.items() if call not in kept]
        for row in self.undialled:
            if row["status"] != "failed":
                said.append(f"{row['id']}: {row['status']} without an INVITE")
            elif row["dialledAt"] is None:
                said.append(f"{row['id']}: accepted, and nobody ordered it to be dialled: {row['endReason']}")
        most = ORDERS_AT_ONCE * self.faults.total()
        if len(self.undialled) > most:
            said.append(f"{len(self.undialled)} calls without an INVITE, more than {most}")
        return said

    def _ends(self) -> list[str]:
        said = [f"{row['id']}: still {row['status']}" for row in self.rows if row["endedAt"] is None]
        if any(self.live):
            said.append(f"{self.live[0]} live rows and {self.live[1]} channels are left")
        return said

    def _telling(self) -> list[str]:
        said = []
        if [event["seq"] for event in self.log] != list(range(1, len(self.log) + 1)):
            said.append("the log's numbers have a gap")
        kept = {event["id"]: event for event in self.log}
        got = {event["id"]: event for event in self.got}
        said += [f"{name}: never told" for name in kept.keys() - got.keys()]
        said += [f"{name}: told otherwise than logged" for name in got if got[name] != kept.get(name)]
        logged, told = _by_call(self.log), _by_call(self.told)
        for call, events in self.listed.items():
            if logged[call] != list(events):
                said.append(f"{call}: its list of events is not the log's")
            if told[call] != list(events):
                said.append(f"{call}: told as {_types(told[call])}, happened as {_types(events)}")
        return said

    def _stories(self) -> list[str]:
        said = []
        for row in self.rows:
            events = self.listed[row["id"]]
            types = _types(events)
            states = [_ORDER.index(one) for one in types if one in _ORDER]
            is_whole = (
                types[:1] == ["call.initiated"]
                and types[-1:] == [f"call.{row['status']}"]
                and sum(one in _ENDS for one in types) == 1
                and states == sorted(set(states))
            )
            if not is_whole:
                said.append(f"{row['id']}: {row['status']}, but the events are {types}")
            elif events[-1]["data"]["endReason"] != row["endReason"]:
                said.append(f"{row['id']}: told {events[-1]['data']['endReason']}, is {row['endReason']}")
        return said


def _by_call(events: Sequence[Mapping[str, Any]]) -> defaultdict[str, list[Mapping[str, Any]]]:
    found = defaultdict(list)
    for event in events:
        found[event["call"]].append(event)
    return found


def _types(events: Sequence[Mapping[str, Any]]) -> list[str]:
    return [event["type"] for event in events]
