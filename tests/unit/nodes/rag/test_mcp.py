"""Sources behind a real MCP server: what it is asked, what comes back, and what goes wrong, told apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.errors import ConfigInvalid, Unavailable
from core.health import HealthState
from core.tool_bench import LentAnswer, LentServer, lend_server
from nodes.rag import RAGClient, RagSettings
from nodes.rag.adapters.mcp import McpRetriever
from nodes.rag.errors import SourceRefused, SourceRejected, SourceTimedOut, SourceUnavailable
from nodes.rag.models import Collection
from nodes.rag.settings import McpSource
from nodes.rag.source import Source
from waystation.testing.mcp_servers import rag_mcp_over_http, rag_mcp_source

# Each test starts a server of its own.
pytestmark = pytest.mark.slow

ADA = Principal("ada")
ONE = [Collection("a")]
QUESTION = "How many days of annual leave does an employee have?"


@asynccontextmanager
async def opened(folder: Path, mode: str = "normal", **fields: Any) -> AsyncIterator[McpRetriever]:
    entry = rag_mcp_source(mode, folder / "calls", **fields)
    retriever = McpRetriever("far", entry, partial(lend_server, "far", entry.server, home=folder))
    try:
        yield retriever
    finally:
        await retriever.aclose()


def calls(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


async def test_the_user_is_filled_in_under_either_name_and_no_more_is_sent_than_is_asked_for(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, top_k=2) as retriever:
        await retriever.search(QUESTION, limit=4, as_user="ada@example.com")
    discovered, asked = calls(tmp_path)
    assert discovered == {"tool": "discover", "user": "ada@example.com"}
    assert asked == {
        "tool": "raw",
        "user": "ada@example.com",
        "query": QUESTION,
        "sources": ["handbook", "board"],
        "top_k": 2,
    }


async def test_what_the_server_writes_itself_is_one_passage_that_names_its_documents(tmp_path: Path) -> None:
    async with opened(tmp_path, default_mode="synthesized") as retriever:
        (found,) = await retriever.search(QUESTION, limit=4, as_user="ada")
        assert list(await retriever.search("zebra quantum", limit=4, as_user="ada")) == []
    assert (found.document, found.title) == ("leave.md, security.md", "Answer of far")
    assert "thirty days" in found.text


async def test_resources_are_for_those_whom_they_name(tmp_path: Path) -> None:
    async with opened(tmp_path) as retriever:
        entry = rag_mcp_source("normal", tmp_path / "calls")
        rag = RAGClient({"far": Source(entry, retriever)}, RagSettings())

        async def seen(who: Principal) -> list[str]:
            (info,) = await rag.discover(who)
            return [collection.id for collection in info.collections]

        assert await seen(ADA) == ["handbook"]
        assert await seen(Principal("boss")) == ["handbook"]
        assert await seen(Principal("boss", frozenset({"staff"}))) == ["handbook", "payroll"]
        board = Principal("ada", frozenset({"board"}))
        assert await seen(board) == ["handbook"]
        assert await seen(Principal("ada", board.groups, frozenset({"secret"}))) == ["handbook", "board"]
        found = await rag.query("When does the board meet?", sources=["far"], principal=board)
        assert found.passages == ()
        assert calls(tmp_path)[-1]["sources"] == ["handbook"]
        (info,) = await rag.discover(Principal("boss", frozenset({"staff"})))
        payroll = info.as_json()["collections"][1]
        assert (payroll["label"], payroll["groups"], payroll["auth_required"]) == ("Payroll", ["staff"], True)


@pytest.mark.parametrize(
    ("mode", "fields", "kind", "said"),
    [
        ("refuse", {}, SourceRefused, "access denied for this user"),
        ("fail", {}, SourceRejected, "the index is being moved"),
        ("hang", {"timeout_s": 0.5}, SourceTimedOut, "did not answer within 0.5 s"),
        (
            "bare",
            {},
            SourceRejected,
            "the server has no tool 'rag_discover_resources', which a source needs; it has ",
        ),
    ],
)
async def test_each_failure_is_told_apart(
    tmp_path: Path, mode: str, fields: dict[str, Any], kind: type[Exception], said: str
) -> None:
    async with opened(tmp_path, mode, **fields) as retriever:
        with pytest.raises(kind, match=said):
            await retriever.search(QUESTION, limit=4, as_user="ada")
        health = await retriever.check()
    assert health.state is (HealthState.HEALTHY if mode == "refuse" else HealthState.DEGRADED)
    assert mode == "refuse" or said in health.reason


async def test_odd_parts_cost_themselves_alone(tmp_path: Path) -> None:
    async with opened(tmp_path, "odd") as retriever:
        assert [c.id for c in await retriever.collections(as_user="ada")] == ["handbook", "board"]
        with pytest.raises(SourceUnavailable, match="shape that is not known"):
            await retriever.search(QUESTION, limit=4, as_user="ada")


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    entry = McpSource(command="/nowhere/at/all", timeout_s=5)
    retriever = McpRetriever("far", entry, partial(lend_server, "far", entry.server, home=tmp_path))
    with pytest.raises(SourceUnavailable, match="command 'all' or its folder was not found"):
        await retriever.search(QUESTION, limit=4, as_user="ada")
    await retriever.aclose()


async def test_over_http_too(tmp_path: Path) -> None:
    with rag_mcp_over_http("normal", tmp_path / "calls") as url:
        entry = McpSource(url=url)
        retriever = McpRetriever("far", entry, partial(lend_server, "far", entry.server, home=tmp_path))
        found = await retriever.search(QUESTION, limit=4, as_user="ada")
        await retriever.aclose()
    assert found[0].document == "leave.md"


def test_an_entry_that_fits_no_transport_is_refused(tmp_path: Path) -> None:
    entry = McpSource(command="x", url="http://127.0.0.1:9", transport="stdio")
    with pytest.raises(ConfigInvalid, match=r"the source 'far' is no MCP server: .*not a url"):
        lend_server("far", entry.server, home=tmp_path)
    with pytest.raises(Unavailable, match="no module here speaks MCP"):
        lend_server("far", {}, home=tmp_path, modules=[])


class Answering(LentServer):
    """A server that answers one thing, for answers that the real one does not give."""

    def __init__(self, answer: LentAnswer, schema: Mapping[str, Any]) -> None:
        self._answer, self._schema = answer, schema
        self.sent: list[Mapping[str, Any]] = []

    async def tools(self) -> Mapping[str, Mapping[str, Any]]:
        return {"rag_discover_resources": self._schema, "rag_get_raw_results": self._schema}

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> LentAnswer:
        self.sent.append(arguments)
        return self._answer

    async def aclose(self) -> None:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"error": "not authorized"}, SourceRefused),
        ({"results": {"error": {"message": "no index"}}}, SourceRejected),
        ({"results": {"hits": "none"}}, SourceUnavailable),
        ({"results": {"hits": [7]}}, SourceUnavailable),
        ([], SourceUnavailable),
    ],
)
async def test_an_answer_without_results_is_an_error(value: Any, kind: type[Exception]) -> None:
    server = Answering(LentAnswer("x", value), {})
    retriever = McpRetriever("far", McpSource(command="x"), lambda: server)
    with pytest.raises(kind):
        await retriever.search("kites", limit=4, as_user="ada", within=ONE)
    assert server.sent == [{"username": "ada", "query": "kites", "sources": ["a"], "top_k": 4}]


async def test_a_hit_may_be_a_web_page() -> None:
    hit = {"resourceId": "kb", "title": "Leave", "snippet": "Thirty\ud800 days.", "score": None}
    hit["uri"] = "https://kb/leave"
    server = Answering(LentAnswer("", {"results": {"hits": [hit, "odd"]}}), {})
    retriever = McpRetriever("far", McpSource(command="x"), lambda: server)
    (found,) = await retriever.search("leave", limit=4, as_user="ada", within=ONE)
    assert (found.document, found.title, found.uri) == ("Leave", "Leave", "https://kb/leave")
    assert (found.text, found.score) == ("Thirty? days.", 0.0)
