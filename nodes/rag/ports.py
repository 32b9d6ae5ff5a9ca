"""What retrieval needs from outside: something to search, a place for chunks, an embedder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.access import Principal
from core.health import Health
from nodes.rag.models import Chunk, Collection, Hit, Passage

Known = Callable[[], Awaitable[Mapping[str, Chunk]]]
"""Gives chunks by their ids, when they are there."""


@dataclass(frozen=True, slots=True)
class View:
    """The documents that a search is about.

    Args:
        only: These alone; else all but these.
    """

    documents: frozenset[str]
    only: bool

    @property
    def everything(self) -> bool:
        """Whether there is nothing that is not seen."""
        return not self.only and not self.documents


class Retriever(Protocol):
    """One source that can be searched."""

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """At most `limit` passages that bear on `query`, best first; none when nothing does.

        Args:
            within: The parts to search, as `collections` gave them; None: all that the user may search.

        Raises:
            SourceUnavailable, SourceTimedOut: The source cannot answer now; this counts against it.
            SourceRefused, SourceRejected: It answers, and not this user or not this request.
        """
        ...

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        """The parts of this source that the user may search; empty for a source without parts."""
        ...

    async def check(self) -> Health:
        """Whether the source answers."""
        ...


class ChunkStore(Protocol):
    """The index of one source."""

    async def replace(
        self,
        documents: Sequence[str],
        chunks: Sequence[Chunk],
        vectors: Sequence[Sequence[float]] | None = None,
    ) -> None:
        """Let `chunks` be all there is of `documents`, in one step for readers."""
        ...

    async def find(self, terms: Sequence[str], *, limit: int, view: View | None = None) -> list[Hit]:
        """Chunks that hold any of `terms`, by BM25, best first.

        Args:
            view: Of these documents, of which all are found that there are; None: of all.
        """
        ...

    async def chunks_in(self, document: str, *, limit: int) -> list[Chunk]:
        """The first chunks of one document, in its order."""
        ...

    async def size(self, *, view: View | None = None) -> int:
        """How many chunks there are."""
        ...

    async def term_counts(self, *, most: int, view: View | None = None) -> tuple[dict[str, int], int]:
        """In how many chunks each term stands, and how many chunks were looked at, about `most` at most."""
        ...

    async def near(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        known: Known | None = None,
        view: View | None = None,
    ) -> list[Hit]:
        """Chunks by cosine similarity, best first; none where there are no vectors.

        Args:
            known: Chunks that the caller has read anyway; of others, fewer than `limit` may be given.
            view: Of these documents, as of `find`.
        """
        ...

    def edition(self) -> str:
        """Another text when another index has taken its place."""
        ...

    async def open(self) -> None:
        """Get ready, so that the first search is not the slow one."""
        ...

    async def tidy(self) -> None:
        """Merge what many small writes left behind."""
        ...

    async def check(self, *, expected: int) -> Health:
        """Whether the index can be read. `expected` is how many chunks it should have."""
        ...


class VectorStore(ChunkStore, Protocol):
    """An index whose vectors come after its words, and stand beside them."""

    async def reconcile(self) -> list[str]:
        """Drop the vectors of chunks that are gone; gives the ids of chunks that have none yet."""
        ...

    async def chunks_of(self, ids: Sequence[str]) -> list[Chunk]:
        """Those of `ids` that are still there."""
        ...

    async def vectors_of(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """The vectors of those of these chunks that have one."""
        ...

    async def attach(self, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep the vectors of chunks, by their ids."""
        ...

    async def settle(self) -> None:
        """All vectors are there: make searching them fast, and drop those of another embedder."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors of one length."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text.

        Raises:
            SourceUnavailable, SourceTimedOut, SourceRefused: The endpoint does not answer properly.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a person asked, and what was answered; "" where nothing was yet."""

    question: str
    answer: str = ""


class Rewriter(Protocol):
    """Whoever can make a question stand alone that needs what was said before it."""

    async def rewrite(
        self, question: str, earlier: Sequence[Exchange], *, model: str, principal: Principal
    ) -> str | None:
        """The question as it would be asked first; None where no model is there that could tell.

        Args:
            earlier: The exchanges before, the oldest first.
            model: Of the turn.

        Raises:
            WaystationError: The model does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Signs:
    """What the index itself says of a question.

    Args:
        rarity: What a word of the question tells, as the index knows it; more than 0.
        held: Which share of what its words tell stands in one of the passages, 0 to 1.
        near: Similarity of the nearest passage.
        stranger: Whether the question names something that the index does not hold.
        chunks: How many passages the index has.
    """

    rarity: Callable[[str], float]
    held: float
    near: float
    stranger: bool
    chunks: int


class Judge(Protocol):
    """Says whether what was found is any good: the best passage for a question may not answer it."""

    async def likelihood(self, question: str, passages: Sequence[Chunk], signs: Signs) -> float:
        """0 to 1: how likely one of the passages answers.

        Raises:
            SourceUnavailable: It does not work.
        """
        ...


class Reranker(Protocol):
    """Reads question and passages together, which tells more than their words or vectors apart do."""

    async def rerank(self, query: str, found: Sequence[Hit]) -> list[Hit]:
        """The same hits, best first, with new scores of 0 to 1; as they came where it does not work."""
        ...


class IndexQueue(Protocol):
    """Whoever indexes sources in the background, outside of this client."""

    async def index(self, source: str) -> bool:
        """Have the local source brought up to date soon; False when nobody will."""
        ...
