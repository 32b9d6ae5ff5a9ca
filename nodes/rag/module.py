"""What the registry learns of this module."""

from __future__ import annotations

from dishka import AsyncContainer, Provider

from core.health import Health
from core.lifecycle import StartProgress
from core.registry import Module, NodeSpec
from core.settings import ConfigFile, Section
from nodes.rag.cli import app
from nodes.rag.client import RAGClient
from nodes.rag.settings import RagSettings, SourcesFile
from nodes.rag.tasks import TASKS


def _provider() -> Provider:
    from nodes.rag.provider import RagProvider  # noqa: PLC0415  # adapters load when the container is built

    return RagProvider()


async def check(container: AsyncContainer) -> Health:
    """Whether the local indexes and the remote sources answer."""
    client = await container.get(RAGClient)
    return await client.check()


async def start(container: AsyncContainer) -> None:
    """Index what has changed; then, in the background, open the indexes, which takes seconds, and watch."""
    client, progress = await container.get(RAGClient), await container.get(StartProgress)
    await client.prepare(progress.tell)
    client.warm_soon()
    client.watch_soon()


MODULE = Module(
    name="rag",
    summary="Finds passages in local and remote sources, with citations.",
    version="0.1.0",
    command="rag",
    cli=app,
    provider=_provider,
    check=check,
    node=NodeSpec("retrieve", "nodes.rag.node:Retrieve"),
    sections=(Section("rag", RagSettings),),
    files=(ConfigFile("sources", ("sources.yaml", "rag-sources.json"), SourcesFile, live=True),),
    tasks=TASKS,
    start=start,
    start_seconds=3600,  # a first indexing takes as long as it takes, and tells its progress
    required=False,  # a turn without passages is still a turn
)
