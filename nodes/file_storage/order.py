"""The order of listed files, the latest change first, and going on in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.cursor import cursor, is_cursor, place_of
from core.errors import InvalidInput
from nodes.file_storage.errors import FileNotFound
from nodes.file_storage.models import FileInfo

CURSOR = "file"
# When a file changed last, in nanoseconds, and its key.
Spot = tuple[int, str]


def newest_first(found: Iterable[Spot]) -> list[Spot]:
    """The order of every store."""
    return sorted(found, key=_place)


def behind(found: Sequence[Spot], after: Spot | str | None) -> Sequence[Spot]:
    """What stands behind a spot, where nothing need stand any more, or behind a key.

    Args:
        found: In order.

    Raises:
        FileNotFound: There is no such key.
    """
    if after is None:
        return found
    if isinstance(after, str):
        keys = [key for _, key in found]
        if after not in keys:
            raise FileNotFound(f"no file '{after}' to go on after; list from the start again")
        return found[keys.index(after) + 1 :]
    return [spot for spot in found if _place(spot) > _place(after)]


def unread(found: Iterable[Spot], known: Mapping[str, FileInfo]) -> list[Spot]:
    """Those that are not known, or changed since they were."""
    return [(at, key) for at, key in found if key not in known or known[key].changed != at]


def together(
    found: Iterable[Spot], known: Mapping[str, FileInfo], read: Iterable[FileInfo]
) -> list[FileInfo]:
    """Every file in its place, of those that were known and those that were read now; some may have gone."""
    fresh = {info.key: info for info in read}
    both = ((at, fresh.get(key) or known.get(key)) for at, key in found)
    return [info for at, info in both if info is not None and info.changed == at]


def cursor_of(info: FileInfo) -> str:
    """The place of a listed file."""
    return cursor(CURSOR, info.changed, info.key)


def spot_of(after: str) -> Spot | None:
    """The spot in a cursor; None for what can only be a key.

    Raises:
        InvalidInput: It is a cursor, and not of a list of files.
    """
    if not is_cursor(after):
        return None
    changed, key = place_of(CURSOR, after)
    if not isinstance(changed, int):
        raise InvalidInput("after: is no cursor of this list; send the `cursor` of its last row as it is")
    return changed, key


def _place(spot: Spot) -> tuple[int, str]:
    return -spot[0], spot[1]
