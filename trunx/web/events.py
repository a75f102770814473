"""`/api/events`: the account's log as a stream of Server-Sent Events, for as long as the client listens.

It reads the log at the client's own pace, a page at a time, and keeps nothing: a client that is slow costs a
connection, and one that comes back says where it was.
"""

import time
from collections.abc import AsyncIterator, Collection

from pydantic import Field

from trunx.domain.call import Event
from trunx.domain.log import EventType, as_json
from trunx.domain.strict_json import dumps
from trunx.engine.log_ports import Log
from trunx.web.models import RequestQuery
from trunx.web.operation import Asked, Operation
from trunx.web.problems import Kind, ProblemError
from trunx.web.streams import StreamAnswer

HEARTBEAT = 15.0  # seconds of silence after which the stream shows that it is alive
PAGE = 200  # events that are in memory at once
POLL = 2.0  # seconds until the log is looked at without news
MEDIA_TYPE = "text/event-stream"

EVENTS_GONE = Kind(410, "events-gone", "The events after this one are not kept any more")


class EventQuery(RequestQuery):
    """Which events."""

    types: str | None = Field(
        default=None,
        pattern=rf"^({'|'.join(EventType)})(,({'|'.join(EventType)}))*$".replace(".", r"\."),
        description="Only events of these types, by comma.",
        examples=["call.completed,call.failed"],
    )
    after: int | None = Field(
        default=None,
        ge=0,
        lt=2**53,
        description="Begin after the event with this `seq`; `Last-Event-ID` is the same and goes before it. "
        "Without either the stream begins with what happens from now on.",
    )
    follow: bool = Field(default=True, description="`false`: end with the newest event that there is.")


async def stream_events(asked: Asked, query: EventQuery) -> StreamAnswer:
    """Follow the account's events (Server-Sent Events).

    Each event has its `seq` as `id`, its type as `event`, and as `data` the JSON that webhooks get too. A
    client that was cut off sends the last `id` that it saw as `Last-Event-ID` (browsers do) and misses none;
    when events after that one are not kept any more, the answer is 410 instead.
    """
    log, account, url = asked.ports.log, asked.account, asked.ports.public_url
    types = frozenset(query.types.split(",")) if query.types else frozenset(EventType)

    async def begin(last_id: str) -> AsyncIterator[bytes]:
        newest, first = await log.head(account), await log.first(account)
        place = int(last_id) if last_id.isascii() and last_id.isdecimal() else query.after
        if place is not None and 0 < place < first - 1:
            raise ProblemError(
                EVENTS_GONE,
                f"events up to {first - 1} are not kept any more; begin with all that are: after=0",
            )
        # Who knows of more than there is has seen another log.
        return pieces(newest if place is None else min(place, newest), newest)

    async def pieces(after: int, newest: int) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        if query.follow:
            async for piece in _followed(log, account, after, types, url):
                yield piece
        while not query.follow and after < newest and (page := await log.read(account, after, PAGE)):
            yield _written(page, types, url)
            after = page[-1].seq or after

    return StreamAnswer(begin, MEDIA_TYPE)


async def _followed(
    log: Log, account: str, after: int, types: Collection[str], url: str
) -> AsyncIterator[bytes]:
    with log.listening(account) as bell:
        silent_since = time.monotonic()
        while True:
            page = await log.read(account, after, PAGE)
            if page:
                after = page[-1].seq or after
            if written := _written(page, types, url):
                yield written
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since >= HEARTBEAT:
                # Without data it is no event, and still says where to go on.
                yield b": alive\nid: %d\n\n" % after
                silent_since = time.monotonic()
            if len(page) < PAGE:
                await bell.wait(POLL)


def _written(page: Collection[Event], types: Collection[str], url: str) -> bytes:
    return "".join(
        f"id: {event.seq}\nevent: {event.type}\ndata: {dumps(as_json(event, url))}\n\n"
        for event in page
        if event.type in types
    ).encode()


OPERATIONS = (Operation("GET", "/api/events", stream_events, {200: MEDIA_TYPE}, (EVENTS_GONE,)),)
