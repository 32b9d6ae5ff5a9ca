"""All files of an owner, read for a list that is not in the order of the store.

Such a list needs every file for each of its pages. What was read for one page is kept for the next, as long
as the store says that the file did not change.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from nodes.file_storage.models import FileInfo
from nodes.file_storage.ports import FileStore

# Of all owners together: some ten megabytes.
MOST_KEPT = 20_000
# Clocks of stores are coarse, and not ours: a file that changes twice in a moment could look unchanged.
_SETTLED_NS = 60 * 1_000_000_000


class Listings:
    """Gives all files of an owner, and reads of a store only what changed since it was asked before."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        # Of each owner by key, whoever was asked for last at the end.
        self._kept: OrderedDict[str, Mapping[str, FileInfo]] = OrderedDict()

    async def of(self, owner: str) -> Sequence[FileInfo]:
        """The owner's files, the latest change first."""
        found = await self._store.listed(owner, self._kept.get(owner, {}))
        settled = time.time_ns() - _SETTLED_NS
        self._keep(owner, {info.key: info for info in found if info.changed < settled})
        return found

    def _keep(self, owner: str, files: Mapping[str, FileInfo]) -> None:
        self._kept[owner] = files
        self._kept.move_to_end(owner)
        size = sum(map(len, self._kept.values()))
        while size > MOST_KEPT:
            size -= len(self._kept.popitem(last=False)[1])
