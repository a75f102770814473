"""Lists by cursor, newest first: a page begins after the last row of the one before, by (moment, name).

A cursor names a place in the order and not a count of rows, so rows that come in meanwhile shift nothing.
"""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, Select, literal, tuple_

from trunx.adapters.store.tables import Moment, Name, milliseconds
from trunx.domain.errors import InvalidCursorError
from trunx.domain.records import Page, Rows

T = TypeVar("T")
_LONGEST = 400  # characters of a cursor
_LARGEST = 2**53  # milliseconds; far beyond any date, within every integer


def page_of(query: Select[Any], page: Page, moment: Column[datetime], name: Column[str]) -> Select[Any]:
    """`query` narrowed to `page`, and one row more, which tells whether another page follows.

    Raises:
        InvalidCursorError: the page's cursor was not made by `rows`.
    """
    query = query.order_by(moment.desc(), name.desc()).limit(page.limit + 1)
    if page.cursor is None:
        return query
    last_moment, last_name = _place(page.cursor)
    # The moment travels as the integer that it is stored as.
    place = tuple_(literal(last_moment, Moment.impl), literal(last_name, Name))
    return query.where(tuple_(moment, name) < place)


def rows(found: Sequence[T], page: Page, place: Callable[[T], tuple[datetime, str]]) -> Rows[T]:
    """The page that `found` (from a `page_of` query) makes; `place` says where a row stands."""
    if len(found) <= page.limit:
        return Rows(found, None)
    kept = found[: page.limit]
    moment, name = place(kept[-1])
    written = json.dumps([milliseconds(moment), name], separators=(",", ":")).encode()
    return Rows(kept, base64.urlsafe_b64encode(written).decode().rstrip("="))


def _place(cursor: str) -> tuple[int, str]:
    cursor = cursor[:_LONGEST]
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, name = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        name.encode()
    except (ValueError, TypeError, AttributeError):
        raise InvalidCursorError("this cursor was not made by this list") from None
    if type(moment) is not int or not 0 <= moment < _LARGEST or type(name) is not str or "\x00" in name:
        raise InvalidCursorError("this cursor was not made by this list")
    return moment, name
