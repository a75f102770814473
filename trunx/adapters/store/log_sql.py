"""The statements that write an account's log, in the words of each engine.

What is told of calls and of opt-outs is made from their rows by the database itself: the event loop, on which
the calls of the moment live, only says which rows. Both engines read lists from one JSON text.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from sqlalchemy import TextClause, text

# What every `call.*` event says of its call, and what is added when the call is over.
_CALL = {
    "callId": "c.call_id",
    "direction": "c.direction",
    "from": "c.from_number",
    "to": "c.to_number",
    "provider": "CASE WHEN d.ai IS NULL THEN coalesce(c.provider, 'asterisk') ELSE 'ultravox' END",
    "ivr": "c.ivr",
    "ivrVersion": "c.ivr_version",
    "metadata": "{metadata}",
}
_END = _CALL | {
    "endReason": "c.end_reason",
    "duration": "coalesce((c.ended_at - c.answered_at) / 1000, 0)",
    "q850Cause": "c.q850_cause",
    "sipCause": "c.sip_cause",
    "machine": "c.machine",
    "recordings": "{recordings}",
}
_WALK = {
    "ivr": "c.ivr",
    "ivrVersion": "c.ivr_version",
    "endReason": "c.end_reason",
    "steps": "(SELECT count(*) FROM steps s WHERE s.call = c.id)",
}
_STEP = {
    "number": "s.number",
    "node": "s.node",
    "kind": "s.kind",
    "left": "s.left",
    "key": "s.key",
    "ms": "s.left_at - s.entered_at",
    "promptMs": "s.prompt_ms",
    "fallback": "{fallback}",
}
# As they stand when the call ends: their files come later, and are told of by `recording.ready`.
_RECORDING = {
    "id": "r.id",
    "status": "CASE r.state WHEN 'fetching' THEN 'processing' ELSE r.state END",
    "duration": "r.ms / 1000.0",
}
_RECORDINGS = """
  (SELECT {all} FROM
    (SELECT * FROM recordings WHERE call = c.id AND state <> 'deleted' ORDER BY started_at, id) r)
"""
_SUPPRESSION = {"number": "s.number", "source": "s.source", "reason": "s.reason"}

_COLUMNS = "(account, name, call, place, type, at, data)"

# A call's events in the order of `place`; a step's is twice its number, what happened after it one more.
_OF_CALLS = """
  SELECT c.account, c.id || '\\:answered', c.id, 0, 'call.answered', c.answered_at, {call}
    FROM asked JOIN calls c ON c.id = asked.call LEFT JOIN dials d ON d.call = c.id
    WHERE c.answered_at IS NOT NULL AND c.status IN ('answered', 'completed')
  UNION ALL
  SELECT c.account, c.id || ':' || c.status, c.id, 0, 'call.' || c.status,
      coalesce(CASE c.status WHEN 'ringing' THEN c.ringing_at END, c.created_at), {call}
    FROM asked JOIN calls c ON c.id = asked.call LEFT JOIN dials d ON d.call = c.id
    WHERE c.status IN ('initiated', 'ringing') AND c.direction = 'outbound'
  UNION ALL
  SELECT c.account, c.id || '\\:step\\:' || s.number, c.id, 2 * s.number, 'ivr.step', s.left_at, {step}
    FROM asked JOIN calls c ON c.id = asked.call JOIN steps s ON s.call = c.id AND s.number >= asked.first
  UNION ALL
  SELECT c.account, c.id || '\\:walked', c.id, 1000000000, 'ivr.completed',
      coalesce(c.ended_at, c.created_at), {walk}
    FROM asked JOIN calls c ON c.id = asked.call
    WHERE c.ivr IS NOT NULL AND c.answered_at IS NOT NULL AND c.status IN ('completed', 'failed')
  UNION ALL
  SELECT c.account, c.id || ':' || c.status, c.id, 1000000001, 'call.' || c.status,
      coalesce(c.ended_at, c.created_at), {end}
    FROM asked JOIN calls c ON c.id = asked.call LEFT JOIN dials d ON d.call = c.id
    WHERE c.status IN ('completed', 'failed')
  UNION ALL
  SELECT account, name, call, place, type, at, data FROM given
"""

# An entry that stood before was added at another time than ours.
_OF_SUPPRESSIONS = """
  SELECT s.account, 'suppression:' || s.account || ':' || s.number || ':' || s.created_at, s.call,
      row_number() OVER (ORDER BY s.number), 'suppression.added', s.created_at, {suppression}
    FROM asked JOIN suppressions s
      ON s.account = asked.account AND s.number = asked.number AND s.created_at = asked.created_at
"""

# Numbers follow those of the account's head, which is made by its first event.
_WRITE = """
INSERT INTO events (account, seq, id, call, type, at, data)
SELECT told.account,
    coalesce(heads.seq, 0) + row_number() OVER (PARTITION BY told.account ORDER BY {order}),
    told.name, told.call, told.type, told.at, told.data
  FROM told LEFT JOIN event_heads heads ON heads.account = told.account
  WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.id = told.name)
  RETURNING account{more}
