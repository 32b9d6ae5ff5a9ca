"""The nearest chunks of the documents that a search is about, found in a table that knows no documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodes.rag.adapters.lance_filters import among, any_of
from nodes.rag.adapters.lance_vectors import VectorTable
from nodes.rag.ports import View

# So many chunks are named one by one: it takes 50 ms, and a second for ten times as many.
LISTED = 10_000


async def nearest_of(
    table: Any, beside: VectorTable, vector: Sequence[float], *, limit: int, view: View | None
) -> dict[str, float]:
    """Chunks with their cosine similarities, best first; `limit` of the view, where it has so many.

    Who sees little has its chunks named in the query. Who sees much is given more of the nearest than
    asked for, and what is not for them is taken out.

    Args:
        table: lancedb's AsyncTable of the words.
    """
    wanted = among(view)
    if wanted is None:
        return await beside.near(vector, limit=limit)
    seen = int(await table.count_rows(wanted))
    if seen > LISTED:
        rows = int(await table.count_rows())
        near = await beside.near(vector, limit=2 * limit * rows // seen)
        there = await _ids(table, f"({any_of('id', near)}) AND ({wanted})")
        if len(there) >= limit:
            return dict([(key, score) for key, score in near.items() if key in there][:limit])
    # Also for much, where all that is near is somebody else's: slow, and right.
    return await beside.near(vector, limit=limit, ids=sorted(await _ids(table, wanted)))


async def _ids(table: Any, condition: str) -> set[str]:
    read = await table.query().where(condition).select(["id"]).to_arrow()
    return set(read.column("id").to_pylist())
