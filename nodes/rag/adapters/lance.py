"""The local index on LanceDB: one table per source, words by BM25, vectors in it or in one beside it.

The library takes seconds to import, so that happens in a thread when an index
is first used, and never for a command that needs none.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from core.errors import WaystationError
from core.health import Health, failed, healthy
from core.installed import is_missing, needs
from nodes.rag.adapters.hollow import hollow, unchecked
from nodes.rag.adapters.lance_filters import among, any_of
from nodes.rag.adapters.lance_vectors import VectorTable
from nodes.rag.adapters.lance_views import nearest_of
from nodes.rag.errors import IndexBroken, VectorsDiffer
from nodes.rag.models import Chunk, Hit
from nodes.rag.ports import Known, View

_COLUMNS = [field.name for field in fields(Chunk)]
# Older versions serve readers that began before a change; none reads for minutes.
_KEEP_VERSIONS = timedelta(minutes=10)
# With fewer vectors than this share of its chunks, an index is searched by words alone.
_COVERED = 0.9
MISSING = needs("a local source", "search")
# Of the nearest chunks so many are read; those behind them count only where words find them, too.
_READ_OF_NEAR = 40
_REPAIR = "stop the service, delete the folder 'index' in WAYSTATION_HOME, and start again to rebuild it"


class LanceFolder:
    """The folder that holds the indexes of all sources; one connection per process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: Any = None
        self._opening = asyncio.Lock()

    async def connection(self) -> Any:
        """lancedb's AsyncConnection."""
        async with self._opening:
            if self._connection is None:
                sdk = await asyncio.to_thread(_sdk)
                self.path.mkdir(parents=True, exist_ok=True)
                # Interval zero: what another process has indexed is found by the next query.
                self._connection = await sdk.connect(str(self.path), read_consistency_interval=timedelta(0))
            return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@cache
def _sdk() -> SimpleNamespace:
    """What is used of the library, which is typed too loosely to name its types here."""
    # Lance logs harmless warnings with absolute paths to stderr; errors still come as exceptions.
    os.environ.setdefault("LANCEDB_LOG", "error")
    # The client of a server for catalogues, which no folder has: 163 modules and two thirds of the time.
    try:
        with hollow("lance_namespace_urllib3_client"), unchecked():
            import lancedb  # noqa: PLC0415  # slow; see the head of this file
            import pyarrow as pa  # noqa: PLC0415
            from lancedb.index import FTS, BTree, IvfSq  # noqa: PLC0415
            from lancedb.query import MatchQuery  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if not is_missing(error, "lancedb", "pyarrow"):
            raise
        raise IndexBroken(MISSING) from None

    return SimpleNamespace(
        connect=lancedb.connect_async, fts=FTS, btree=BTree, ivf=IvfSq, match=MatchQuery, pa=pa
    )


