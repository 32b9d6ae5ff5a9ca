"""What a user has stored and what is on its way: one small record, which every process reads and changes.

The totals are those of a count, reckoned on with each upload that ends. A file whose upload is not over
stands apart from them, under a token of its upload: it counts for what it may take, whether it is there or
not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from nodes.file_storage.errors import StorageFull
from nodes.file_storage.models import Usage
from nodes.file_storage.settings import WEEK_SECONDS, QuotaSettings

# Counting reads a record of each file. Totals are reckoned on, and counted anew so often for what was stored
# or deleted without a word to us.
COUNTED_SECONDS = 600.0
# Room is kept so long for an upload of which nothing is heard.
LEASE_SECONDS = 90.0
# A link is over when it is too late to begin; what has begun by then may still come.
LINK_SECONDS = 900.0
# A time that lies further ahead than it may by this was written by a clock that was wrong, and holds nothing.
# Buckets refuse machines that are further off.
WRONG_SECONDS = 900.0
# How long a link's room is known after it is over: what comes by it until then is judged when it is told of.
LATE_SECONDS = 24 * 3600.0
# Of so many links, the last ones.
MOST_LATE = 1_000
# An upload whose size nobody said takes more room than it needs yet, while that is little of what is left.
AHEAD_BYTES = 8 * 1024 * 1024
_AHEAD_SHARE = 64
_LEAST_AHEAD = 64 * 1024
# Tokens that belong to no process: `core.holder` never takes them for dead.
_LINK = "link:"
_ENDED = "ended:"


@dataclass(frozen=True, slots=True)
class Coming:
    """A file on its way.

    Args:
        size: So many bytes are kept free for it.
        until: Epoch seconds until when that is so.
    """

    key: str
    size: int
    until: float


@dataclass(frozen=True, slots=True)
class Account:
    """The files of one user.

    Args:
        size: Bytes of them together.
        counted: When they were counted, epoch seconds; 0: they have to be.
        coming: Files on their way, by the token of their upload.
        counting: Who counts just now, each with the time when he is given up.
        lately: What was stored while somebody counts, by key; None for what was deleted.
    """

    files: int = 0
    size: int = 0
    counted: float = 0.0
    coming: Mapping[str, Coming] = field(default_factory=dict)
    counting: Mapping[str, float] = field(default_factory=dict)
    lately: Mapping[str, int | None] = field(default_factory=dict)

    def swept(self, now: float, is_gone: Callable[[str], bool]) -> Account:
        """Without uploads that are over and told nobody: they may have left their file.

        Args:
            is_gone: Says of a token whether its process has ended.
        """
        over = {token for token, one in self.coming.items() if _is_over(token, one, now) or is_gone(token)}
        over |= self._too_many_late(now, over)
        counted_by = now + COUNTED_SECONDS + WRONG_SECONDS
        counting = {token: until for token, until in self.counting.items() if now < until <= counted_by}
        if not over and not self._links_ended(now) and self.counted <= now + WRONG_SECONDS:
            if len(counting) == len(self.counting):
                return self
            return replace(self, counting=counting, lately=self.lately if counting else {})
        # Who counts just now may have seen such a file, or not: it is done again.
        coming = {token: one for token, one in self.coming.items() if token not in over}
        return replace(self, coming=coming).doubted()

    def going(self, now: float, *, without: str = "") -> list[Coming]:
        """What is on its way."""
        return [one for token, one in self.coming.items() if token != without and one.until > now]

    def used(self, now: float, *, without: str = "") -> Usage:
        """What is there and what is on its way, together."""
        going = self.going(now, without=without)
        return Usage(self.files + len(going), self.size + sum(one.size for one in going), 1)

    def holding(self, token: str, one: Coming, quota: QuotaSettings, now: float) -> Account:
        """With room for a file on its way.

        Args:
            one: `size` is what it needs at least.

        Raises:
            StorageFull: There is none.
        """
        used = self.used(now, without=token)
        if quota.files and used.files >= quota.files:
            raise _too_many(self.files, used.files - self.files, quota.files)
        if not quota.bytes:
            return self._with(token, one)
        left = quota.bytes - used.bytes - one.size
        if left < 0 or (used.bytes >= quota.bytes and not one.size):
            raise _full(used.bytes + one.size, quota.bytes)
        ahead = min(AHEAD_BYTES, left // _AHEAD_SHARE)
        more = ahead if ahead >= _LEAST_AHEAD and not is_link(token) else 0
        return self._with(token, replace(one, size=one.size + more))

    def renewed(self, token: str, until: float) -> Account:
        """With a later end of an upload that is known."""
        return self._with(token, replace(self.coming[token], until=until)) if token in self.coming else self

    def stored(self, token: str, key: str, *, size: int, before: int | None) -> Account:
        """With a file that was on its way, and is there.

        Args:
            before: The size of the one in whose place it is.
        """
        if token not in self.coming:  # given up by others meanwhile, who cannot know that it is there
            return replace(self, counted=0.0)
        coming = {name: one for name, one in self.coming.items() if name != token}
        lately = {**self.lately, key: size} if self.counting else self.lately
        files, old = (self.files + 1, 0) if before is None else (self.files, before)
        return replace(self, files=files, size=self.size + size - old, coming=coming, lately=lately)

    def given_up(self, token: str, *, left_nothing: bool) -> Account:
        """Without an upload that broke off; of one that may be there yet the room is kept to its end."""
        coming = {name: one for name, one in self.coming.items() if name != token}
        if not left_nothing and token in self.coming:
            coming[_ENDED + token] = self.coming[token]
        return replace(self, coming=coming)

    def revived(self, token: str, until: float) -> Account:
        """With an upload past us that came too late: without room yet, and no more counted as any file."""
        one = replace(self.coming[token], size=0, until=until)
        return replace(self._with(token, one), counted=0.0)

    def deleted(self, key: str) -> Account:
        """Without a file. What it took is found by the next count; a count that goes on leaves it out."""
        if self.counting:
            return replace(self, lately={**self.lately, key: None}, counted=0.0)
        return self if not self.counted else replace(self, counted=0.0)

    def doubted(self) -> Account:
        """Without what was counted, and with counts that go on come to nothing."""
        return replace(self, counted=0.0, counting={}, lately={})

    def begins_count(self, token: str, until: float) -> Account:
        return replace(self, counting={**self.counting, token: until})

    def counted_as(self, token: str, sizes: Mapping[str, int], now: float) -> Account:
        """With the result of a count, unless that has come to nothing meanwhile."""
        if token not in self.counting:
            return self
        apart = {one.key for one in self.going(now)}
        found = {**sizes, **self.lately}
        kept = [size for key, size in found.items() if size is not None and key not in apart]
        counting = {name: until for name, until in self.counting.items() if name != token}
        lately = self.lately if counting else {}
        return Account(len(kept), sum(kept), now, self.coming, counting, lately)

    def written(self) -> bytes:
        return orjson.dumps(self)

    def _too_many_late(self, now: float, over: set[str]) -> set[str]:
        late = [(one.until, token) for token, one in self.coming.items() if one.until <= now]
        kept = sorted(pair for pair in late if pair[1] not in over)
        return {token for _, token in kept[:-MOST_LATE]}

    def _links_ended(self, now: float) -> bool:
        """Whether what came by a link is a file like any other since the last count."""
        over = [one.until for token, one in self.coming.items() if is_link(token) and one.until <= now]
        return bool(over) and self.counted != 0.0 and self.counted < max(over)

    def _with(self, token: str, one: Coming) -> Account:
        return replace(self, coming={**self.coming, token: one})


def account_from(written: bytes) -> Account:
    """The opposite of `Account.written`; what is damaged has to be counted."""
    try:
        found: dict[str, Any] = orjson.loads(written)
        coming = {
            str(token): Coming(str(one["key"]), int(one["size"]), float(one["until"]))
            for token, one in found["coming"].items()
        }
        counting = {str(token): float(until) for token, until in found["counting"].items()}
        lately = {str(k): None if size is None else int(size) for k, size in found["lately"].items()}
        numbers = int(found["files"]), int(found["size"]), float(found["counted"])
        return Account(*numbers, coming, counting, lately)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Account()


def link_token(key: str) -> str:
    """The token of an upload past the service."""
    return _LINK + key


def is_link(token: str) -> bool:
    return token.startswith(_LINK)


def _is_over(token: str, one: Coming, now: float) -> bool:
    late, longest = (LATE_SECONDS, WEEK_SECONDS + LINK_SECONDS) if is_link(token) else (0.0, LEASE_SECONDS)
    return not now - late < one.until <= now + longest + WRONG_SECONDS


def _too_many(files: int, coming: int, most: int) -> StorageFull:
    more = f" and {coming} more on their way" if coming else ""
    return StorageFull(
        f"you have {files} files{more}; at most {most} are allowed "
        "(file_storage.user_files, or that of your group): delete some"
    )


def _full(size: int, most: int) -> StorageFull:
    return StorageFull(
        f"your files would have {size} bytes together; at most {most} are allowed "
        "(file_storage.user_bytes, or that of your group): delete some"
    )
