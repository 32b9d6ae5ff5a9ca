from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.runtime import Runtime

from core.access import RunContext
from nodes.rag import RAGClient, RagSettings, Source
from nodes.rag.errors import SourceUnavailable
from nodes.rag.fake import FakeRetriever
from nodes.rag.followups import FollowUps, NobodyRewrites
from nodes.rag.node import Reads, Retrieve
from nodes.rag.settings import LocalSource

ALONE = FollowUps(RagSettings(), NobodyRewrites())
KITES = FakeRetriever("kites", {"kites.txt": "Kites fly on Mondays.", "more.txt": "Kites are light."})
DOWN = FakeRetriever("down", {}, problem=SourceUnavailable("HTTP 500"))


def source(retriever: FakeRetriever, *groups: str) -> Source:
    return Source(LocalSource(path=["x"], groups=list(groups)), retriever)


async def run(sources: list[str], *messages: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    events: list[Any] = []
    rag = RAGClient({"kites": source(KITES, "staff"), "down": source(DOWN)}, RagSettings())
    runtime = Runtime(context=RunContext(user="ada", groups=["staff"]), stream_writer=events.append)
    state: Reads = {"messages": messages, "config": {"sources": sources}}
    return (await Retrieve(rag, ALONE)(state, runtime))["documents"], events


async def test_passages_are_numbered_and_told_without_their_text() -> None:
    documents, [event] = await run(["kites", "down"], HumanMessage("kites"), AIMessage("Hm"))
    assert [d["n"] for d in documents] == [1, 2]
    assert set(documents[0]) == {
        "n",
        "source",
        "document",
        "title",
        "text",
        "score",
        "uri",
        "start",
        "end",
    }
    assert event["type"] == "documents"
    assert event["items"][0] == {k: documents[0][k] for k in ("n", "source", "document", "title", "score")}
    assert event["failed"] == [{"source": "down", "reason": "HTTP 500"}]


async def test_the_last_human_message_is_what_is_asked() -> None:
    KITES.asked.clear()
    content: list[Any] = [
        {"type": "text", "text": "kites?"},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    await run(["kites"], HumanMessage("boats"), AIMessage("no"), HumanMessage(content=content))
    assert KITES.asked == [("kites?", "ada")]


async def test_without_sources_or_question_nothing_is_asked_or_told() -> None:
    KITES.asked.clear()
    assert await run([], HumanMessage("kites")) == ([], [])
    assert await run(["kites"], AIMessage("kites")) == ([], [])
    assert await run(["kites"], HumanMessage("  ")) == ([], [])
    assert KITES.asked == []


async def test_nothing_found_is_no_event() -> None:
    assert await run(["kites"], HumanMessage("zebra")) == ([], [])
