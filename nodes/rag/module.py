"""What the registry learns of this module."""

from __future__ import annotations

from core.registry import Module, late
from core.steps import Step

MODULE = Module(
    name="rag",
    summary="Finds passages in local and remote sources, with citations.",
    command="rag",
    cli="nodes.rag.cli:app",
    provider="nodes.rag.provider:RagProvider",
    service="nodes.rag.client:RAGClient",
    step=Step("retrieve", "nodes.rag.node:Retrieve", part="passages"),
    sections=late("nodes.rag.settings:SECTIONS"),
    files=late("nodes.rag.settings:FILES"),
    tasks=late("nodes.rag.tasks:TASKS"),
    reader="nodes.rag.attached:opened",
    start="nodes.rag.provider:start",
    start_seconds=3600,  # a first indexing takes as long as it takes, and tells its progress
    required=False,  # a turn without passages is still a turn
    events=("RetrievalDone",),
)