"""

# Names that the recorder makes grow; of a call's other events no two have one place.
_BY_CALL = "told.call, told.place, told.name"

# PostgreSQL: taking the heads first, in one order, orders those who write, and makes what they write visible
# in that order. SQLite has one writer at a time.
_HOLD = """
INSERT INTO event_heads (account, seq) SELECT DISTINCT account, 0 FROM {} WHERE true ORDER BY account
ON CONFLICT (account) DO UPDATE SET seq = event_heads.seq
"""

# SQLite changes no rows in a WITH.
_RAISE = """
INSERT INTO event_heads (account, seq)
  SELECT account, (SELECT max(seq) FROM events WHERE events.account = asked.account) FROM asked WHERE true
ON CONFLICT (account) DO UPDATE SET seq = excluded.seq
"""
_AND_RAISE = """
UPDATE event_heads SET seq = last.seq
  FROM (SELECT account, max(seq) AS seq FROM written GROUP BY account) AS last
  WHERE event_heads.account = last.account
  RETURNING event_heads.account
"""


class Statements(NamedTuple):
    """`hold...` take the heads of accounts; what follows writes, and says of which accounts there is news.
    `raise_heads` ends it. None: nothing is to be done. Parameters: `rows`, `calls` and `accounts`, each a
    JSON text.
    """

    hold: TextClause | None
    hold_of_calls: TextClause | None
    of_calls: TextClause
    of_suppressions: TextClause
    given: TextClause
    raise_heads: TextClause | None


@cache
def statements(*, is_sqlite: bool) -> Statements:
    """The statements for SQLite, or else for PostgreSQL."""
    words = _Sqlite() if is_sqlite else _Postgresql()
    asked = f"asked (call, first) AS ({words.pairs('calls')})"
    given = f"given {_COLUMNS} AS ({words.taken('rows', 'tttntnt')})"
    whose = (
        "(SELECT account FROM asked JOIN calls ON calls.id = asked.call UNION SELECT account FROM given) AS w"
    )
    accounts = f"asked (account) AS ({words.taken('accounts', 't')})"
    of_calls = _OF_CALLS.format(
        call=words.made(_CALL), end=words.made(_END), walk=words.made(_WALK), step=words.made(_STEP)
    )
    entries = f"asked (account, number, created_at) AS ({words.taken('rows', 'ttn')})"
    of_suppressions = _OF_SUPPRESSIONS.format(suppression=words.made(_SUPPRESSION))

    def write(*tables: str, order: str) -> TextClause:
        listed = ", ".join(tables)
        if is_sqlite:
            return text(f"WITH {listed} {_WRITE.format(order=order, more='')}")
        written = _WRITE.format(order=order, more=", seq")
        return text(f"WITH {listed}, written AS ({written}) {_AND_RAISE}")

    return Statements(
        hold=None if is_sqlite else text(f"WITH {accounts} {_HOLD.format('asked')}"),
        hold_of_calls=None if is_sqlite else text(f"WITH {asked}, {given} {_HOLD.format(whose)}"),
        of_calls=write(asked, given, f"told {_COLUMNS} AS ({of_calls})", order=_BY_CALL),
        of_suppressions=write(entries, f"told {_COLUMNS} AS ({of_suppressions})", order="told.place"),
        given=write(f"told {_COLUMNS} AS ({words.taken('rows', 'tttntnt')})", order="told.place"),
        raise_heads=text(f"WITH {accounts} {_RAISE}") if is_sqlite else None,
    )


class _Sqlite:
    def pairs(self, name: str) -> str:
        """Keys and numbers out of a JSON object."""
        return f"SELECT key, value FROM json_each(:{name})"  # noqa: S608 - our own words, as below

    def taken(self, name: str, kinds: str) -> str:
        """The columns of a JSON list of lists: a letter for each, `t`ext or `n`umber."""
        columns = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(kinds)))
        return f"SELECT {columns} FROM json_each(:{name})"  # noqa: S608

    def made(self, fields: Mapping[str, str]) -> str:
        """A JSON object as text; values that are no plain columns are in braces."""
        return f"json_object({_fields(fields)})".format(
            metadata="json(coalesce(d.metadata, 'null'))",
            recordings=_RECORDINGS.format(all=f"json_group_array(json_object({_fields(_RECORDING)}))"),
            fallback="json(CASE WHEN s.fallback THEN 'true' ELSE 'false' END)",
        )


class _Postgresql:
    def pairs(self, name: str) -> str:
        return f"SELECT key, CAST(value AS bigint) FROM jsonb_each_text(CAST(:{name} AS jsonb))"  # noqa: S608

    def taken(self, name: str, kinds: str) -> str:
        columns = ", ".join(
            f"CAST(value ->> {place} AS {'bigint' if kind == 'n' else 'text'})"
            for place, kind in enumerate(kinds)
        )
        return f"SELECT {columns} FROM jsonb_array_elements(CAST(:{name} AS jsonb))"  # noqa: S608

    def made(self, fields: Mapping[str, str]) -> str:
        return f"CAST(json_build_object({_fields(fields)}) AS text)".format(
            metadata="CAST(d.metadata AS json)",
            recordings=_RECORDINGS.format(
                all=f"coalesce(json_agg(json_build_object({_fields(_RECORDING)})), CAST('[]' AS json))"
            ),
            fallback="s.fallback",
        )


def _fields(fields: Mapping[str, str]) -> str:
    return ", ".join(f"'{name}', {value}" for name, value in fields.items())
