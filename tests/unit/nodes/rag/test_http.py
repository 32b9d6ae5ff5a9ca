from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from core.correlation import correlated
from core.errors import WaystationError
from core.health import HealthState
from core.observability import extracted
from nodes.rag.adapters.http import HttpRetriever, passages_v1, passages_v2, read_collections
from nodes.rag.errors import (
    SourceBusy,
    SourceRefused,
    SourceRejected,
    SourceTimedOut,
    SourceUnavailable,
)
from nodes.rag.settings import HttpSource
from waystation.testing.rag_server import RagServer

TOKEN = "s3cret-token"
QUESTION = "annual leave of an employee"


@pytest.fixture(scope="module")
def running() -> Iterator[RagServer]:
    with RagServer(token=TOKEN) as server:
        yield server


@pytest.fixture
def server(running: RagServer) -> RagServer:
    running.forget()
    return running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


def retriever(server: RagServer, http: httpx.AsyncClient, **more: Any) -> HttpRetriever:
    entry = HttpSource.model_validate({"type": "http", "url": server.url, "bearer_token": TOKEN, **more})
    return HttpRetriever("wiki", entry, http=http)


async def test_every_call_carries_token_and_user(server: RagServer, http: httpx.AsyncClient) -> None:
    await retriever(server, http).search(QUESTION, limit=4, as_user="ada@example.com")
    assert [(r["route"], r["as_user"], r["token"]) for r in server.requests()] == [
        ("discover", "ada@example.com", TOKEN),
        ("query", "ada@example.com", TOKEN),
    ]
    assert server.requests()[0]["body"]["role"] == "read"


async def test_the_domain_is_left_out_where_configured(server: RagServer, http: httpx.AsyncClient) -> None:
    await retriever(server, http, strip_domain=True).search(QUESTION, limit=4, as_user="ada@example.com")
    assert {r["as_user"] for r in server.requests()} == {"ada"}


async def test_v1_sends_what_its_services_expect(server: RagServer, http: httpx.AsyncClient) -> None:
    await retriever(server, http, default_model="m-1").search(QUESTION, limit=4, as_user="ada")
    assert server.requests()[-1]["body"] == {
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": False,
        "corpora": "handbook",
        "model": "m-1",
    }
    await retriever(server, http).search(QUESTION, limit=4, as_user="boss")
    assert server.requests()[-1]["body"]["corpora"] == ["handbook", "payroll"]
    assert "model" not in server.requests()[-1]["body"]


