"""What the registry learns of this module."""

from __future__ import annotations

from core.registry import Module, late
from core.steps import Step

MODULE = Module(
    name="llm",
    summary="Calls language models, streams what they say",
    command="llm",
    cli="nodes.llm.cli:app",
    provider="nodes.llm.provider:LLMProvider",
    service="nodes.llm.caller:LLMCaller",
    eager=True,  # a wrong default model is said at start, not at the first turn
    step=Step("call_model", "nodes.llm.node:CallModel", part="model"),
    sections=late("nodes.llm.models:SECTIONS"),
    files=late("nodes.llm.models:FILES"),
    events=(),
)
