"""Vectors from any OpenAI-compatible `/embeddings` endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from core.observability import model_span
from core.resilience import Policy
from nodes.rag.adapters.web import call_json
from nodes.rag.errors import SourceUnavailable
from nodes.rag.settings import EmbedderEntry

_BATCH = 64


class _Item(BaseModel):
    index: int
    embedding: list[float]


class _Answer(BaseModel):
    data: list[_Item]


class EndpointEmbedder:
    """Asks the endpoint of `entry`, some texts at a time.

    Args:
        policy: How it is called; None where the whole search is called through one.
    """

    def __init__(
        self, entry: EmbedderEntry, *, http: httpx.AsyncClient, policy: Policy | None = None
    ) -> None:
        self._entry = entry
        self._http = http
        self._policy = policy

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, in order."""
        vectors: list[list[float]] = []
        for first in range(0, len(texts), _BATCH):
            vectors += await self._called(texts[first : first + _BATCH])
        return vectors

    async def _called(self, texts: Sequence[str]) -> list[list[float]]:
        with model_span(self._entry.model, provider="openai", operation="embeddings"):
            if self._policy is None:
                return await self._some(texts)
            return await self._policy.call(lambda: self._some(texts))

    async def _some(self, texts: Sequence[str]) -> list[list[float]]:
        answer: Any = await call_json(
            self._http,
            "POST",
            f"{self._entry.url}/embeddings",
            token=self._entry.api_key.get_secret_value(),
            timeout=self._entry.timeout_s,
            body={"model": self._entry.model, "input": list(texts), "encoding_format": "float"},
        )
        try:
            items = _Answer.model_validate(answer).data
        except ValidationError as error:
            raise SourceUnavailable("the embedder's answer has no embeddings") from error
        if len(items) != len(texts) or len({len(item.embedding) for item in items}) > 1:
            raise SourceUnavailable("the embedder's answer does not match what was asked")
        return [item.embedding for item in sorted(items, key=lambda item: item.index)]
