"""The offline model behind our port: it needs no network and no weights, and never invents."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.ai import UsageMetadata

from core.cache import Cache
from nodes.llm.models import OFFLINE, Model
from nodes.llm.offline.reply import Reply, reply
from nodes.llm.pieces import Piece
from nodes.llm.settings import LLMSettings

_PIECE = re.compile(r"\s*\S+|\s+$")


class OfflineModel:
    """Calls a tool when the request matches one, states results, quotes passages, or says what it can do.

    Args:
        max_quote: Longest sentence, in characters, that it quotes.
    """

    def __init__(self, *, max_quote: int = 400) -> None:
        self._max_quote = max_quote

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Mapping[str, float] = {},
        user: str = "",
    ) -> AsyncIterator[Piece]:
        """The answer word by word; its tokens are counted words."""
        answer = reply(messages, tools, max_quote=self._max_quote)
        if answer.tool:
            arguments = json.dumps(dict(answer.arguments), ensure_ascii=False)
            call_id = _call_id(messages, answer)
            yield Piece(calls=[{"name": answer.tool, "args": arguments, "id": call_id, "index": 0}])
        for piece in _PIECE.findall(answer.text):
            yield Piece(piece)
        read = sum(len(str(message.text).split()) for message in messages)
        written = len(answer.text.split()) or 1
        finish = "tool_calls" if answer.tool else "stop"
        yield Piece(
            metadata={"finish_reason": finish, "model_name": OFFLINE},
            usage=UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written),
        )

    async def ping(self) -> list[str]:
        return [OFFLINE]

    async def aclose(self) -> None:
        return


def connected(_: Model, settings: LLMSettings, __: Cache | None) -> OfflineModel:
    """The offline model, quoting as the settings say."""
    return OfflineModel(max_quote=settings.max_quote)


def _call_id(messages: Sequence[BaseMessage], answer: Reply) -> str:
    """The same conversation gives the same id, another one another."""
    told = [f"{message.type}:{message.id}:{message.text}" for message in messages]
    whole = json.dumps([*told, answer.tool, dict(answer.arguments)], default=str)
    return f"offline-{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
