"""The step of the graph that finds passages for the person's last message."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext, context_of
from nodes.rag.client import RAGClient
from nodes.rag.followups import FollowUps, Searched
from nodes.rag.models import RAGResponse


class Reads(TypedDict):
    messages: Sequence[AnyMessage]
    config: dict[str, Any]


class Writes(TypedDict):
    documents: list[dict[str, Any]]


class Retrieve:
    """Searches the sources of this turn and numbers what it finds from 1."""

    only_looks = True

    def __init__(self, rag: RAGClient, follow_ups: FollowUps) -> None:
        self._rag, self._follow_ups = rag, follow_ups

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Writes:
        config, who = state["config"], context_of(runtime).principal
        sources = config.get("sources") or []
        if not sources:
            return {"documents": []}
        model = str(config.get("model") or "")
        wanted = alone(state["messages"]) or await self._follow_ups.searched(
            state["messages"], model=model, principal=who
        )
        if not wanted.text:
            return {"documents": []}
        found = await self._rag.query(wanted.text, sources=sources, principal=who)
        for code, text in found.notices:
            runtime.stream_writer({"type": "notice", "code": code, "detail": text})
        documents = [passage.as_state(n) for n, passage in enumerate(found.passages, start=1)]
        if documents or found.failed or wanted.rewritten:
            runtime.stream_writer(event(documents, found, wanted.text if wanted.rewritten else ""))
        return {"documents": documents}


def alone(messages: Sequence[AnyMessage]) -> Searched | None:
    """What the first message of a thread asks: there is nothing before it that it could need."""
    if len(messages) == 1 and isinstance(messages[0], HumanMessage):
        return Searched(str(messages[0].text).strip())
    return None


def event(documents: Sequence[dict[str, Any]], found: RAGResponse, searched: str = "") -> dict[str, Any]:
    """The `documents` event: what was found, without the texts, and for what where that was another text."""
    shown = ("n", "source", "document", "title", "score")
    return {
        "type": "documents",
        "items": [{key: document[key] for key in shown} for document in documents],
        "failed": [{"source": source, "reason": reason} for source, reason in found.failed],
        **({"searched": searched} if searched else {}),
    }
