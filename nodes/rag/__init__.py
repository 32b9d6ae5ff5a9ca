"""Retrieval: passages from local and remote sources, and the quotes behind an answer's [n].

The graph's step is `nodes.rag.node.Retrieve`; its imports are heavier than a command line needs.
"""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from nodes.rag.client import RAGClient
    from nodes.rag.models import Collection, IngestReport, Passage, RAGResponse, SourceInfo, SourceStats
    from nodes.rag.ports import ChunkStore, Embedder, IndexQueue, Retriever
    from nodes.rag.settings import RagSettings, SourcesFile
    from nodes.rag.source import Source
    from nodes.rag.terms import cite

__all__ = [
    "ChunkStore",
    "Collection",
    "Embedder",
    "IndexQueue",
    "IngestReport",
    "Passage",
    "RAGClient",
    "RAGResponse",
    "RagSettings",
    "Retriever",
    "Source",
    "SourceInfo",
    "SourceStats",
    "SourcesFile",
    "cite",
]

__getattr__ = names_from(__name__, "models", "ports", "settings", "terms", "source", "client")