async def test_v2_always_sends_mode_and_at_most_the_configured_top_k(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    found = await retriever(server, http, api_version="v2", top_k=2).search(QUESTION, limit=9, as_user="ada")
    assert server.requests()[-1]["body"] == {
        "query": QUESTION,
        "corpora": ["handbook"],
        "mode": "raw",
        "top_k": 2,
    }
    assert (found[0].title, found[0].document, found[0].uri) == ("Leave", "leave.md", "leave.md#1")


async def test_a_synthesized_answer_is_one_passage_that_names_its_documents(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    source = retriever(server, http, api_version="v2", default_mode="synthesized")
    [passage] = await source.search(QUESTION, limit=4, as_user="ada")
    assert "thirty days" in passage.text
    assert passage.document.startswith("leave.md")
    assert server.requests()[-1]["body"]["mode"] == "synthesized"


@pytest.mark.parametrize("shape", ["list", "object"])
async def test_both_shapes_of_discovery_are_read(
    server: RagServer, http: httpx.AsyncClient, shape: str
) -> None:
    server.behave(discovery=shape)
    source = retriever(server, http, discovery_endpoint="/somewhere/else")
    found = await source.collections(as_user="boss")
    assert [(c.id, c.label, c.compliance_level) for c in found] == [
        ("handbook", "Handbook", "Internal"),
        ("payroll", "Payroll", "Internal"),
    ]


async def test_parts_that_are_known_already_are_not_asked_for(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    source = retriever(server, http)
    found = await source.collections(as_user="boss")
    assert await source.search(QUESTION, limit=4, as_user="boss", within=found[:1])
    assert await source.search(QUESTION, limit=4, as_user="boss", within=[]) == []
    assert [r["route"] for r in server.requests()] == ["discover", "query"]


async def test_a_request_names_the_trace_and_the_request_that_it_belongs_to(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with correlated(request_id="req-7"), extracted({"traceparent": parent}):
        await retriever(server, http).collections(as_user="ada")
    await retriever(server, http).collections(as_user="ada")
    inside, outside = (request["headers"] for request in server.requests())
    assert (inside["x-request-id"], inside["traceparent"]) == ("req-7", parent)
    assert not {"x-request-id", "traceparent"} & outside.keys()


@pytest.mark.parametrize(("told", "wait"), [("2", 2.0), ("soon", None), ("-1", 0.0)])
async def test_when_to_come_back_is_taken_from_the_answer(
    server: RagServer, http: httpx.AsyncClient, told: str, wait: float | None
) -> None:
    server.behave(fault="status", status=429, retry_after=told)
    with pytest.raises(SourceBusy) as caught:
        await retriever(server, http).collections(as_user="ada")
    assert (caught.value.retry_after, caught.value.counts_as_failure) == (wait, False)


async def test_a_user_never_gets_what_only_others_may_see(server: RagServer, http: httpx.AsyncClient) -> None:
    source, query = retriever(server, http), "salaries paid last working month"
    assert await source.search(query, limit=4, as_user="boss")
    assert await source.search(query, limit=4, as_user="ada") == []


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"fault": "status", "status": 500}, SourceUnavailable, "HTTP 500"),
        ({"fault": "status", "status": 400, "only": "query"}, SourceRejected, "HTTP 400"),
        ({"fault": "status", "status": 408}, SourceUnavailable, "HTTP 408"),
        ({"fault": "status", "status": 403, "only": "query"}, SourceRefused, "refused"),
        ({"fault": "status", "status": 404}, SourceRejected, "does not know"),
        ({"fault": "status", "status": 307}, SourceUnavailable, "HTTP 307"),
        ({"fault": "text"}, SourceUnavailable, "not JSON"),
        ({"fault": "wrong"}, SourceUnavailable, "discovery has a shape"),
        ({"fault": "wrong", "only": "query"}, SourceUnavailable, "answer has a shape"),
        ({"fault": "huge", "only": "query"}, SourceUnavailable, "larger than"),
        ({"fault": "hang", "only": "query"}, SourceTimedOut, "no answer within 0.3 s"),
    ],
)
async def test_each_fault_is_an_error_without_address_or_token(
    server: RagServer,
    http: httpx.AsyncClient,
    how: dict[str, Any],
    error: type[WaystationError],
    said: str,
) -> None:
    server.behave(**how)
    timeout = 0.3 if how["fault"] == "hang" else 10
    with pytest.raises(error, match=said) as caught:
        await retriever(server, http, timeout=timeout).search(QUESTION, limit=4, as_user="ada")
    assert server.url not in caught.value.detail
    assert TOKEN not in caught.value.detail


async def test_a_service_that_is_not_there_is_unavailable(http: httpx.AsyncClient) -> None:
    entry = HttpSource(url="http://127.0.0.1:9")
    with pytest.raises(SourceUnavailable, match="the connection failed"):
        await HttpRetriever("wiki", entry, http=http).search(QUESTION, limit=4, as_user="ada")


async def test_a_wrong_token_is_refused_and_yet_a_sign_of_life(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    source = retriever(server, http, bearer_token="wrong")
    with pytest.raises(SourceRefused):
        await source.search(QUESTION, limit=4, as_user="ada")
    assert (await source.check()).state is HealthState.HEALTHY
    server.behave(fault="status", status=500)
    assert (await retriever(server, http).check()).state is HealthState.DEGRADED


async def test_a_user_who_sees_no_collection_is_not_asked_for(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    assert read_collections([]) == []
    assert await retriever(server, http).search("   ", limit=4, as_user="ada") == []
    assert server.requests() == []


def test_an_answer_that_lists_no_documents_is_itself_the_passage() -> None:
    newer = {"message": {"role": "assistant", "content": "Thirty days."}, "metadata": {"response_time": 1}}
    older = {"choices": [{"message": {"content": "Thirty days."}}]}
    for answer in (newer, older):
        [passage] = passages_v1(answer, source="wiki")
        assert (passage.text, passage.document) == ("Thirty days.", "wiki")
    assert passages_v1({"choices": []}, source="wiki") == []
    assert passages_v2({"results": {"answer": " "}}, source="wiki") == []


def test_web_addresses_stay_and_foreign_paths_lose_their_folders() -> None:
    section = {"text": "x", "relevance": None, "section_ref": None}
    hits = [
        {"document_ref": "https://example.com/a", "filename": "a.md", "sections": [section]},
        {"document_ref": 7, "filename": "C:\\data\\b.md", "sections": [section]},
        {"filename": "guides/c.md", "sections": [{**section, "section_ref": 2}]},
    ]
    found = passages_v2({"results": {"hits": hits}}, source="wiki")
    assert [(p.document, p.uri) for p in found] == [
        ("a.md", "https://example.com/a"),
        ("b.md", "b.md"),
        ("guides/c.md", "c.md#2"),
    ]
