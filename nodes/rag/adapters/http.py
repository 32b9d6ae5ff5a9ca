"""Retrieval over HTTP, as other backends of this family offer it: v1, v2, and both shapes of discovery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from core.errors import WaystationError
from core.health import Health, degraded, healthy
from nodes.rag.adapters.web import call_json
from nodes.rag.errors import SourceRefused, SourceUnavailable
from nodes.rag.models import Collection, Passage
from nodes.rag.settings import HttpSource

MAX_QUERY_CHARS = 8000
_HEALTH_USER = "health"
_HEALTH_SECONDS = 3.0
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value))]
Score = Annotated[float, BeforeValidator(lambda value: 0.0 if value is None else value)]


class HttpRetriever:
    """Asks the service of `entry` in the name of each user.

    Args:
        http: A kept client, shared by all sources.
        timeout_s: Longest silence of the service; None: what the entry says.
    """

    def __init__(
        self, source: str, entry: HttpSource, *, http: httpx.AsyncClient, timeout_s: float | None = None
    ) -> None:
        self._source = source
        self._entry = entry
        self._http = http
        self._timeout_s = timeout_s or entry.timeout

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """What the service finds in these collections, or in all that it shows to the user."""
        if not query.strip():
            return []
        found = await self.collections(as_user=as_user) if within is None else within
        if not found:
            return []
        corpora = [collection.id for collection in found]
        top_k = min(limit, self._entry.top_k)
        body = self._query(query[:MAX_QUERY_CHARS], corpora, top_k)
        answer = await self._call("POST", self._query_path, as_user, body=body)
        try:
            parse = passages_v2 if self._entry.api_version == "v2" else passages_v1
            return parse(answer, source=self._source)[:top_k]
        except ValidationError as error:
            raise SourceUnavailable("the answer has a shape that is not known here") from error

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        """What discovery shows to the user now."""
        return await self._discover(as_user)

    async def check(self) -> Health:
        """Healthy when discovery answers, be it with a refusal."""
        try:
            await self._discover(_HEALTH_USER, timeout=_HEALTH_SECONDS)
        except SourceRefused:
            return healthy()
        except WaystationError as error:
            return degraded(error.detail)
        return healthy()

    async def _discover(self, as_user: str, *, timeout: float | None = None) -> list[Collection]:
        path = self._entry.discovery_endpoint or f"/api/{self._entry.api_version}/discover/datasources"
        answer = await self._call("GET", path, as_user, params={"role": "read"}, timeout=timeout)
        try:
            return read_collections(answer)
        except ValidationError as error:
            raise SourceUnavailable("the discovery has a shape that is not known here") from error

    @property
    def _query_path(self) -> str:
        usual = "/api/v2/rag/query" if self._entry.api_version == "v2" else "/api/v1/rag/completions"
        return self._entry.query_endpoint or usual

    def _query(self, query: str, corpora: list[str], top_k: int) -> dict[str, Any]:
        if self._entry.api_version == "v2":
            return {"query": query, "corpora": corpora, "mode": self._entry.default_mode, "top_k": top_k}
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": query}],
            "stream": False,
            "corpora": corpora[0] if len(corpora) == 1 else corpora,
        }
        return body | ({"model": self._entry.default_model} if self._entry.default_model else {})

    async def _call(
        self,
        method: str,
        path: str,
        as_user: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        user = as_user.split("@", maxsplit=1)[0] if self._entry.strip_domain else as_user
        token = self._entry.bearer_token
        return await call_json(
            self._http,
            method,
            path if path.startswith(("http://", "https://")) else f"{self._entry.url}/{path.lstrip('/')}",
            token=token.get_secret_value() if token else "",
            timeout=timeout or self._timeout_s,
            params={**(params or {}), "as_user": user},
            body=body,
        )


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
        return public_name(self.filename or self.document_ref or "document")


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
        return public_name(self.id or self.corpus_id or "document")


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


def read_collections(answer: Any) -> list[Collection]:
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


def public_name(name: str) -> str:
    """A service may name a file by its place on its own machine; that is nobody's business."""
    return _last_part(name) if name.startswith(("/", "\\")) or name[1:3] == ":\\" else name


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
