"""Calls language models: one kept client per model, streamed, with retries, fallbacks and an offline model."""

from nodes.llm.caller import LLMCaller
from nodes.llm.catalogue import Catalogue
from nodes.llm.models import MALFORMED, OFFLINE, LLMChunk, LLMRequest, LLMResponse, Model, Usage
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
