"""The suite of Reranker over the fake, and over an endpoint in the shapes that are spoken."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from core.resilience import Policies, ResilienceSettings
from nodes.rag.adapters.rerank import NOTICE, EndpointReranker
from nodes.rag.endpoints import RerankerEntry
from nodes.rag.fake import FakeReranker
from nodes.rag.ports import Reranker
from tests.kit.remarks import remarks
from waystation.testing.contracts.reranker import QUESTION, TEXTS, RerankerContract, hits
from waystation.testing.rag_server import RagServer


class TestFake(RerankerContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return FakeReranker()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


class TestEndpoint(RerankerContract):
    @pytest.fixture(params=["results", "data", "logits", "texts"])
    def reranker(
        self, request: pytest.FixtureRequest, rag_server: RagServer, http: httpx.AsyncClient
    ) -> Reranker:
        rag_server.behave(shape=request.param)
        return EndpointReranker("handbook", entry(rag_server, texts=request.param == "texts"), http=http)


def entry(server: RagServer, *, texts: bool = False, **more: object) -> RerankerEntry:
    api = "texts" if texts else "documents"
    return RerankerEntry.model_validate({"url": f"{server.url}/v1/rerank", "model": "m", "api": api, **more})


async def test_it_is_asked_once_for_the_first_passages(
    rag_server: RagServer, http: httpx.AsyncClient
) -> None:
    few = entry(rag_server, candidates=2, api_key="secret")
    found = await EndpointReranker("handbook", few, http=http).rerank(QUESTION, hits(*TEXTS))
    [request] = [r for r in rag_server.requests() if r["route"] == "rerank"][-1:]
    assert request["token"] == "secret"
    assert request["body"]["documents"] == [f"Title {n}\n{TEXTS[n]}" for n in (0, 1)]
    assert (request["body"]["model"], request["body"]["top_n"]) == ("m", 2)
    assert [hit.chunk.text for hit in found] == [TEXTS[1], TEXTS[0], TEXTS[2]]


async def test_what_is_below_its_bar_is_not_shown(rag_server: RagServer, http: httpx.AsyncClient) -> None:
    strict = EndpointReranker("handbook", entry(rag_server, min_score=0.5), http=http)
    assert [hit.chunk.text for hit in await strict.rerank(QUESTION, hits(*TEXTS))] == [TEXTS[2]]
    assert await strict.rerank("quantum", hits(TEXTS[0])) == []


@pytest.mark.parametrize("fault", ["status", "text", "wrong", "huge"])
async def test_one_that_fails_leaves_the_order_and_says_so(
    rag_server: RagServer, http: httpx.AsyncClient, fault: str
) -> None:
    rag_server.behave(fault=fault, only="rerank")
    given = hits(*TEXTS)
    with remarks() as told:
        assert (
            await EndpointReranker("handbook", entry(rag_server), http=http).rerank(QUESTION, given) == given
        )
    [(code, text)] = told
    assert code == NOTICE
    assert text.startswith("The passages of 'handbook' are in the search's own order: ")
    assert rag_server.url not in text


async def test_one_that_goes_on_failing_is_left_alone(rag_server: RagServer, http: httpx.AsyncClient) -> None:
    rules = ResilienceSettings.model_validate({"other": {"attempts": 1, "in_a_row": 2, "open_s": 60}})
    policy = Policies(rules).of("other", "reranker of handbook", timeout_s=5, attempts=1)
    reranker = EndpointReranker("handbook", entry(rag_server), http=http, policy=policy)
    rag_server.behave(fault="status", status=503, only="rerank")
    before = len(rag_server.requests())
    for _ in range(5):
        assert await reranker.rerank(QUESTION, hits(*TEXTS)) == hits(*TEXTS)
    assert len(rag_server.requests()) - before == 2


async def test_an_answer_about_other_passages_is_none(rag_server: RagServer, http: httpx.AsyncClient) -> None:
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, json={"results": [{"index": 7, "relevance_score": 0.9}]})
    )
    async with httpx.AsyncClient(transport=transport) as odd:
        with remarks() as told:
            found = await EndpointReranker("handbook", entry(rag_server), http=odd).rerank(
                QUESTION, hits(*TEXTS)
            )
    assert found == hits(*TEXTS)
    assert "does not match what was asked" in told[0][1]
