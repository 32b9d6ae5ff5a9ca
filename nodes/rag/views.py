"""A source as one sees it who may not see all of it: other documents are not there, in no way.

Not found, not counted, not among the words that a question is compared with. What may be seen is
part of the query to the store, so that it finds as much as it would in an index of these documents
alone; and what comes is looked at once more, for a document may be in the index before its name is
in the manifest. Its scores are made anew of what may be seen, since the store weighs words by all that it
holds; only which hundred passages are looked at, where more hold a word of the question, is by its weights.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

from core.access import Principal
from core.health import Health
from nodes.rag.manifest import ManifestFile
from nodes.rag.models import Chunk, Hit
from nodes.rag.ports import ChunkStore, Known, Retriever, View
from nodes.rag.rights import Rights, Shown

# Kinds of callers of one source whose vocabularies are kept.
_KEPT = 32


class ViewStore:
    """An index without what one may not see. It is only read.

    Args:
        view: What may be seen now.
    """

    def __init__(self, store: ChunkStore, view: Callable[[], View], shown: Shown) -> None:
        self._store = store
        self._view = view
        self._shown = shown

    async def replace(
        self,
        documents: Sequence[str],
        chunks: Sequence[Chunk],
        vectors: Sequence[Sequence[float]] | None = None,
    ) -> None:
        raise TypeError("a part of an index is only read")

    async def find(self, terms: Sequence[str], *, limit: int, view: View | None = None) -> list[Hit]:
        found = await self._store.find(terms, limit=limit, view=await self._now())
        return [hit for hit in found if self._shown(hit.chunk.document)]

    async def near(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        known: Known | None = None,
        view: View | None = None,
    ) -> list[Hit]:
        found = await self._store.near(vector, limit=limit, known=known, view=await self._now())
        return [hit for hit in found if self._shown(hit.chunk.document)]

    async def chunks_in(self, document: str, *, limit: int) -> list[Chunk]:
        return await self._store.chunks_in(document, limit=limit) if self._shown(document) else []

    async def size(self, *, view: View | None = None) -> int:
        return await self._store.size(view=await self._now())

    async def term_counts(self, *, most: int, view: View | None = None) -> tuple[dict[str, int], int]:
        return await self._store.term_counts(most=most, view=await self._now())

    def edition(self) -> str:
        return self._store.edition()

    async def open(self) -> None:
        await self._store.open()

    async def tidy(self) -> None:
        raise TypeError("a part of an index is only read")

    async def check(self, *, expected: int) -> Health:
        return await self._store.check(expected=expected)

    async def _now(self) -> View:
        return await asyncio.to_thread(self._view)


class Views:
    """The retrievers of one source, one for each kind of caller that sees less than all.

    Args:
        make: A retriever over a store.
    """

    def __init__(
        self,
        rights: Rights,
        *,
        store: ChunkStore,
        manifest: ManifestFile,
        make: Callable[[ChunkStore], Retriever],
    ) -> None:
        self.rights = rights
        self._store = store
        self._manifest = manifest
        self._make = make
        self._made: OrderedDict[frozenset[int], Retriever] = OrderedDict()
        self._views: dict[frozenset[int], tuple[str, View]] = {}

    def retriever(self, principal: Principal) -> Retriever | None:
        """What searches what the user may see; None for one who may see all."""
        unmet = self.rights.unmet(principal)
        if not unmet:
            return None
        made = self._made.pop(unmet, None)
        if made is None:
            shown = self.rights.shown(unmet)
            made = self._make(ViewStore(self._store, lambda: self._view(unmet, shown), shown))
        self._made[unmet] = made
        while len(self._made) > _KEPT:
            gone, _ = self._made.popitem(last=False)
            self._views.pop(gone, None)
        return made

    def shown(self, principal: Principal) -> Shown:
        """Which documents the user may see."""
        return self.rights.shown(self.rights.unmet(principal))

    def _view(self, unmet: frozenset[int], shown: Shown) -> View:
        generation = self._manifest.generation()
        before, view = self._views.get(unmet, ("", None))
        if view is None or before != generation:
            view = view_of(list(self._manifest.read().files), shown)
            self._views[unmet] = (generation, view)
        return view


def view_of(documents: Sequence[str], shown: Shown) -> View:
    """What may be seen of `documents`, in as few names as say it."""
    there = frozenset(filter(shown, documents))
    gone = frozenset(documents).difference(there)
    return View(there, only=True) if len(there) <= len(gone) else View(gone, only=False)
