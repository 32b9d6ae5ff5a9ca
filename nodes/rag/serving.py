"""What this service answers when another one has it as a source: the shapes that `adapters.http` reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nodes.rag.errors import SourceUnavailable
from nodes.rag.models import Passage, RAGResponse
from nodes.rag.settings import SourceEntry

Json = dict[str, Any]
METHOD = "waystation"


def discovery(entries: Mapping[str, SourceEntry], *, version: str) -> Json:
    """The sources that a user may search. An object, never the bare list: older clients read no other."""
    return {
        "data_sources": [
            {
                "id": name,
                "label": entry.display_name or name,
                "compliance_level": entry.compliance_level,
                "description": entry.description,
                "api_version": version,
            }
            for name, entry in entries.items()
        ]
    }


def answered(found: RAGResponse) -> RAGResponse:
    """What was found, unless nothing was because no source could be searched.

    Raises:
        SourceUnavailable: Every source failed; names each, and why.
    """
    if found.failed and not found.passages:
        raise SourceUnavailable("; ".join(f"source '{name}': {reason}" for name, reason in found.failed))
    return found


def raw(query: str, found: RAGResponse, *, top_k: int, corpora: Sequence[str], ms: int) -> Json:
    """The answer of v2 in mode `raw`."""
    hits = [_reference(group) for group in _by_title(found.passages)]
    stats = {"total_found": len(found.passages), "top_k": top_k}
    return {
        "query": query,
        "mode": "raw",
        "results": {"hits": hits, "stats": stats},
        "metadata": _metadata(found, corpora=corpora, ms=ms),
    }


def synthesized(
    query: str, answer: str, cited: Iterable[int], found: RAGResponse, *, corpora: Sequence[str], ms: int
) -> Json:
    """The answer of v2 in mode `synthesized`; `n` of a citation is the number in the answer."""
    wanted = dict.fromkeys(cited)
    citations = [
        {"n": n, "document_ref": _ref(p), "filename": p.document, "citation": _citation(p)}
        for n in wanted
        for p in found.passages[n - 1 : n]
    ]
    return {
        "query": query,
        "mode": "synthesized",
        "results": {"answer": answer, "citations": citations},
        "metadata": _metadata(found, corpora=corpora, ms=ms),
    }


def completion(
    found: RAGResponse, *, corpora: Sequence[str], ms: int, answer: str | None = None, created: int = 0
) -> Json:
    """The answer of v1, in both of its forms at once: `message` and `metadata`, `choices` and `rag_metadata`.

    Args:
        answer: What a model wrote; None where the passages speak for themselves. Only
            the first is called a chat completion: clients show such a one as it is.
        created: Seconds since 1970.
    """
    message = {"role": "assistant", "content": _told(found.passages) if answer is None else answer}
    references = [_reference(group) for group in _by_title(found.passages)]
    shown: Json = {} if answer is None else {"object": "chat.completion", "created": created}
    return {
        **shown,
        "message": {**message, "annotations": None},
        "metadata": {"response_time": ms, "references": references, **_failed(found)},
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "rag_metadata": {
            "query_processing_time_ms": ms,
            "documents_found": [_document(n, p) for n, p in enumerate(found.passages, start=1)],
            "data_sources": list(corpora),
            "retrieval_method": METHOD,
        },
    }


def _metadata(found: RAGResponse, *, corpora: Sequence[str], ms: int) -> Json:
    return {"response_time_ms": ms, "corpora_searched": list(corpora), **_failed(found)}


def _failed(found: RAGResponse) -> Json:
    """Sources that could not be searched or show nothing, and remarks on how others were, where any are."""
    told = {
        "failed": named(found.failed),
        "nothing": named(found.nothing),
        "notices": [{"code": code, "detail": text} for code, text in found.notices],
    }
    return {key: value for key, value in told.items() if value}


def named(reasons: Iterable[tuple[str, str]]) -> list[Json]:
    """Sources, and what is to be said of each."""
    return [{"source": source, "reason": reason} for source, reason in reasons]


def _by_title(passages: Sequence[Passage]) -> list[list[Passage]]:
    """Passages that stand together in a document, the best first."""
    groups: dict[tuple[str, str, str], list[Passage]] = {}
    for passage in passages:
        groups.setdefault((passage.source, passage.document, passage.title), []).append(passage)
    return list(groups.values())


def _reference(passages: Sequence[Passage]) -> Json:
    """A hit of v2 and a reference of v1, which has no title elsewhere."""
    first = passages[0]
    return {
        "citation": _citation(first),
        "document_ref": _ref(first),
        "filename": first.document,
        "title": first.title,
        "sections": [_section(p) for p in passages],
    }


def _section(passage: Passage) -> Json:
    _, _, fragment = passage.uri.partition("#")
    return {"section_ref": fragment, "text": passage.text, "relevance": passage.score}


def _document(n: int, passage: Passage) -> Json:
    return {
        "id": f"{passage.document}#{n}",
        "corpus_id": passage.source,
        "text": passage.text,
        "confidence_score": passage.score,
        "content_type": "text",
    }


def _ref(passage: Passage) -> str:
    """A web address where the document has one, else its name below that of its source."""
    web = passage.uri.startswith(("http://", "https://"))
    return passage.uri if web else f"{passage.source}/{passage.document}"


def _citation(passage: Passage) -> str:
    same = passage.title in ("", passage.document)
    return passage.document if same else f"{passage.title} ({passage.document})"


def _told(passages: Sequence[Passage]) -> str:
    return "\n\n".join(f"[{n}] {_citation(p)}\n{p.text}" for n, p in enumerate(passages, start=1))
