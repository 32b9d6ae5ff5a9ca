"""What the registry learns of this module."""

from __future__ import annotations

from dishka import AsyncContainer, Provider

from core.health import Health
from core.registry import Module
from core.settings import ConfigFile, Section
from nodes.rag.cli import app
from nodes.rag.client import RAGClient
from nodes.rag.settings import RagSettings
from nodes.rag.sources import SourcesFile


def _provider() -> Provider:
    from nodes.rag.provider import RagProvider  # noqa: PLC0415  # adapters load when the container is built

    return RagProvider()


async def check(container: AsyncContainer) -> Health:
    """Whether the local indexes and the remote sources answer."""
    client = await container.get(RAGClient)
    return await client.check()


MODULE = Module(
    name="rag",
    summary="Finds passages in local and remote sources, with citations.",
    version="0.1.0",
    command="rag",
    cli=app,
    provider=_provider,
    check=check,
    sections=(Section("rag", RagSettings),),
    files=(ConfigFile("sources", ("sources.yaml", "rag-sources.json"), SourcesFile),),
    required=False,  # a turn without passages is still a turn
)