class LanceStore:
    """The index of one source, as a table of `folder`.

    Args:
        model: Whose vectors stand beside it, in a table of their own; "" where they stand in its rows.
        changed: Called when rows have come or gone.
    """

    def __init__(
        self,
        folder: LanceFolder,
        name: str,
        *,
        model: str = "",
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._name = name
        self._beside = (
            VectorTable(folder.connection, _sdk, path=folder.path, index=name, model=model) if model else None
        )
        self._changed = changed
        self._table: Any = None

    async def replace(
        self,
        documents: Sequence[str],
        chunks: Sequence[Chunk],
        vectors: Sequence[Sequence[float]] | None = None,
    ) -> None:
        """Let `chunks` be all there is of `documents`; readers see it all or not at all."""
        async with self._trouble():
            table = await self._existing()
            if table is None:
                if not chunks:
                    return
                table = await self._create(len(vectors[0]) if vectors else 0)
            if vectors:
                _comparable(await table.schema(), vectors[0])
            among = any_of("document", documents)
            if not chunks:
                await table.delete(among)
            elif await table.count_rows(among) == 0:
                await table.add(_rows(chunks, vectors))
            else:
                change = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
                await change.when_not_matched_by_source_delete(among).execute(_rows(chunks, vectors))

    async def find(self, terms: Sequence[str], *, limit: int, view: View | None = None) -> list[Hit]:
        """Chunks that hold any of `terms`, by BM25."""
        async with self._trouble():
            table = await self._existing()
            if table is None or not terms:
                return []
            query = table.query().nearest_to_text(_sdk().match(" ".join(terms), "terms"))
            query = _seen(query, view)
            rows = await query.select([*_COLUMNS, "_score"]).limit(limit).to_list()
        return [Hit(_chunk(row), float(row["_score"])) for row in rows]

    async def chunks_in(self, document: str, *, limit: int) -> list[Chunk]:
        """The first chunks of one document, in its order."""
        async with self._trouble():
            table = await self._existing()
            if table is None:
                return []
            rows = await table.query().where(any_of("document", [document])).select(_COLUMNS).to_list()
        return sorted((_chunk(row) for row in rows), key=lambda chunk: chunk.start)[:limit]

    async def size(self, *, view: View | None = None) -> int:
        """How many chunks there are."""
        async with self._trouble():
            table = await self._existing()
            return 0 if table is None else int(await table.count_rows(among(view)))

    async def term_counts(self, *, most: int, view: View | None = None) -> tuple[dict[str, int], int]:
        """In how many chunks each term stands, and how many chunks were looked at, about `most` at most."""
        async with self._trouble():
            table = await self._existing()
            if table is None:
                return {}, 0
            seen = among(view)
            query, rows = table.query().select(["terms"]), await table.count_rows(seen)
            # Ids are digests, so those below a bound are as good as drawn by lot.
            some = f"id < '{int(most / rows * 16**8):08x}'" if rows > most else None
            wanted = " AND ".join(f"({one})" for one in (seen, some) if one)
            read = await (query.where(wanted) if wanted else query).to_arrow()
        return await asyncio.to_thread(_counted, read.column("terms").to_pylist())

    async def near(
        self, vector: Sequence[float], *, limit: int, known: Known | None = None, view: View | None = None
    ) -> list[Hit]:
        """Chunks by cosine similarity."""
        async with self._trouble():
            table = await self._existing()
            if table is None:
                return []
            if self._beside is not None:
                return await self._near_beside(table, self._beside, vector, limit, known, view)
            schema = await table.schema()
            if "vector" not in schema.names:
                return []
            _comparable(schema, vector)
            query = table.query().nearest_to(list(vector)).distance_type("cosine")
            query = _seen(query, view)
            rows = await query.select([*_COLUMNS, "_distance"]).limit(limit).to_list()
        return [Hit(_chunk(row), 1 - float(row["_distance"])) for row in rows]

    async def _near_beside(  # noqa: PLR0917 - `near`, with the two tables
        self,
        table: Any,
        beside: VectorTable,
        vector: Sequence[float],
        limit: int,
        known: Known | None,
        view: View | None,
    ) -> list[Hit]:
        if await beside.size() < _COVERED * await table.count_rows():
            return []
        near = await nearest_of(table, beside, vector, limit=limit, view=view)
        found = dict(await known()) if known else {}
        wanted = list(near)[:_READ_OF_NEAR] if known else list(near)
        found |= {chunk.id: chunk for chunk in await self.chunks_of([k for k in wanted if k not in found])}
        # A chunk that was replaced a moment ago has its vector still, and is found no more.
        return [Hit(found[key], score) for key, score in near.items() if key in found]

    async def chunks_of(self, ids: Sequence[str]) -> list[Chunk]:
        """Those of `ids` that are still there."""
        async with self._trouble():
            table = await self._existing()
            if table is None or not ids:
                return []
            rows = await table.query().where(any_of("id", ids)).select(_COLUMNS).to_list()
        return [_chunk(row) for row in rows]

    async def reconcile(self) -> list[str]:
        """Drop the vectors of chunks that are gone; gives the ids of chunks that have none yet."""
        async with self._trouble():
            table = await self._existing()
            if table is None or self._beside is None:
                return []
            read = await table.query().select(["id"]).to_arrow()
            there: list[str] = read.column("id").to_pylist()
            known = await self._beside.ids()
            await self._beside.drop(known.difference(there))
        return [key for key in there if key not in known]

    async def vectors_of(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """The vectors of those of these chunks that have one."""
        if self._beside is None:
            return {}
        async with self._trouble():
            return await self._beside.of(ids)

    async def attach(self, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep the vectors of chunks, by their ids."""
        if self._beside is not None and vectors:
            async with self._trouble():
                await self._beside.add(vectors)

    async def settle(self) -> None:
        """Index the vectors where there are many, and drop those of another embedder."""
        if self._beside is not None:
            async with self._trouble():
                await self._beside.settle()

    def edition(self) -> str:
        return ""

    async def open(self) -> None:
        async with self._trouble():
            await self._existing()
            if self._beside is not None:
                await self._beside.size()

    async def tidy(self) -> None:
        """Take new rows into the word index and drop old versions."""
        async with self._trouble():
            table = await self._existing()
            if table is not None:
                await table.optimize(cleanup_older_than=_KEEP_VERSIONS)
        self._changed()

    async def check(self, *, expected: int) -> Health:
        """Opens the index where there is one, and counts its rows."""
        if find_spec("lancedb") is None:
            return failed(MISSING)
        try:
            async with self._trouble():
                table = await self._existing() if self._table is not None or self._is_there() else None
                rows = None if table is None else await table.count_rows()
        except IndexBroken as error:
            return failed(error.detail)
        if rows is None:
            # Before the first indexing there is none, and the library need not be loaded to know that.
            return failed(f"the index is not there: {_REPAIR}") if expected else healthy(chunks=0)
        return healthy(chunks=rows)

    async def _existing(self) -> Any:
        """lancedb's AsyncTable, or None before anything was indexed."""
        connection = await self._folder.connection()
        if self._table is None and self._is_there():
            self._table = await connection.open_table(self._name)
        return self._table

    def _is_there(self) -> bool:
        return (self._folder.path / f"{self._name}.lance").is_dir()

    async def _create(self, dimensions: int) -> Any:
        sdk, pa = _sdk(), _sdk().pa
        columns = [(name, _type(pa, name)) for name in _COLUMNS]
        if dimensions:
            columns.append(("vector", pa.list_(pa.float32(), dimensions)))
        connection = await self._folder.connection()
        table = await connection.create_table(self._name, schema=pa.schema(columns))
        # The terms are already folded and stemmed by us, on both sides alike.
        words = sdk.fts(
            base_tokenizer="whitespace",
            with_position=False,
            lower_case=False,
            stem=False,
            remove_stop_words=False,
            ascii_folding=False,
            max_token_length=None,
        )
        await table.create_index("terms", config=words)
        if self._beside is not None:
            await table.create_index("id", config=sdk.btree())
        self._table = table
        return table

    @asynccontextmanager
    async def _trouble(self) -> AsyncIterator[None]:
        """The library raises RuntimeError, ValueError and OSError for a damaged folder."""
        try:
            yield
        except WaystationError:
            raise
        except (RuntimeError, ValueError, OSError) as error:
            self._table = None
            if self._beside is not None:
                self._beside.forget()
            raise IndexBroken(f"the index '{self._name}' cannot be read or written; {_REPAIR}") from error


def _comparable(schema: Any, vector: Sequence[float]) -> None:
    there = schema.field("vector").type.list_size if "vector" in schema.names else len(vector)
    if there != len(vector):
        raise VectorsDiffer(there, len(vector))


def _seen(query: Any, view: View | None) -> Any:
    wanted = among(view)
    return query if wanted is None else query.where(wanted)


def _rows(chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]] | None) -> Any:
    """A table of Arrow, column by column: made of a dict for each row it takes twenty times as long."""
    pa = _sdk().pa
    columns = {name: [getattr(chunk, name) for chunk in chunks] for name in _COLUMNS}
    made = {name: pa.array(values, _type(pa, name)) for name, values in columns.items()}
    if vectors is not None:
        made["vector"] = pa.array(list(vectors), pa.list_(pa.float32(), len(vectors[0])))
    return pa.table(made)


def _type(pa: Any, column: str) -> Any:
    return pa.int64() if column in {"start", "end"} else pa.string()


def _counted(texts: Sequence[str]) -> tuple[dict[str, int], int]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(text.split(" ")))
    return dict(counts), len(texts)


def _chunk(row: Mapping[str, Any]) -> Chunk:
    return Chunk(**{name: row[name] for name in _COLUMNS})
