"""A source as it is served: its entry, what searches it, and the index of a local one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from pydantic import SecretStr

from nodes.rag.indexing import Indexer
from nodes.rag.ports import ChunkStore, Retriever
from nodes.rag.sources import HttpSource, LocalSource, SourceEntry


@dataclass(frozen=True, slots=True)
class Source:
    """A source as it is served. `indexer` and `store` are set for a local one."""

    entry: SourceEntry
    retriever: Retriever
    indexer: Indexer | None = None
    store: ChunkStore | None = None

    @property
    def remote(self) -> bool:
        """Whether a search asks another process: a service, or an endpoint for embeddings."""
        entry = self.entry
        return isinstance(entry, HttpSource) or (
            isinstance(entry, LocalSource) and entry.embedder is not None
        )

    @property
    def version(self) -> str:
        """Changes with the entry, its token too, and with each indexing; older answers are over then."""
        written = json.dumps(self.entry.model_dump(), sort_keys=True, default=_plain)
        generation = self.indexer.generation() if self.indexer else ""
        return hashlib.sha256(f"{written}\n{generation}".encode()).hexdigest()


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
