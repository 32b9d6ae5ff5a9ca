"""Calls language models: streamed, with retries, fallbacks, and a model that works offline."""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from nodes.llm.caller import LLMCaller
    from nodes.llm.models import (
        MALFORMED,
        OFFLINE,
        Catalogue,
        LLMChunk,
        LLMRequest,
        LLMResponse,
        Model,
        Usage,
    )
    from nodes.llm.node import CallModel
    from nodes.llm.ports import ChatModel, EmptyToolbox, Toolbox

__all__ = [
    "MALFORMED",
    "OFFLINE",
    "CallModel",
    "Catalogue",
    "ChatModel",
    "EmptyToolbox",
    "LLMCaller",
    "LLMChunk",
    "LLMRequest",
    "LLMResponse",
    "Model",
    "Toolbox",
    "Usage",
]

__getattr__ = names_from(__name__, "models", "ports", "caller", "node")
