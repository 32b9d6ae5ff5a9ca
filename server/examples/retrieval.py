"""Examples of retrieval for other services."""

from __future__ import annotations

from typing import Any

from server.examples.form import Example

QUESTION = "How long may a berth be reserved?"
PASSAGE = "## Berths\n\nA berth is reserved for fourteen days at most. The harbour master may extend it once."
_HIT: dict[str, Any] = {
    "citation": "Harbour handbook › Berths (handbook.md)",
    "document_ref": "harbour/handbook.md",
    "filename": "handbook.md",
    "title": "Harbour handbook › Berths",
    "sections": [{"section_ref": "berths", "text": PASSAGE, "relevance": 0.71}],
}


def _discovery(version: str) -> Example:
    source = {
        "id": "harbour",
        "label": "harbour",
        "compliance_level": "",
        "description": "How the harbour works.",
        "api_version": version,
    }
    return Example(query={"role": "read"}, answer={"data_sources": [source]})


_SAID = {"role": "assistant", "content": f"[1] {_HIT['citation']}\n{PASSAGE}"}

RETRIEVAL = {
    ("GET", "/api/v1/discover/datasources"): _discovery("v1"),
    ("GET", "/api/v2/discover/datasources"): _discovery("v2"),
    ("POST", "/api/v1/rag/completions"): Example(
        body={
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": False,
            "corpora": ["harbour"],
            "top_k": 1,
        },
        answer={
            "message": {**_SAID, "annotations": None},
            "metadata": {"response_time": 7, "references": [_HIT]},
            "choices": [{"index": 0, "message": _SAID, "finish_reason": "stop"}],
            "rag_metadata": {
                "query_processing_time_ms": 7,
                "documents_found": [
                    {
                        "id": "handbook.md#1",
                        "corpus_id": "harbour",
                        "text": PASSAGE,
                        "confidence_score": 0.71,
                        "content_type": "text",
                    }
                ],
                "data_sources": ["harbour"],
                "retrieval_method": "waystation",
            },
        },
    ),
    ("POST", "/api/v2/rag/query"): Example(
        body={"query": QUESTION, "corpora": ["harbour"], "mode": "raw", "top_k": 1},
        answer={
            "query": QUESTION,
            "mode": "raw",
            "results": {"hits": [_HIT], "stats": {"total_found": 1, "top_k": 1}},
            "metadata": {"response_time_ms": 7, "corpora_searched": ["harbour"]},
        },
    ),
}
