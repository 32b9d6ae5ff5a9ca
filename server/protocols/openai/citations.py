"""Citations of an answer as OpenAI's annotations: of a page by its address, else by its document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Annotations = list[dict[str, Any]]


def annotated(answer: str, citations: Sequence[Mapping[str, Any]]) -> Annotations:
    """Annotations as /v1/responses has them, each at its mark `[n]` in the answer."""
    return [_annotation(citation, *place) for citation in citations for place in _places(answer, citation)]


def nested(found: Annotations) -> Annotations:
    """The same as /v1/chat/completions has them: the fields below the name of their type."""
    return [
        {"type": one["type"], one["type"]: {key: value for key, value in one.items() if key != "type"}}
        for one in found
    ]


def _places(answer: str, citation: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Where its mark stands for the first time; the end of the answer where it has none."""
    mark = f"[{citation.get('n')}]"
    start = answer.find(mark)
    yield (start, start + len(mark)) if start >= 0 else (len(answer), len(answer))


def _annotation(citation: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    uri = str(citation.get("uri") or "")
    title = str(citation.get("title") or citation.get("document") or "")
    if uri.startswith(("http://", "https://")):
        place = {"start_index": start, "end_index": end}
        return {"type": "url_citation", **place, "title": title, "url": uri}
    document = str(citation.get("document") or uri)
    file_id = f"{citation.get('source', '')}/{document}"
    return {"type": "file_citation", "file_id": file_id, "filename": document, "index": start}
