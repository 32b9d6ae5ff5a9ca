"""`POST /v1/embeddings`: vectors of texts, by the model that searches by meaning here.

It is the one inside the package of the extra `embed`: no text leaves the service for it. Endpoints that
single sources are indexed with are theirs, and are not lent to callers.
"""

from __future__ import annotations

import array
import base64
import sys
from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import BaseModel, Field

from graph.agent import Agent
from nodes.llm.errors import ModelNotFound
from nodes.rag.adapters.bundled import BundledEmbedder, installed
from server.errors import InvalidRequest, UnsupportedParameter
from server.middleware.auth import Caller
from server.protocols.openai.answer import answer_of
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

router = wire_router("openai", "/v1")
MODEL = "waystation/embeddings"
MOST_TEXTS = 256


class EmbeddingsBody(BaseModel, extra="ignore"):
    """The fields that have a meaning here."""

    model: Annotated[str, Field(min_length=1, max_length=300)]
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None


@router.post("/embeddings")
async def embeddings(body: EmbeddingsBody, agent: OpenAgent, who: Caller) -> Response:
    """A vector for each text, all of one length."""
    embedder = await _embedder(agent, body.model)
    texts = _texts(body.input)
    vectors = await embedder.embed(texts)
    if body.dimensions not in (None, len(vectors[0])):
        raise UnsupportedParameter("dimensions", f"vectors have {len(vectors[0])} numbers; leave it out")
    shown = _base64 if body.encoding_format == "base64" else list
    found = [
        {"object": "embedding", "index": n, "embedding": shown(vector)} for n, vector in enumerate(vectors)
    ]
    # Tokens are a model's own; words are what can be said of all.
    words = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return answer_of({"object": "list", "data": found, "model": body.model, "usage": usage})


async def _embedder(agent: Agent, model: str) -> BundledEmbedder:
    if model != MODEL:
        raise ModelNotFound(f"no model '{model[:200]}' makes vectors here; there is '{MODEL}'")
    if not agent.has("rag") or not installed():
        raise ModelNotFound(f"'{MODEL}' needs the extra `embed` and the module `rag`; this service lacks one")
    return await agent.container.get(BundledEmbedder)


def _texts(given: str | list[Any]) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise InvalidRequest(f"input: has {len(texts)} texts; 1 to {MOST_TEXTS} are taken at once")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise UnsupportedParameter(f"input.{place}", "only texts are taken, and no tokens")
        if not text.strip():
            raise InvalidRequest(f"input.{place}: is empty")
    return texts


def _base64(vector: list[float]) -> str:
    """As 32-bit numbers, the least byte first, which is what SDKs ask for and read."""
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
