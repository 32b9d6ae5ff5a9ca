"""The tool `search`: passages of the caller's sources, word for word, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from core.access import usable
from nodes.rag import RAGClient, serving
from nodes.rag.errors import QueryNotAccepted, SourceUnavailable
from nodes.rag.models import RAGResponse
from server.protocols.mcp import results, rpc
from server.protocols.mcp.exchange import Exchange
from server.requests import validated

NAME = "search"
_QUERY_LETTERS = 65_536


class _Arguments(BaseModel, extra="forbid", strict=True):
    query: Annotated[str, Field(max_length=_QUERY_LETTERS, description="Words or a question.")]
    sources: Annotated[
        list[str] | None,
        Field(max_length=200, description="Names of sources; left out: all that you may use."),
    ] = None
    limit: Annotated[int | None, Field(ge=1, le=100, description="Passages at most.")] = None


_PASSAGE = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("source", "document", "title", "text", "uri")},
        "n": {"type": "integer"},
        "score": {"type": "number", "description": "0 to 1; comparable only roughly between sources."},
    },
    "required": ["n", "source", "document", "text"],
}

TOOL: dict[str, Any] = {
    "name": NAME,
    "title": "Search the sources",
    "description": "Passages from the sources of this service, word for word, best first. Cite them by n.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "Words or a question."},
            "sources": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Names of sources; left out: all that you may use.",
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": 100, "description": "Passages at most."},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {
            "passages": {"type": "array", "items": _PASSAGE},
            "failed": {
                "type": "array",
                "items": {"type": "object"},
                "description": "Sources that could not be searched, and why.",
            },
            "nothing": {
                "type": "array",
                "items": {"type": "object"},
                "description": "Sources that show nothing, why, and what to try.",
            },
        },
        "required": ["passages", "failed"],
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


async def search(x: Exchange, arguments: Mapping[str, Any]) -> rpc.Result:
    """Passages for a query.

    Raises:
        WaystationError: A source is not there for this user, or none can be searched.
    """
    given: _Arguments = validated(_Arguments, dict(arguments))
    if not given.query.strip():
        raise QueryNotAccepted("the query is empty; send some text")
    if not x.agent.has("rag"):
        raise SourceUnavailable("the module 'rag' does not run here; see `waystation modules`")
    rag = await x.agent.container.get(RAGClient)
    names = list(usable(x.who, rag.entries())) if given.sources is None else given.sources
    found = await rag.query(given.query, sources=names, principal=x.who, limit=given.limit)
    return _shown(serving.answered(found))


def _shown(found: RAGResponse) -> rpc.Result:
    passages = [
        {
            "n": n,
            "source": each.source,
            "document": each.document,
            "title": each.title,
            "text": each.text,
            "score": each.score,
            "uri": each.uri,
        }
        for n, each in enumerate(found.passages, start=1)
    ]
    failed, nothing = serving.named(found.failed), serving.named(found.nothing)
    lines = [f"[{p['n']}] {p['title'] or p['document']} ({p['source']})\n{p['text']}" for p in passages]
    lines += [f"{each['source']} could not be searched: {each['reason']}" for each in failed]
    if not passages:
        said = [f"{each['source']} shows nothing: {each['reason']}." for each in nothing]
        lines = ["Nothing was found.", *said, *lines]
    return {
        "content": [results.text("\n\n".join(lines))],
        "structuredContent": {"passages": passages, "failed": failed, "nothing": nothing},
        "isError": False,
    }
