"""What the registry learns of this module."""

from __future__ import annotations

from core.registry import Module
from core.settings import ConfigFile, Section
from core.steps import Step
from nodes.llm.models import Catalogue
from nodes.llm.settings import LLMSettings, ModelsFile

MODULE = Module(
    name="llm",
    summary="Calls language models, streams what they say",
    command="llm",
    cli="nodes.llm.cli:app",
    provider="nodes.llm.provider:LLMProvider",
    service="nodes.llm.caller:LLMCaller",
    eager=True,  # a wrong default model is said at start, not at the first turn
    step=Step("call_model", "nodes.llm.node:CallModel", part="model"),
    sections=(
        Section("llm", LLMSettings, live=("default_model", "offline", "openai_model", "openai_profile")),
    ),
    files=(
        ConfigFile("models", ("models.yaml", "llmconfig.yml"), ModelsFile, listing=Catalogue.of, live=True),
    ),
)
