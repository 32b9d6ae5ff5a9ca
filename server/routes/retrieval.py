"""This service as a source of others: retrieval over HTTP, as other backends ask for it (v1 and v2)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from core.access import Principal, ScopeMissing, usable
from core.errors import InvalidInput
from core.identity.acting import acting_for
from core.settings.auth import AuthSettings
from nodes.rag import RAGClient, serving
from nodes.rag.errors import QueryNotAccepted, SourceLoop, SourceNotFound, SourceUnavailable
from nodes.rag.loops import HEADER, arrived
from nodes.rag.models import RAGResponse
from nodes.rag.settings import RagSettings
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.routes.common import OpenAgent, problems
from server.shapes.form import Json, Shape
from server.shapes.retrieval import CompletionAnswer, DataSources, RagAnswer
from server.synthesis import SynthesisOptions, written

QUERY_LETTERS = 65_536


async def _marked(request: Request) -> AsyncIterator[None]:
    with arrived(request.headers.get(HEADER)):
        yield


router = APIRouter(
    prefix="/api",
    tags=["retrieval"],
    dependencies=[Depends(_marked)],
    responses=problems(ScopeMissing, InvalidInput, InvalidRequest, SourceLoop),
)

_CANNOT = problems(QueryNotAccepted, SourceNotFound, SourceUnavailable)

AsUser = Annotated[
    str, Query(max_length=200, description="In whose name; another than your own takes the scope `act_as`.")
]
Role = Annotated[Literal["read"], Query(description="What the sources are wanted for.")]


def asker(agent: OpenAgent, who: Caller, as_user: AsUser = "") -> Principal:
    """The principal whose rights count: the caller, or the user that it acts for."""
    return acting_for(who, as_user, agent.book[AuthSettings].people)


Asker = Annotated[Principal, Depends(asker)]


class _Body(BaseModel):
    # What other backends send besides is theirs.
    model_config = ConfigDict(extra="ignore")

    corpora: str | list[str] | None = Field(None, description="Names of sources; left out: all you may use.")


class CompletionMessage(BaseModel, extra="ignore"):
    """A message of the conversation."""

    role: str = ""
    content: JsonValue = ""

    @property
    def said(self) -> str:
        """Its text, also where that comes in parts."""
        parts = self.content if isinstance(self.content, list) else [self.content]
        texts = [p.get("text") if isinstance(p, dict) else p for p in parts]
        return "\n".join(text for text in texts if isinstance(text, str))


class Completion(_Body):
    """A question as the last message of a conversation."""

    messages: list[CompletionMessage] = Field(max_length=1000)
    stream: bool = False
    top_k: int | None = Field(None, ge=1, le=100)
    model: str | None = Field(None, max_length=200)


class RagQuery(_Body):
    """A question to sources."""

    query: str = Field(max_length=QUERY_LETTERS)
    mode: Literal["raw", "synthesized"] = "raw"
    top_k: int | None = Field(None, ge=1, le=100)
    filters: dict[str, JsonValue] | None = None
    synthesis_params: dict[str, JsonValue] | None = None


@router.get("/v1/discover/datasources")
async def discover_v1(
    agent: OpenAgent, who: Asker, role: Role = "read"
) -> Annotated[Json, Shape(DataSources)]:
    """Sources that the user may search, for clients of version 1."""
    return await _discovery(agent, who, "v1")


@router.get("/v2/discover/datasources")
async def discover_v2(
    agent: OpenAgent, who: Asker, role: Role = "read"
) -> Annotated[Json, Shape(DataSources)]:
    """Sources that the user may search, for clients of version 2."""
    return await _discovery(agent, who, "v2")


@router.post("/v1/rag/completions", responses=_CANNOT)
async def completions(
    body: Completion, agent: OpenAgent, who: Asker
) -> Annotated[Json, Shape(CompletionAnswer)]:
    """Passages for the last message, or an answer that a model wrote from them (`rag.completions`)."""
    if body.stream:
        raise QueryNotAccepted('answers are not streamed here; send "stream": false')
    question = next((m.said for m in reversed(body.messages) if m.role == "user"), "")
    search = _Search(agent, who, body, question)
    found = await search.found(body.top_k)
    if agent.book[RagSettings].completions == "passages":
        return serving.completion(found, corpora=search.corpora, ms=search.ms)
    answer, _ = await written(agent, who, question, found, SynthesisOptions(model=body.model or ""))
    return serving.completion(
        found, corpora=search.corpora, ms=search.ms, answer=answer, created=int(time.time())
    )


@router.post("/v2/rag/query", responses=_CANNOT)
async def query(body: RagQuery, agent: OpenAgent, who: Asker) -> Annotated[Json, Shape(RagAnswer)]:
    """Passages for a question (`raw`), or an answer that a model wrote from them (`synthesized`)."""
    if body.filters:
        named = ", ".join(sorted(body.filters))
        raise QueryNotAccepted(
            f"there are no filters here ({named[:100]}); name sources in `corpora` instead"
        )
    search = _Search(agent, who, body, body.query)
    found = await search.found(body.top_k)
    if body.mode == "raw":
        return serving.raw(body.query, found, top_k=search.top_k, corpora=search.corpora, ms=search.ms)
    options = SynthesisOptions.model_validate(body.synthesis_params or {})
    answer, cited = await written(agent, who, body.query, found, options)
    return serving.synthesized(body.query, answer, cited, found, corpora=search.corpora, ms=search.ms)


async def _discovery(agent: OpenAgent, who: Principal, version: str) -> dict[str, Any]:
    rag = await _client(agent)
    return serving.discovery(usable(who, rag.entries()), version=version)


async def _client(agent: OpenAgent) -> RAGClient:
    if not agent.has("rag"):
        raise SourceUnavailable("the module 'rag' does not run here; see `waystation modules`")
    return await agent.container.get(RAGClient)


class _Search:
    """One question on its way: which sources, how many passages, since when."""

    def __init__(self, agent: OpenAgent, who: Principal, body: _Body, question: str) -> None:
        if not question.strip():
            raise QueryNotAccepted("the question is empty; send some text")
        self._agent, self._who, self._question = agent, who, question
        self._wanted = [body.corpora] if isinstance(body.corpora, str) else body.corpora
        self._began = time.perf_counter()
        self.corpora: list[str] = []
        self.top_k = 0

    @property
    def ms(self) -> int:
        """Milliseconds so far."""
        return round((time.perf_counter() - self._began) * 1000)

    async def found(self, top_k: int | None) -> RAGResponse:
        """The passages.

        Raises:
            SourceNotFound: One of the sources is not there for this user.
            SourceUnavailable: None of them could be searched.
        """
        rag = await _client(self._agent)
        mine = usable(self._who, rag.entries())
        self.corpora = list(mine if self._wanted is None else dict.fromkeys(self._wanted))
        self.top_k = top_k or self._agent.book[RagSettings].limit
        answer = await rag.query(self._question, sources=self.corpora, principal=self._who, limit=self.top_k)
        return serving.answered(answer)
