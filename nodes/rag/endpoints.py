"""The entries of a source for endpoints that it asks: an embedder, a reranker."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from core.settings import Strict
from nodes.rag.profiles import PLAIN, Purpose, Wish, profile_of


class EmbedderEntry(Strict):
    """An OpenAI-compatible endpoint for embeddings."""

    url: str = Field(description="Base URL; `/embeddings` is added.")
    model: str
    api_key: SecretStr = SecretStr("")
    timeout_s: float = Field(30, gt=0, description="Longest answer while indexing, in seconds.")
    question_timeout_s: float = Field(
        5,
        gt=0,
        description="How long a question waits for its vector, in seconds; words alone answer then. At most "
        "0.45 of `rag.timeout_s`.",
    )
    dimensions: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="How many numbers of each vector are asked for and kept; null: all.",
    )
    question: Wish | None = Field(None, description="How questions are sent; null: as its model is known to.")
    passage: Wish | None = Field(None, description="How passages are sent; null: as its model is known to.")

    @field_validator("url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        return http_url(value).rstrip("/").removesuffix("/embeddings")

    def wish(self, purpose: Purpose) -> Wish:
        """How texts are sent: as is said here, or else as the model is known to want them."""
        known = profile_of(self.model)
        return (self.question or known.question) if purpose == "question" else (self.passage or known.passage)

    @property
    def flavour(self) -> str:
        """What the vectors of passages are made of: another text where others would come of it."""
        wish = self.wish("passage")
        told = json.dumps([wish.prefix, wish.fields, self.dimensions], sort_keys=True)
        plain = wish == PLAIN and self.dimensions is None
        return f"{self.url} {self.model}" + ("" if plain else f" {told}")


class RerankerEntry(Strict):
    """An endpoint that puts passages in order, as Cohere, Jina, vLLM, llama.cpp and TEI serve it."""

    url: str = Field(description="Base URL; `/rerank` is added.")
    model: str = Field(
        "", description="The name that its endpoint knows; one with a single model may need none."
    )
    api: Literal["documents", "texts"] = Field(
        "documents", description="What the passages are called in a request; `texts` is TEI's."
    )
    api_key: SecretStr = SecretStr("")
    candidates: int = Field(24, ge=2, le=100, description="Passages that it is shown for a question.")
    min_score: float = Field(
        0,
        ge=0,
        le=1,
        description="Passages below are not shown; 0 shows what the search would show without it.",
    )
    timeout_s: float = Field(
        10, gt=0, description="Longest answer, in seconds; at most 0.45 of `rag.timeout_s`."
    )

    @field_validator("url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        return http_url(value).rstrip("/").removesuffix("/rerank")


def http_url(value: str) -> str:
    """`value`, if it is an address of HTTP. Raises ValueError otherwise."""
    if not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value
