"""The step of the graph that finds passages for the person's last message."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext, context_of
from nodes.rag.client import RAGClient
from nodes.rag.models import RAGResponse


class Reads(TypedDict):
    messages: Sequence[AnyMessage]
    config: dict[str, Any]


class Writes(TypedDict):
    documents: list[dict[str, Any]]


class Retrieve:
    """Searches the sources of this turn and numbers what it finds from 1."""

    only_looks = True

    def __init__(self, rag: RAGClient) -> None:
        self._rag = rag

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Writes:
        sources = state["config"].get("sources") or []
        query = question(state["messages"]) if sources else ""
        if not query:
            return {"documents": []}
        principal = context_of(runtime).principal
        found = await self._rag.query(query, sources=sources, principal=principal)
        for code, text in found.notices:
            runtime.stream_writer({"type": "notice", "code": code, "text": text})
        documents = [passage.as_state(n) for n, passage in enumerate(found.passages, start=1)]
        if documents or found.failed:
            runtime.stream_writer(event(documents, found))
        return {"documents": documents}


def question(messages: Sequence[AnyMessage]) -> str:
    """The text of the last human message."""
    last = next((m for m in reversed(messages) if isinstance(m, HumanMessage)), None)
    return str(last.text).strip() if last else ""


def event(documents: Sequence[dict[str, Any]], found: RAGResponse) -> dict[str, Any]:
    """The `documents` event of the stream: what was found, without the texts."""
    shown = ("n", "source", "document", "title", "score")
    return {
        "type": "documents",
        "items": [{key: document[key] for key in shown} for document in documents],
        "failed": [{"source": source, "reason": reason} for source, reason in found.failed],
    }
