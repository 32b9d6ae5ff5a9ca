"""Remote sources go through their policy and the cache; local ones are simply read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.access import Principal
from core.cache import Cache
from core.cache.settings import CacheSettings
from core.errors import WaystationError
from core.resilience import Policies, ResilienceSettings
from core.resilience.errors import BreakerOpen
from nodes.rag.adapters.embeddings import EndpointEmbedder
from nodes.rag.adapters.http import HttpRetriever
from nodes.rag.embedding import QuestionEmbedder, at_most
from nodes.rag.endpoints import EmbedderEntry
from nodes.rag.errors import IndexBroken, SourceRefused, SourceRejected, SourceTimedOut, SourceUnavailable
from nodes.rag.fake import FakeRetriever, MemoryStore
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.models import TOLD
from nodes.rag.settings import HttpSource, LocalSource, RagSettings
from nodes.rag.source import Source, SourceCalls
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.unit.nodes.rag.corpus import write
from waystation.testing.rag_server import RagServer

pytestmark = pytest.mark.slow

ADA, BOSS = Principal("ada"), Principal("boss")
QUESTION = "annual leave of an employee"
QUICK = {"backoff_s": 0.01, "in_a_row": 3}


@pytest.fixture
def server(rag_server: RagServer) -> RagServer:
    return rag_server


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    async with Cache(CacheSettings()) as cache:
        yield cache


def policies(**source: Any) -> Policies:
    return Policies(ResilienceSettings.model_validate({"source": {**QUICK, **source}}))


def source_calls(cache: Cache | None = None, **source: Any) -> SourceCalls:
    return SourceCalls(RagSettings(timeout_s=0.3), policies=policies(**source), cache=cache)


def wiki(server: RagServer, http: httpx.AsyncClient, **more: Any) -> Source:
    entry = HttpSource.model_validate({"url": server.url, **more})
    return Source(entry, HttpRetriever("wiki", entry, http=http))


async def ask(
    asked: SourceCalls, source: Source, text: str = QUESTION, who: Principal = ADA, limit: int = 4
) -> list[str]:
    found = await asked.passages("wiki", source, text, principal=who, limit=limit)
    return [passage.document for passage in found]


def routes(server: RagServer) -> list[str]:
    return [request["route"] for request in server.requests()]


async def test_a_source_that_hangs_costs_its_time_and_is_then_left_alone(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    server.behave(fault="hang")
    asked, source = source_calls(), wiki(server, http, timeout=0.2)
    for _ in range(3):
        with pytest.raises(SourceTimedOut, match=r"no answer within 0\.2 s"):
            await ask(asked, source)
    with pytest.raises(BreakerOpen, match=r"the source 'wiki' failed too often .* tried again in"):
        await ask(asked, source)
    assert routes(server) == ["discover"] * 3
    assert asked.breakers()["wiki"].state == "open"


async def test_discovery_and_query_share_the_time_of_the_source(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    server.behave(fault="hang", only="query")
    began = asyncio.get_running_loop().time()
    with pytest.raises(SourceTimedOut, match=r"no answer within 0\.5 s"):
        await ask(source_calls(), wiki(server, http, timeout=0.5))
    assert asyncio.get_running_loop().time() - began < 0.9
    assert routes(server) == ["discover", "query"]


async def test_a_failure_is_tried_again_and_a_refusal_is_not(
    server: RagServer, http: httpx.AsyncClient
) -> None:
    asked, source = source_calls(), wiki(server, http)
    server.behave(fault="status", status=503, percent=50)
    assert await ask(asked, source) == ["leave.md"]
    for status, error in ((403, SourceRefused), (404, SourceRejected), (422, SourceRejected)):
        server.forget()
        server.behave(fault="status", status=status)
        for _ in range(4):
            with pytest.raises(error):
                await ask(asked, source)
        assert len(server.requests()) == 4
    assert asked.breakers()["wiki"].state == "closed"


async def test_a_question_is_asked_once_per_user_and_limit(
    server: RagServer, http: httpx.AsyncClient, cache: Cache
) -> None:
    asked, source = source_calls(cache), wiki(server, http)
    for who in (ADA, ADA, BOSS, ADA):
        assert await ask(asked, source, who=who) == ["leave.md"]
    assert [(r["route"], r["as_user"]) for r in server.requests()] == [
        ("discover", "ada"),
        ("query", "ada"),
        ("discover", "boss"),
        ("query", "boss"),
    ]
    await ask(asked, source, limit=1)
    await ask(asked, source, "train journeys")
    assert routes(server)[4:] == ["query", "query"]


async def test_what_a_user_may_search_is_asked_once(
    server: RagServer, http: httpx.AsyncClient, cache: Cache
) -> None:
    asked, source = source_calls(cache), wiki(server, http)
    for who, parts in ((ADA, ["handbook"]), (BOSS, ["handbook", "payroll"]), (ADA, ["handbook"])):
        found = await asked.collections("wiki", source, principal=who)
        assert [collection.id for collection in found] == parts
    assert len(server.requests()) == 2


async def test_a_changed_entry_and_other_groups_are_asked_anew(
    server: RagServer, http: httpx.AsyncClient, cache: Cache
) -> None:
    asked = source_calls(cache)
    await ask(asked, wiki(server, http))
    await ask(asked, wiki(server, http, bearer_token="another"))
    await ask(asked, wiki(server, http), who=Principal("ada", frozenset({"staff"})))
    assert routes(server) == ["discover", "query"] * 3


async def test_an_error_is_not_kept(server: RagServer, http: httpx.AsyncClient, cache: Cache) -> None:
    asked, source = source_calls(cache, attempts=1), wiki(server, http)
    server.behave(fault="status", status=500, only="query")
    with pytest.raises(SourceUnavailable, match="HTTP 500"):
        await ask(asked, source)
    server.behave()
    assert await ask(asked, source) == ["leave.md"]


async def test_what_is_kept_answers_while_the_source_is_left_alone(
    server: RagServer, http: httpx.AsyncClient, cache: Cache
) -> None:
    asked, source = source_calls(cache, attempts=1), wiki(server, http)
    await ask(asked, source)
    server.behave(fault="status", status=500)
    for number in range(3):
        with pytest.raises(SourceUnavailable):
            await ask(asked, source, f"leave {number}")
    with pytest.raises(BreakerOpen):
        await ask(asked, source, "leave")
    assert await ask(asked, source) == ["leave.md"]


async def test_a_local_source_has_a_time_limit_and_no_breaker() -> None:
    class Stuck(FakeRetriever):
        async def search(self, query: str, **_: Any) -> Any:
            await asyncio.Event().wait()

    asked, source = source_calls(), Source(LocalSource(path=["x"]), Stuck("local", {}))
    for _ in range(6):
        with pytest.raises(SourceTimedOut, match=r"no answer within 0\.3 s"):
            await ask(asked, source)
    assert asked.breakers() == {}


async def test_a_timeout_inside_a_local_source_is_its_own() -> None:
    source = Source(LocalSource(path=["x"]), FakeRetriever("local", {}, problem=TimeoutError("a socket")))
    with pytest.raises(TimeoutError, match="a socket"):
        await ask(source_calls(), source)


class Meaning:
    """A local source with an embedder behind its policy, as the provider makes it."""

    def __init__(
        self,
        server: RagServer,
        http: httpx.AsyncClient,
        folder: Path,
        rules: Policies,
        cache: Cache | None = None,
        *,
        seconds: float = A_BUSY_MACHINE_S,
        **more: Any,
    ) -> None:
        entry = EmbedderEntry(url=f"{server.url}/v1", model="m")
        store, root = MemoryStore(), write(folder / "docs", {"a.md": "# Leave\n\nThirty days of holiday.\n"})
        self.root = root
        self.indexer = Indexer(
            "wiki",
            [str(root)],
            store=store,
            manifest=ManifestFile(folder / "index", "wiki"),
            chunk_tokens=200,
            max_file_bytes=100_000,
            embedder=EndpointEmbedder(entry, http=http, policy=rules.of("source", "wiki")),
        )
        questions = QuestionEmbedder(
            EndpointEmbedder(entry, http=http),
            policy=rules.of("source", "wiki"),
            seconds=seconds,
            cache=cache,
            key=lambda: [self.indexer.manifest.generation()],
        )
        retriever = LocalRetriever("wiki", store=store, min_score=0.3, embedder=questions, **more)
        local = LocalSource(path=[str(root)], embedder=entry)
        self.source = Source(local, retriever, self.indexer, store, questions=questions)


async def told_while(call: Awaitable[list[str]]) -> tuple[list[str], list[str]]:
    """What a search gives, and what whoever asked is told of it."""
    told: list[tuple[str, str]] = []
    token = TOLD.set(told)
    try:
        return await call, [text for _, text in told]
    finally:
        TOLD.reset(token)


async def test_an_indexing_shows_at_once_although_answers_are_kept(
    server: RagServer, http: httpx.AsyncClient, cache: Cache, tmp_path: Path
) -> None:
    rules = policies()
    meaning = Meaning(server, http, tmp_path, rules, cache)
    asked = SourceCalls(RagSettings(), policies=rules, cache=cache)
    assert await ask(asked, meaning.source, "holiday leave") == []
    await meaning.indexer.update()
    assert await ask(asked, meaning.source, "holiday leave") == ["a.md"]
    count = len(server.requests())
    assert await ask(asked, meaning.source, "holiday leave") == ["a.md"]
    assert len(server.requests()) == count
    (meaning.root / "a.md").unlink()
    await meaning.indexer.update()
    assert await ask(asked, meaning.source, "holiday leave") == []


async def test_an_embedder_that_fails_is_left_alone_and_words_are_found_meanwhile(
    server: RagServer, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    rules = policies(attempts=1)
    meaning = Meaning(server, http, tmp_path, rules)
    asked = SourceCalls(RagSettings(), policies=rules)
    await meaning.indexer.update()
    (meaning.root / "b.md").write_text("# Pay\n\nWages come in March.\n")
    server.behave(fault="status", status=503)
    for _ in range(4):
        found, told = await told_while(ask(asked, meaning.source, "thirty days of holiday"))
        assert found == ["a.md"]
        assert told[0].startswith("'wiki' was searched by words alone: its embedder failed: ")
    count = len(server.requests())
    assert await ask(asked, meaning.source, "thirty days of holiday") == ["a.md"]
    assert len(server.requests()) == count
    with pytest.raises(BreakerOpen):
        await meaning.indexer.update()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"fault": "status", "status": 401}, "access was refused (HTTP 401)"),
        ({"fault": "status", "status": 429, "retry_after": 60}, "the service limits requests (HTTP 429)"),
        ({"fault": "text"}, "the answer is not JSON"),
        ({"fault": "huge"}, "the answer is larger than 8388608 bytes"),
        ({"vectors": "fewer"}, "the embedder was asked for 1 vectors and did not give one for each"),
        ({"vectors": "empty"}, "the embedder's answer has no embeddings"),
    ],
)
async def test_words_that_are_found_meanwhile_answer_when_the_embedder_does_not(
    server: RagServer, http: httpx.AsyncClient, tmp_path: Path, fault: dict[str, Any], why: str
) -> None:
    rules = policies(attempts=1, in_a_row=99)
    meaning = Meaning(server, http, tmp_path, rules)
    asked = SourceCalls(RagSettings(), policies=rules)
    await meaning.indexer.update()
    store, looked_up = meaning.source.store, 0
    assert isinstance(store, MemoryStore)
    find = store.find

    async def counted(*args: Any, **more: Any) -> Any:
        nonlocal looked_up
        looked_up += 1
        return await find(*args, **more)

    store.find = counted  # type: ignore[method-assign]
    server.behave(only="embeddings", **fault)
    found, told = await told_while(ask(asked, meaning.source, "thirty days of holiday"))
    assert (found, looked_up) == (["a.md"], 1)
    assert told == [f"'wiki' was searched by words alone: its embedder failed: {why}."]
    assert meaning.source.questions is not None
    problem = meaning.source.questions.problem
    assert problem is not None
    assert problem[0] == why
    server.behave()
    assert await told_while(ask(asked, meaning.source, "thirty days of holiday")) == (["a.md"], [])
    assert meaning.source.questions.problem is None


@pytest.mark.parametrize("by", ["both", "meaning"])
async def test_a_question_does_not_wait_for_an_embedder_that_hangs(
    server: RagServer, http: httpx.AsyncClient, tmp_path: Path, by: str
) -> None:
    rules = policies(attempts=1, in_a_row=99)
    meaning = Meaning(server, http, tmp_path, rules, seconds=0.2, by=by)
    asked = SourceCalls(RagSettings(timeout_s=600), policies=rules)
    await meaning.indexer.update()
    server.behave(only="embeddings", fault="hang")
    found, told = await told_while(ask(asked, meaning.source, "thirty days of holiday"))
    assert found == ["a.md"]
    assert told == ["'wiki' was searched by words alone: its embedder failed: no answer within 0.2 s."]


def test_what_a_search_asks_of_endpoints_fits_into_its_time() -> None:
    assert at_most(5, of=20) == 5
    assert 2 * at_most(30, of=2) < 2


async def test_an_index_that_cannot_be_read_is_named_for_what_it_is(
    server: RagServer, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    class Unreadable(MemoryStore):
        async def find(self, *_: Any, **__: Any) -> Any:
            raise IndexBroken("the index of 'wiki' cannot be read")

    rules = policies()
    meaning = Meaning(server, http, tmp_path, rules)
    retriever = LocalRetriever("wiki", store=Unreadable(), min_score=0.3, embedder=meaning.source.questions)
    broken = replace(meaning.source, retriever=retriever)
    with pytest.raises(IndexBroken, match="cannot be read"):
        await ask(SourceCalls(RagSettings(), policies=rules), broken, "thirty days of holiday")


def test_a_secret_of_an_entry_is_known_as_one() -> None:
    remote = HttpSource.model_validate({"url": "http://x", "bearer_token": "plain-words"})
    local = LocalSource.model_validate(
        {"path": "x", "embedder": {"url": "http://x", "model": "m", "api_key": "other-words"}}
    )
    bare = LocalSource(path=["x"])
    assert [*remote.secrets(), *local.secrets(), *bare.secrets()] == ["plain-words", "other-words"]
    assert Source(remote, FakeRetriever("a", {})).version != Source(local, FakeRetriever("a", {})).version


async def test_the_errors_of_a_source_are_ours(server: RagServer, http: httpx.AsyncClient) -> None:
    server.behave(fault="text")
    with pytest.raises(WaystationError, match="not JSON"):
        await source_calls().collections("wiki", wiki(server, http), principal=ADA)
