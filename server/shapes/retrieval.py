"""Retrieval for other services, as `nodes.rag.serving` answers."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from server.shapes.events import FailedSource


class Remark(TypedDict):
    """What whoever asked should know about the search."""

    code: str
    detail: str


class DataSource(TypedDict):
    """A source that the user may search."""

    id: str
    label: str
    compliance_level: str
    description: str
    api_version: str


class DataSources(TypedDict):
    """The sources that the user may search."""

    data_sources: list[DataSource]


class Section(TypedDict):
    """A passage within a document."""

    section_ref: str
    text: str
    relevance: float


class Reference(TypedDict):
    """Passages that stand together in a document, the best first."""

    citation: str
    document_ref: str
    filename: str
    title: str
    sections: list[Section]


class AssistantMessage(TypedDict):
    """The answer."""

    role: Literal["assistant"]
    content: str


class AnnotatedMessage(AssistantMessage):
    """The answer, as other clients read it."""

    annotations: None


class CompletionMetadata(TypedDict):
    """What the answer leans on; `response_time` in milliseconds."""

    response_time: int
    references: list[Reference]
    failed: NotRequired[list[FailedSource]]
    notices: NotRequired[list[Remark]]


class CompletionChoice(TypedDict):
    """The one answer."""

    index: int
    message: AssistantMessage
    finish_reason: Literal["stop"]


class FoundDocument(TypedDict):
    """A passage."""

    id: str
    corpus_id: str
    text: str
    confidence_score: float
    content_type: Literal["text"]


class RagMetadata(TypedDict):
    """The same in the words of other clients."""

    query_processing_time_ms: int
    documents_found: list[FoundDocument]
    data_sources: list[str]
    retrieval_method: str


class CompletionAnswer(TypedDict):
    """Passages, or an answer that a model wrote from them (`object` and `created` say so)."""

    object: NotRequired[Literal["chat.completion"]]
    created: NotRequired[int]
    message: AnnotatedMessage
    metadata: CompletionMetadata
    choices: list[CompletionChoice]
    rag_metadata: RagMetadata


class HitStats(TypedDict):
    """How many there are, and how many were asked for."""

    total_found: int
    top_k: int


class NumberedReference(TypedDict):
    """A passage behind an [n] of the answer."""

    n: int
    document_ref: str
    filename: str
    citation: str


class RagResults(TypedDict):
    """In mode `raw` hits, in mode `synthesized` an answer with its citations."""

    hits: NotRequired[list[Reference]]
    stats: NotRequired[HitStats]
    answer: NotRequired[str]
    citations: NotRequired[list[NumberedReference]]


class QueryMetadata(TypedDict):
    """How the search went; what failed is there where something did."""

    response_time_ms: int
    corpora_searched: list[str]
    failed: NotRequired[list[FailedSource]]
    notices: NotRequired[list[Remark]]


class RagAnswer(TypedDict):
    """The answer to a question."""

    query: str
    mode: Literal["raw", "synthesized"]
    results: RagResults
    metadata: QueryMetadata
