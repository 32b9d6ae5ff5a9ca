"""Vectors from any OpenAI-compatible `/embeddings` endpoint.

Endpoints differ: some take few texts at once (Text Embeddings Inference 32), some refuse a text
that is longer than their model reads, some answer in base64 although floats were asked for, and
some leave out `index`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

import httpx
from pydantic import BaseModel, Field, FiniteFloat, ValidationError, field_validator

from core.observability import model_span
from core.resilience import Policy
from nodes.rag.adapters.web import call_json
from nodes.rag.endpoints import EmbedderEntry
from nodes.rag.errors import SourceRejected, SourceUnavailable
from nodes.rag.profiles import Purpose, profile_of

_BATCH = 64
# What is said to a request that holds too much, whichever of it is too much.
_TOO_MUCH = (400, 413, 422)
# A text is shortened as far as this; what is refused then, is refused for another reason.
_LEAST_CHARS = 100
# After so many batches more texts are tried again: one long text may have been what was refused.
_GROWS_AFTER = 8


class _Item(BaseModel):
    index: int | None = None
    embedding: list[FiniteFloat] = Field(min_length=1)

    @field_validator("embedding", mode="before")
    @classmethod
    def _decoded(cls, value: Any) -> Any:
        """Numbers as they are, or base64 of floats of 32 bits, as OpenAI writes them."""
        if not isinstance(value, str):
            return value
        try:
            packed = base64.b64decode(value, validate=True)
            return list(struct.unpack(f"<{len(packed) // 4}f", packed))
        except (ValueError, struct.error) as error:
            raise ValueError("neither numbers nor base64 of them") from error


class _Answer(BaseModel):
    data: list[_Item]


class EndpointEmbedder:
    """Asks the endpoint of `entry`, some texts at a time.

    Args:
        policy: How it is called; None where whoever asks has one.
        purpose: What its texts are.
    """

    def __init__(
        self,
        entry: EmbedderEntry,
        *,
        http: httpx.AsyncClient,
        policy: Policy | None = None,
        purpose: Purpose = "passage",
    ) -> None:
        self._entry = entry
        self._wish = entry.wish(purpose)
        self._http = http
        self._policy = policy
        self._batch = _BATCH
        self._taken = 0

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, in order, all of one length.

        Raises:
            SourceRejected: It takes none of these texts, not even a short one alone.
        """
        vectors: list[list[float]] = []
        while len(vectors) < len(texts):
            vectors += await self._next(texts[len(vectors) : len(vectors) + self._batch])
        if len(set(map(len, vectors))) > 1:
            raise SourceUnavailable("the embedder's vectors are not of one length")
        return vectors

    async def _next(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of the first of `texts`: of as many as the endpoint takes, which is remembered."""
        while True:
            try:
                vectors = await self._called(texts)
            except SourceRejected as error:
                if error.status not in _TOO_MUCH or not _can_be_less(texts):
                    raise
                texts = self._less(texts)
            else:
                self._grow()
                return vectors

    def _less(self, texts: Sequence[str]) -> Sequence[str]:
        if len(texts) == 1:
            return [texts[0][: len(texts[0]) // 2]]
        self._batch, self._taken = len(texts) // 2, 0
        return texts[: self._batch]

    def _grow(self) -> None:
        self._taken += 1
        if self._taken % _GROWS_AFTER == 0:
            self._batch = min(_BATCH, 2 * self._batch)

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
            body=self._body(texts),
        )
        try:
            items = _Answer.model_validate(answer).data
        except ValidationError as error:
            raise SourceUnavailable("the embedder's answer has no embeddings") from error
        return [self._kept(item.embedding) for item in _in_order(items, len(texts))]

    def _body(self, texts: Sequence[str]) -> dict[str, Any]:
        size = self._entry.dimensions
        body: dict[str, Any] = {
            "model": self._entry.model,
            "input": [f"{self._wish.prefix}{text}" for text in texts],
            "encoding_format": "float",
            **({profile_of(self._entry.model).dimensions: size} if size else {}),
            **self._wish.fields,
        }
        return {name: value for name, value in body.items() if value is not None}

    def _kept(self, vector: list[float]) -> list[float]:
        """Of a vector as many numbers as were asked for: some endpoints do not know the field."""
        size = self._entry.dimensions
        if size and len(vector) < size:
            raise SourceUnavailable(
                f"the embedder's vectors have {len(vector)} numbers, fewer than its `dimensions`, {size}"
            )
        return vector[:size]


def _in_order(items: Sequence[_Item], asked: int) -> list[_Item]:
    numbers = [item.index for item in items]
    if len(items) == asked and set(numbers) == {None}:
        return list(items)
    known = {item.index: item for item in items}
    if len(items) != asked or set(known) != set(range(asked)):
        raise SourceUnavailable(f"the embedder was asked for {asked} vectors and did not give one for each")
    return [known[number] for number in range(asked)]


def _can_be_less(texts: Sequence[str]) -> bool:
    return len(texts) > 1 or len(texts[0]) > _LEAST_CHARS
