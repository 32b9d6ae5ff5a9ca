"""What an answer cites, and the files that its turn made, as OpenAI's annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Annotations = list[dict[str, Any]]


def annotated(answer: str, citations: Sequence[Mapping[str, Any]]) -> Annotations:
    """Citations as /v1/responses has them, each at its mark `[n]`: a page, else its document."""
    return [_annotation(citation, *place) for citation in citations for place in _places(answer, citation)]


def with_files(answer: str, reply: Mapping[str, Any]) -> Annotations:
    """The same, and the files that tools made in the turn: `/v1/files/{file_id}/content` has them.

    Chat completions have no word for those: their clients may hold annotations to `url_citation`.
    """
    paths = [
        {"type": "file_path", "file_id": file["key"], "filename": file["name"], "index": place}
        for place, file in enumerate(reply["files"])
    ]
    return [*annotated(answer, reply["citations"]), *paths]


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
