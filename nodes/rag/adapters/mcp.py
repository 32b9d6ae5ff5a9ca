"""Retrieval over the tools of an MCP server: discovery, passages, and answers that it writes itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import structlog
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from core.errors import TimedOut, Unavailable, WaystationError
from core.foreign import clean_text
from core.health import Health, degraded, healthy
from core.tool_bench import LentAnswer, LentServer
from nodes.rag.adapters.http import MAX_QUERY_CHARS, Score, Text, public_name
from nodes.rag.errors import SourceRefused, SourceRejected, SourceTimedOut, SourceUnavailable
from nodes.rag.models import Collection, Passage
from nodes.rag.settings import McpSource

DISCOVER, RAW, SYNTHESIZED = "rag_discover_resources", "rag_get_raw_results", "rag_get_synthesized_results"
# Both are filled in by us with the authenticated user; servers of different ages ask for either.
USER = ("_atlas_user", "username")
_HEALTH_USER = "health"
_SAID_CHARS = 300
# Tools of a server that a reason names.
_NAMED, _NAME_CHARS = 5, 60
_REFUSED = re.compile(
    r"\b(?:40[13]|access denied|denied|forbidden|not (?:allowed|authorized)|unauthorized|permission)\b", re.I
)
_STATUS_REFUSED = re.compile(r"HTTP status 40[13]\b")
M = TypeVar("M", bound=BaseModel)
log = structlog.get_logger(__name__)


class McpRetriever:
    """Asks the MCP server of `entry` in the name of each user.

    Args:
        opened: Makes the server, when it is first needed.
    """

    def __init__(self, source: str, entry: McpSource, opened: Callable[[], LentServer]) -> None:
        self._source = source
        self._entry = entry
        self._opened = opened
        self._server: LentServer | None = None

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """What the server finds in these resources, or in all that it shows to the user."""
        if not query.strip():
            return []
        found = await self.collections(as_user=as_user) if within is None else within
        if not found:
            return []
        top_k = min(limit, self._entry.top_k)
        given = {
            "query": clean_text(query[:MAX_QUERY_CHARS]),
            "sources": [collection.id for collection in found],
            "top_k": top_k,
        }
        if self._entry.default_mode == "synthesized":
            return self._written(await self._results(SYNTHESIZED, as_user, given))
        results = await self._results(RAW, as_user, given)
        return self._passages(_listed(results, "hits"))[:top_k]

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        """The resources that the server shows to the user now, whoever else may use them."""
        results = await self._results(DISCOVER, as_user, {})
        read = self._each(_Resource, _listed(results, "resources"), "resources")
        return [
            Collection(r.id, r.name or r.id, r.description, r.compliance_level, r.groups, r.auth_required)
            for r in read
            if r.id
        ]

    async def check(self) -> Health:
        """Healthy when discovery answers, be it with a refusal."""
        try:
            await self._results(DISCOVER, _HEALTH_USER, {})
        except SourceRefused:
            return healthy()
        except WaystationError as error:
            return degraded(error.detail)
        return healthy()

    async def aclose(self) -> None:
        """End the server's session."""
        if self._server is not None:
            await self._server.aclose()

    async def _results(self, tool: str, as_user: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """`results` of what a tool answers.

        Raises:
            SourceUnavailable, SourceTimedOut, SourceRefused, SourceRejected: There are none.
        """
        try:
            if self._server is None:
                self._server = self._opened()
            tools = await self._server.tools()
            known = tools.get(tool)
            arguments = None if known is None else _arguments(known, as_user, given)
            answer = None if arguments is None else await self._server.call(tool, arguments)
        except WaystationError as error:
            raise _as_ours(error) from error
        if answer is None:
            raise SourceRejected(f"the server has no tool '{tool}', {_instead(list(tools))}")
        return _checked(answer)

    def _passages(self, hits: Sequence[Any]) -> list[Passage]:
        passages = [
            passage for hit in self._each(_Hit, hits, "hits") for passage in hit.passages(self._source)
        ]
        return sorted(passages, key=lambda passage: -passage.score)

    def _written(self, results: Mapping[str, Any]) -> list[Passage]:
        """An answer that the server wrote, as one passage that names what it rests on."""
        text = results.get("answer")
        if not isinstance(text, str) or not text.strip():
            return []
        citations = self._each(_Hit, _listed(results, "citations"), "citations")
        names = list(dict.fromkeys(citation.document for citation in citations))
        title = f"Answer of {self._source}"
        return [Passage(self._source, ", ".join(names) or self._source, title, clean_text(text), 1.0, "")]

    def _each(self, kind: type[M], items: Sequence[Any], what: str) -> list[M]:
        """Those that can be read: an odd one costs itself alone, unless there is nothing else."""
        found: list[M] = []
        for item in items:
            try:
                found.append(kind.model_validate(item))
            except ValidationError:
                continue
        if len(found) < len(items):
            if not found:
                raise SourceUnavailable(f"its {what} have a shape that is not known here")
            log.warning(
                "source_parts_unreadable", source=self._source, what=what, number=len(items) - len(found)
            )
        return found


def _instead(tools: Sequence[str]) -> str:
    """What a server without the tools of a source has, and where such a one belongs."""
    named = ", ".join(f"'{clean_text(name[:_NAME_CHARS])}'" for name in tools[:_NAMED])
    more = f" and {len(tools) - _NAMED} more" if len(tools) > _NAMED else ""
    has = f"it has {named}{more}" if tools else "it has none"
    return f"which a source needs; {has}. A server of other tools is an entry of mcp.json"


def _arguments(schema: Mapping[str, Any], as_user: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the tool declares of what we have; an object that it insists on is empty."""
    declared = schema.get("properties")
    names = list(declared) if isinstance(declared, Mapping) else []
    everything = {**dict.fromkeys(USER, as_user), **given}
    if not names:
        return {"username": as_user, **given}
    required = schema.get("required")
    wanted = required if isinstance(required, list) else []
    empty: dict[str, Any] = {name: {} for name in wanted if isinstance(name, str) and name not in everything}
    return {**{name: everything[name] for name in names if name in everything}, **empty}


def _as_ours(error: WaystationError) -> WaystationError:
    """An error of the session as one of a source."""
    if getattr(error, "status", 0) in (401, 403) or _STATUS_REFUSED.search(error.detail):
        return SourceRefused(error.detail)
    if isinstance(error, TimedOut):
        return SourceTimedOut(error.detail)
    return (SourceUnavailable if isinstance(error, Unavailable) else SourceRejected)(error.detail)


def _checked(answer: LentAnswer) -> Mapping[str, Any]:
    value = answer.value if isinstance(answer.value, Mapping) else {}
    results = value.get("results")
    error = value.get("error") or (results.get("error") if isinstance(results, Mapping) else None)
    if answer.is_error or error:
        said = " ".join(clean_text(str(error or answer.text)[:_SAID_CHARS]).split()) or "without a word"
        refused = SourceRefused if _REFUSED.search(said) else SourceRejected
        raise refused(f"the server answered with an error: {said}")
    if not isinstance(results, Mapping):
        raise SourceUnavailable("the answer has a shape that is not known here")
    return results


def _listed(results: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = results.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise SourceUnavailable(f"its {name} have a shape that is not known here")
    return found


def _words(value: Any) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


Clean = Annotated[Text, BeforeValidator(lambda value: clean_text(value) if isinstance(value, str) else value)]


class _Resource(BaseModel):
    id: Clean = Field("", validation_alias=AliasChoices("id", "name"))
    name: Clean = Field("", validation_alias=AliasChoices("name", "label", "id"))
    description: Clean = ""
    compliance_level: Clean = Field("", validation_alias=AliasChoices("complianceLevel", "compliance_level"))
    groups: Annotated[list[str], BeforeValidator(_words)] = Field(default_factory=list)
    auth_required: bool = Field(True, validation_alias=AliasChoices("authRequired", "auth_required"))


class _Section(BaseModel):
    section_ref: Clean = ""
    text: Clean = ""
    relevance: Score = 0.0


class _Hit(BaseModel):
    """A hit with sections, as over HTTP, or one that is itself a passage; or a citation."""

    name: Clean = Field(
        "", validation_alias=AliasChoices("filename", "document", "document_ref", "title", "resourceId", "id")
    )
    title: Clean = Field("", validation_alias=AliasChoices("title", "citation"))
    text: Clean = Field("", validation_alias=AliasChoices("text", "snippet", "content", "chunk"))
    score: Score = Field(0.0, validation_alias=AliasChoices("score", "relevance", "confidence_score"))
    uri: Clean = Field("", validation_alias=AliasChoices("uri", "url"))
    sections: list[_Section] = Field(default_factory=list)

    @property
    def document(self) -> str:
        return public_name(self.name or "document")

    def passages(self, source: str) -> Iterator[Passage]:
        web = self.uri if self.uri.startswith(("http://", "https://")) else ""
        title = self.title or self.document
        for section in self.sections:
            if section.text.strip():
                place = f"{self.document}#{section.section_ref}" if section.section_ref else self.document
                yield Passage(source, self.document, title, section.text, section.relevance, web or place)
        if self.text.strip() and not self.sections:
            yield Passage(source, self.document, title, self.text, self.score, web or self.document)
