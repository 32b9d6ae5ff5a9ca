"""Where a page of a list ended: a place in the order, not a row, so it holds when the row moves or goes."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from math import isfinite

import orjson

from core.errors import InvalidInput

LONGEST = 300
# No id has a dot: what has this in front is a cursor, and everything else is taken for an id.
_MARK = "c."
_MOST = 2**63


def cursor(kind: str, moment: float, key: str) -> str:
    """The place of the row `key`, which stands in its list by `moment`; opaque to whoever gets it.

    Args:
        kind: Which list: a cursor of one is none of another.
    """
    return _MARK + urlsafe_b64encode(orjson.dumps([kind, moment, key])).decode().rstrip("=")


def is_cursor(given: str) -> bool:
    """True for what may be a cursor, and false for an id."""
    return given.startswith(_MARK)


def place_of(kind: str, given: str) -> tuple[float, str]:
    """The moment and the key in a cursor.

    Raises:
        InvalidInput: It is no cursor of this list.
    """
    text = given.removeprefix(_MARK)
    try:
        found = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        found = None
    match found:
        case [str(of), int() | float() as moment, str(key)] if (
            of == kind and is_cursor(given) and _sound(moment) and "\x00" not in key
        ):
            return moment, key
    raise InvalidInput(
        f"after: '{given[:40]}' is no cursor of this list; send the `cursor` of its last row as it is"
    )


def _sound(moment: float) -> bool:
    return not isinstance(moment, bool) and isfinite(moment) and abs(moment) < _MOST
