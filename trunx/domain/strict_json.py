"""JSON as this project accepts it: one value per key, finite numbers, text that every store can hold.

Python's reader keeps the last of two equal keys and lets `NaN` through; a tree that lost a node that way
would be saved without a word.
"""

import json
from typing import Any, NoReturn


class JsonError(ValueError):
    """The text is not JSON that can be accepted; the message says what and where.

    `place` leads to a value that cannot be stored, through keys and indices; empty where the text itself is
    at fault.
    """

    def __init__(self, message: str, place: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.place = place


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise JsonError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not a JSON number")


def loads(text: bytes) -> Any:
    """The value of `text` (UTF-8).

    Raises:
        JsonError: not UTF-8, not JSON, a duplicated key, a number or a text that cannot be stored.
    """
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_constant)
    except JsonError:
        raise
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except (RecursionError, ValueError) as error:  # too deep; an integer of thousands of digits
        raise JsonError(str(error)) from None
    _check_text(value)
    return value


def dumps(value: Any) -> str:
    """Compact JSON in the order of `value`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _check_text(value: Any) -> None:
    """NUL is refused by PostgreSQL's text, a lone surrogate by UTF-8 itself."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while pending:
        place, item = pending.pop()
        if isinstance(item, str):
            if "\x00" in item or any("\ud800" <= char <= "\udfff" for char in item):
                raise JsonError("a text holds a NUL or a lone surrogate", place)
        elif isinstance(item, dict):
            pending.extend((place, key) for key in item)
            pending.extend(((*place, key), inner) for key, inner in item.items())
        elif isinstance(item, list):
            pending.extend(((*place, index), inner) for index, inner in enumerate(item))
        elif isinstance(item, float) and item in (float("inf"), float("-inf")):
            raise JsonError("a number is too large", place)
