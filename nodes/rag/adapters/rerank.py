"""A reranker behind `POST {url}/rerank`: Cohere, Jina, vLLM, llama.cpp, Text Embeddings Inference (TEI).

All but TEI take {model, query, documents, top_n} and answer
{results: [{index, relevance_score}]}; Voyage calls that list `data`. TEI takes
{query, texts} and answers [{index, score}]. Some give probabilities, others
plain numbers, which the logistic function brings to 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
from pydantic import AliasChoices, BaseModel, Field, TypeAdapter, ValidationError

from core.errors import WaystationError
from core.observability import model_span
from core.resilience import Policy
from nodes.rag.adapters.web import call_json
from nodes.rag.endpoints import RerankerEntry
from nodes.rag.errors import SourceUnavailable
from nodes.rag.models import Hit, remark

NOTICE = "not_reranked"


class _Item(BaseModel):
    index: int = Field(ge=0)
    score: float = Field(validation_alias=AliasChoices("relevance_score", "score"), allow_inf_nan=False)


_ITEMS = TypeAdapter(list[_Item])


class EndpointReranker:
    """Asks the endpoint of `entry`; where it does not work, the order stays and a notice says so.

    Args:
        source: Whose passages they are, for the notice.
        policy: How it is called; None: plainly.
    """

    def __init__(
        self, source: str, entry: RerankerEntry, *, http: httpx.AsyncClient, policy: Policy | None = None
    ) -> None:
        self._source = source
        self._entry = entry
        self._http = http
        self._policy = policy

    async def rerank(self, query: str, found: Sequence[Hit]) -> list[Hit]:
        """The first `candidates` of `found` in the endpoint's order, and then the others."""
        asked, others = list(found[: self._entry.candidates]), list(found[self._entry.candidates :])
        if len(asked) < 2 and not self._entry.min_score:
            return list(found)
        try:
            items = await self._called(query, [f"{hit.chunk.title}\n{hit.chunk.text}" for hit in asked])
        except WaystationError as error:
            remark(NOTICE, f"The passages of '{self._source}' are in the search's own order: {error.detail}.")
            return list(found)
        least = self._entry.min_score
        scored = [replace(asked[item.index], score=item.score) for item in items if item.score >= least]
        named = {item.index for item in items}
        unnamed = [hit for index, hit in enumerate(asked) if index not in named]
        return scored if least else [*scored, *unnamed, *others]

    async def _called(self, query: str, texts: Sequence[str]) -> list[_Item]:
        with model_span(self._entry.model, provider="rerank", operation="rerank"):
            if self._policy is None:
                return await self._asked(query, texts)
            return await self._policy.call(lambda: self._asked(query, texts))

    async def _asked(self, query: str, texts: Sequence[str]) -> list[_Item]:
        answer: Any = await call_json(
            self._http,
            "POST",
            f"{self._entry.url}/rerank",
            token=self._entry.api_key.get_secret_value(),
            timeout=self._entry.timeout_s,
            body=self._body(query, list(texts)),
        )
        if isinstance(answer, dict):
            answer = answer.get("results", answer.get("data"))
        try:
            items = _ITEMS.validate_python(answer)
        except ValidationError as error:
            raise SourceUnavailable("the reranker's answer has no scores") from error
        known = {item.index: item for item in items if item.index < len(texts)}
        if not known or len(known) < len(items):
            raise SourceUnavailable("the reranker's answer does not match what was asked")
        return sorted(_scaled(list(known.values())), key=lambda item: -item.score)

    def _body(self, query: str, texts: list[str]) -> dict[str, Any]:
        if self._entry.api == "texts":
            return {"query": query, "texts": texts, "truncate": True}
        return {"model": self._entry.model, "query": query, "documents": texts, "top_n": len(texts)}


def _scaled(items: list[_Item]) -> list[_Item]:
    if all(0 <= item.score <= 1 for item in items):
        return items
    return [
        item.model_copy(update={"score": 1 / (1 + math.exp(-max(min(item.score, 60), -60)))})
        for item in items
    ]
