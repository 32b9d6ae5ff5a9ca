"""Endpoints for embeddings take different amounts, and write their vectors in different ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from core.resilience import Policies, ResilienceSettings
from nodes.rag.adapters.embeddings import EndpointEmbedder
from nodes.rag.endpoints import EmbedderEntry
from nodes.rag.errors import SourceRejected, SourceUnavailable
from waystation.testing.rag_server import RagServer

pytestmark = pytest.mark.slow

TEXTS = ["annual leave", "train journeys", "wages"]


@pytest.fixture
async def embedder(rag_server: RagServer) -> AsyncIterator[EndpointEmbedder]:
    entry = EmbedderEntry(url=f"{rag_server.url}/v1", model="m")
    async with httpx.AsyncClient(trust_env=False) as http:
        yield EndpointEmbedder(entry, http=http)


def sizes(server: RagServer) -> list[int]:
    """How many texts each request held."""
    return [len(request["body"]["input"]) for request in server.requests()]


@pytest.mark.parametrize("vectors", ["base64", "unnumbered"])
async def test_vectors_are_read_as_the_endpoint_writes_them(
    rag_server: RagServer, embedder: EndpointEmbedder, vectors: str
) -> None:
    plain = await embedder.embed(TEXTS)
    rag_server.behave(vectors=vectors)
    written = await embedder.embed(TEXTS)
    assert len({tuple(vector) for vector in plain}) == len(TEXTS)
    assert written == [pytest.approx(vector, abs=1e-6) for vector in plain]


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ("fewer", "asked for 3 vectors and did not give one for each"),
        ("twice", "asked for 3 vectors and did not give one for each"),
        ("uneven", "not of one length"),
        ("empty", "has no embeddings"),
    ],
)
async def test_vectors_that_cannot_be_told_apart_are_none(
    rag_server: RagServer, embedder: EndpointEmbedder, vectors: str, said: str
) -> None:
    rag_server.behave(vectors=vectors)
    with pytest.raises(SourceUnavailable, match=said):
        await embedder.embed(TEXTS)


async def test_an_endpoint_that_takes_few_texts_at_once_is_given_few(
    rag_server: RagServer, embedder: EndpointEmbedder
) -> None:
    texts = [f"leave {number}" for number in range(150)]
    plain = await embedder.embed(texts)
    assert sizes(rag_server) == [64, 64, 22]
    rag_server.forget()
    rag_server.behave(most=32)
    assert await embedder.embed(texts) == plain
    assert sizes(rag_server) == [64, 32, 32, 32, 32, 22]
    rag_server.forget()
    assert await embedder.embed(texts * 4) == plain * 4
    assert (sizes(rag_server)[0], max(sizes(rag_server))) == (32, 64)


async def test_a_text_that_is_too_long_for_the_model_is_embedded_by_its_beginning(
    rag_server: RagServer, embedder: EndpointEmbedder
) -> None:
    rag_server.behave(longest=500)
    long, [short] = "annual leave " * 100, await embedder.embed(["annual leave"])
    [first, middle, last] = await embedder.embed(["wages", long, "train journeys"])
    assert middle == pytest.approx(short)
    assert [first, last] == await embedder.embed(["wages", "train journeys"])


@pytest.mark.parametrize("status", [404, 422])
async def test_what_is_refused_whatever_is_asked_is_an_error(
    rag_server: RagServer, embedder: EndpointEmbedder, status: int
) -> None:
    rag_server.behave(fault="status", status=status)
    with pytest.raises(SourceRejected, match=f"HTTP {status}"):
        await embedder.embed(TEXTS)
    assert len(rag_server.requests()) <= 2


async def test_a_refusal_of_too_much_does_not_count_against_the_endpoint(
    rag_server: RagServer,
) -> None:
    entry = EmbedderEntry(url=f"{rag_server.url}/v1", model="m")
    rules = Policies(ResilienceSettings.model_validate({"source": {"in_a_row": 2, "attempts": 1}}))
    rag_server.behave(most=1)
    async with httpx.AsyncClient(trust_env=False) as http:
        policy = rules.of("source", "wiki")
        texts: list[Any] = [f"leave {number}" for number in range(5)]
        assert len(await EndpointEmbedder(entry, http=http, policy=policy).embed(texts)) == 5
    assert rules.status()[0].state == "closed"
