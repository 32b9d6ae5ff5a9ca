"""The answers of retrieval over HTTP, and the passages they hold.

Services differ in what they leave out, so nearly every field has a default and
unknown ones are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from nodes.rag.models import Collection, Passage

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value))]
Score = Annotated[float, BeforeValidator(lambda value: 0.0 if value is None else value)]
SomeDict = Annotated[dict[str, Any], BeforeValidator(lambda value: value or {})]


class _Source(BaseModel):
    id: Text
    label: Text = ""
    description: Text = ""
    compliance_level: Text = ""


class _Sources(BaseModel):
    data_sources: list[_Source]


class _Section(BaseModel):
    section_ref: Text = ""
    text: Text = ""
    relevance: Score = 0.0


class _Reference(BaseModel):
    """A reference of v1 and a hit of v2 are the same but for the title."""

    document_ref: Text = ""
    filename: Text = ""
    title: Text = ""
    citation: Text = ""
    sections: list[_Section] = Field(default_factory=list)

    @property
    def document(self) -> str:
        return _public(self.filename or self.document_ref or "document")


class _Message(BaseModel):
    content: Text = ""


class _Metadata(BaseModel):
    references: list[_Reference] | None = None


class _Newer(BaseModel):
    message: _Message
    metadata: _Metadata = _Metadata()


class _Document(BaseModel):
    id: Text = ""
    corpus_id: Text = ""
    text: Text = ""
    confidence_score: Score = 0.0

    @property
    def name(self) -> str:
        return _public(self.id or self.corpus_id or "document")


class _RagMetadata(BaseModel):
    documents_found: list[_Document] = Field(default_factory=list)


class _Choice(BaseModel):
    message: _Message


class _Older(BaseModel):
    choices: list[_Choice]
    rag_metadata: _RagMetadata | None = None


class _Results(BaseModel):
    hits: list[_Reference] = Field(default_factory=list)
    answer: Text = ""
    citations: list[_Reference] = Field(default_factory=list)


class _Second(BaseModel):
    results: _Results


_DISCOVERY: TypeAdapter[list[_Source] | _Sources] = TypeAdapter(list[_Source] | _Sources)
_V1: TypeAdapter[_Newer | _Older] = TypeAdapter(_Newer | _Older)


def collections(answer: Any) -> list[Collection]:
    """The collections of a discovery, in either shape."""
    found = _DISCOVERY.validate_python(answer)
    sources = found.data_sources if isinstance(found, _Sources) else found
    return [Collection(s.id, s.label or s.id, s.description, s.compliance_level) for s in sources if s.id]


def passages_v1(answer: Any, *, source: str) -> list[Passage]:
    """Passages of a v1 completion, newer or older.

    An answer that lists documents and has none found nothing; one that does
    not list any is itself the passage.
    """
    found = _V1.validate_python(answer)
    if isinstance(found, _Newer):
        references = found.metadata.references
        if references is not None and not references:
            return []
        content = found.message.content
        return _ranked(_of_references(references or [], source)) or _answered(
            content, references or [], source
        )
    if found.rag_metadata is None:
        return _answered(found.choices[0].message.content if found.choices else "", [], source)
    documents = [d for d in found.rag_metadata.documents_found if d.text.strip()]
    return _ranked([Passage(source, d.name, d.name, d.text, d.confidence_score, d.name) for d in documents])


def passages_v2(answer: Any, *, source: str) -> list[Passage]:
    """Passages of a v2 query: each section of each hit, or the one synthesized answer."""
    results = _Second.model_validate(answer).results
    return _ranked(_of_references(results.hits, source)) or _answered(
        results.answer, results.citations, source
    )


def _of_references(references: Sequence[_Reference], source: str) -> list[Passage]:
    return [
        Passage(source, r.document, r.title or r.citation or r.document, s.text, s.relevance, _uri(r, s))
        for r in references
        for s in r.sections
        if s.text.strip()
    ]


def _answered(text: str, citations: Sequence[_Reference], source: str) -> list[Passage]:
    """An answer that the service wrote itself, as one passage that names what it rests on."""
    if not text.strip():
        return []
    names = list(dict.fromkeys(citation.document for citation in citations))
    return [Passage(source, ", ".join(names) or source, f"Answer of {source}", text, 1.0, "")]


def _ranked(passages: Sequence[Passage]) -> list[Passage]:
    return sorted(passages, key=lambda passage: -passage.score)


def _uri(reference: _Reference, section: _Section) -> str:
    """A web address as it is; of a path only the file's name, whatever machine it was on."""
    if reference.document_ref.startswith(("http://", "https://")):
        return reference.document_ref
    name = _last_part(reference.document)
    return f"{name}#{section.section_ref}" if section.section_ref else name


def _public(name: str) -> str:
    """A service may name a file by its place on its own machine; that is nobody's business."""
    return _last_part(name) if name.startswith(("/", "\\")) or name[1:3] == ":\\" else name


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
