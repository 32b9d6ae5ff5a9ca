"""What the registry learns of this module."""

from __future__ import annotations

from dishka import AsyncContainer

from core.health import Health
from core.registry import Module, NodeSpec
from core.settings import ConfigFile, Section
from nodes.llm.caller import LLMCaller
from nodes.llm.catalogue import Catalogue
from nodes.llm.cli import app
from nodes.llm.provider import LLMProvider
from nodes.llm.settings import LLMSettings, ModelsFile


async def check(container: AsyncContainer) -> Health:
    """Whether the endpoints of the models answer."""
    caller = await container.get(LLMCaller)
    return await caller.check()


async def start(container: AsyncContainer) -> None:
    """Validate the catalogue at start: a wrong default model is said then, not at the first turn."""
    await container.get(LLMCaller)


MODULE = Module(
    name="llm",
    summary="Calls language models, streams what they say",
    version="0.1.0",
    command="llm",
    cli=app,
    provider=LLMProvider,
    check=check,
    node=NodeSpec("call_model", "nodes.llm.node:CallModel"),
    sections=(
        Section("llm", LLMSettings, live=("default_model", "offline", "openai_model", "openai_profile")),
    ),
    files=(
        ConfigFile("models", ("models.yaml", "llmconfig.yml"), ModelsFile, listing=Catalogue.of, live=True),
    ),
    start=start,
)
