"""The vectors of an index, in a table of their own beside its words.

Words are indexed in seconds and vectors in minutes, so neither waits for the other. A table
holds the vectors of one model: another model gets another table, which is searched once it is full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nodes.rag.adapters.lance_filters import any_of

# Up to so many rows each is compared with the question; beyond, those of the nearest groups.
EXACT_ROWS = 5_000
_ROWS_OF_A_GROUP = 400
_GROUPS_ASKED = 20
# Every settling adds a part to the index, which each question looks at: so many are made one again, and
# groups are made anew when there are so many times the vectors that they were made of.
_MOST_PARTS, _GROWN = 12, 1.5
# Further vectors to learn a group from say nothing new, and take their time.
_LEARNED_FROM = 64
_DELETED_AT_ONCE = 500
_KEEP_VERSIONS = timedelta(minutes=10)


class VectorTable:
    """The vectors of one index and one model.

    Args:
        connection: Gives lancedb's AsyncConnection to the folder `path`.
        sdk: What is used of the library.
        index: Name of the index.
        model: Name and version of the model.
    """

    def __init__(
        self,
        connection: Callable[[], Awaitable[Any]],
        sdk: Callable[[], SimpleNamespace],
        *,
        path: Path,
        index: str,
        model: str,
    ) -> None:
        self._connection = connection
        self._sdk = sdk
        self._path = path
        self._prefix = f"{index}.vectors-"
        self._name = self._prefix + hashlib.sha256(model.encode()).hexdigest()[:8]
        self._table: Any = None

    async def size(self) -> int:
        """How many vectors there are."""
        table = await self._existing()
        return 0 if table is None else int(await table.count_rows())

    async def ids(self) -> set[str]:
        """Of which chunks there are vectors."""
        table = await self._existing()
        if table is None:
            return set()
        read = await table.query().select(["id"]).to_arrow()
        return set(read.column("id").to_pylist())

    async def near(
        self, vector: Sequence[float], *, limit: int, ids: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Chunks with their cosine similarities, best first.

        Args:
            ids: Of these chunks alone; then as many groups are asked as it takes to find `limit`.
        """
        table = await self._existing()
        if table is None:
            return {}
        query = table.query().nearest_to(list(vector)).distance_type("cosine").nprobes(_GROUPS_ASKED)
        if ids is not None:
            query = query.maximum_nprobes(0).where(any_of("id", ids))
        found = await query.select(["id", "_distance"]).limit(limit).to_arrow()
        columns = found.column("id").to_pylist(), found.column("_distance").to_pylist()
        return {key: 1 - distance for key, distance in zip(*columns, strict=True)}

    async def of(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """The vectors of those of `ids` that have one."""
        table = await self._existing()
        if table is None or not ids:
            return {}
        read = await table.query().where(any_of("id", ids)).select(["id", "vector"]).to_arrow()
        return dict(zip(read.column("id").to_pylist(), read.column("vector").to_pylist(), strict=True))

    async def add(self, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep further vectors."""
        table, pa = await self._existing(), self._sdk().pa
        width = len(next(iter(vectors.values())))
        schema = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32(), width))])
        if table is None:
            connection = await self._connection()
            table = self._table = await connection.create_table(self._name, schema=schema)
        rows = [list(vectors), [list(vector) for vector in vectors.values()]]
        await table.add(pa.table(rows, schema=schema))

    async def drop(self, ids: Iterable[str]) -> None:
        """Forget the vectors of some chunks."""
        table, gone = await self._existing(), sorted(ids)
        for first in range(0, len(gone) if table is not None else 0, _DELETED_AT_ONCE):
            await table.delete(any_of("id", gone[first : first + _DELETED_AT_ONCE]))

    async def settle(self) -> None:
        """Make searching fast, and drop the tables of other models."""
        table = await self._existing()
        if table is None:
            return
        await self._group(table, await table.count_rows())
        await table.optimize(cleanup_older_than=_KEEP_VERSIONS)
        connection = await self._connection()
        for other in self._path.glob(f"{self._prefix}*.lance"):
            if other.stem != self._name:
                await connection.drop_table(other.stem)

    async def _group(self, table: Any, rows: int) -> None:
        if rows <= EXACT_ROWS:
            return
        made = [index for index in await table.list_indices() if "vector" in index.columns]
        if made and _is_grouped(made[0]) and rows <= _GROWN * (made[0].num_indexed_rows or 1):
            return
        # By size, not by number: `optimize` merges groups that are below the size of which it knows.
        groups = self._sdk().ivf(
            distance_type="cosine", target_partition_size=_ROWS_OF_A_GROUP, sample_rate=_LEARNED_FROM
        )
        await table.create_index("vector", config=groups, replace=True)

    async def _existing(self) -> Any:
        """lancedb's AsyncTable; None before the first vector."""
        if self._table is None:
            connection = await self._connection()
            if (self._path / f"{self._name}.lance").is_dir():
                self._table = await connection.open_table(self._name)
        return self._table

    def forget(self) -> None:
        """Open it anew at the next use."""
        self._table = None


def _is_grouped(index: Any) -> bool:
    """Whether an index has few parts, and groups of our size: one of an earlier release has huge ones."""
    details = index.index_details or {}
    sized = details.get("target_partition_size") == _ROWS_OF_A_GROUP
    return bool(sized and (index.num_segments or 1) < _MOST_PARTS)
