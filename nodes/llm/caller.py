"""The class that calls models: prompt in, stream out, fallbacks in between."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.messages import BaseMessage, SystemMessage
from langgraph.runtime import Runtime

from core.access import Principal, RunContext, context_of
from core.choices import sampling_of
from core.errors import Unavailable
from core.forms import client_tools_in
from core.health import Health
from core.observability import TOKENS, model_span, track_duration
from core.resilience import Policies, ResilienceSettings
from core.settings.book import Part
from nodes.llm.answer_ids import answer_id
from nodes.llm.assembly import Assembly
from nodes.llm.attachments import NO_FILES, of_state, remarks_on_files, texts_of, with_media
from nodes.llm.connections import Connections, has_content
from nodes.llm.errors import ModelContextFull, ModelStreamCut
from nodes.llm.health import ModelHealth
from nodes.llm.judging import one_call, wanted_in
from nodes.llm.models import (
    HOW_TO_CONFIGURE,
    OFFLINE,
    Catalogue,
    LLMChunk,
    LLMRequest,
    LLMResponse,
    Model,
    Usage,
)
from nodes.llm.pieces import KNOWN, Chunk
from nodes.llm.ports import Attachments, ChatModel, Toolbox
from nodes.llm.prompt import alternating, answered, digest, parted, render, taken_ids, without_empty
from nodes.llm.settings import ModelEntry
from nodes.llm.shortening import shorter

_NAMED = 5
"""Tools that a remark names."""
_OFFLINE_NOTICE = (
    "The offline model answers: it calls tools and quotes passages, and writes nothing of its own. "
    + HOW_TO_CONFIGURE
)


class LLMCaller:
    """Calls the models of the catalogue; keeps one client per model.

    Args:
        catalogue: Which models there are; a part, where they may change while the service runs.
        connect: Makes the client of a model; called once per entry, at first use.
        system_prompt: What stands before every conversation.
        policies: How the models are called; with the default numbers when left out.
        first_token_s: Longest silence before the first token, where a model's entry says nothing of it.
    """

    def __init__(
        self,
        catalogue: Catalogue | Part[Catalogue],
        connect: Callable[[Model], ChatModel],
        *,
        system_prompt: str = "",
        policies: Policies | None = None,
        first_token_s: float | None = None,
    ) -> None:
        self._part = Part.of(catalogue)
        policies = policies or Policies(ResilienceSettings())
        self._connections = Connections(
            lambda: [known.entries() for known in self._part.living()], connect, policies, first=first_token_s
        )
        self._health = ModelHealth(self._connections, policies)
        self._part.on_change(retired=self._tidy)
        self._system = system_prompt

    def entries(self) -> Mapping[str, Model]:
        """The models by display name."""
        return self._catalogue.entries()

    def default(self) -> str:
        """The display name of the model that answers when nobody chose."""
        return self._catalogue.default()

    async def call(self, request: LLMRequest) -> LLMResponse:
        """The whole answer at once. Raises what `stream` raises."""
        async with aclosing(cast(Any, self.stream(request))) as items:
            async for item in items:
                if isinstance(item, LLMResponse):
                    return item
        raise ModelStreamCut(f"the model '{request.model}' gave no answer")

    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMChunk | LLMResponse]:
        """The answer as it comes; the last item is the LLMResponse.

        Raises:
            ModelNotFound: No such model, or none for this caller.
            ModelRefused: The endpoint does not accept the request or our key.
            ModelUnavailable, ModelRateLimited, ModelTimedOut: After all tries and fallbacks.
            BreakerOpen, TooBusy: The model is not asked now, and no fallback answered.
            ModelStreamCut: It broke off after text had come; the error has that text.
        """
        models = self.line(request.model, request.principal)
        for place, model in enumerate(models):
            begun_here = False
            try:
                async with aclosing(cast(Any, self._one(model, request))) as items:
                    async for item in items:
                        begun_here = True
                        yield item
                    return
            except Unavailable:
                if begun_here or place == len(models) - 1:
                    raise

    async def check(self) -> Health:
        """Which models can be used, asked without spending a token."""
        return await self._health.check(self.entries(), default=self.default())

    async def ping(self, name: str = "") -> dict[str, str]:
        """What is wrong with the endpoint of each model, or of the one named; "" where it answers."""
        wanted = [self._catalogue.find(name)] if name else list(self.entries().values())
        return await self._health.ping({model.name: model for model in wanted})

    async def aclose(self) -> None:
        """Close every client."""
        await self._connections.aclose()

    @property
    def _catalogue(self) -> Catalogue:
        return self._part.now

    async def _tidy(self, _: Catalogue) -> None:
        await self._connections.tidy()

    def line(self, name: str, principal: Principal | None) -> list[Model]:
        """The model of this name, then its fallbacks that this caller may use.

        Raises:
            ModelNotFound: No such model, or none for this caller.
        """
        catalogue = self._catalogue.seen_by(principal)
        first = catalogue.find(name)
        others = [catalogue.get(name) for name in (first.entry.fallbacks if first.entry else [])]
        return [first, *(model for model in others if model is not None and model is not first)]

    async def _one(self, model: Model, request: LLMRequest) -> AsyncIterator[LLMChunk | LLMResponse]:
        """The answer of one model; a conversation that is too long for it is sent in a shorter form."""
        forms: Iterator[LLMRequest] | None = None
        sent: LLMRequest | None = request
        while sent is not None:
            try:
                async with aclosing(cast(Any, self._asked(model, sent, request))) as items:
                    async for item in items:
                        yield item
            except ModelContextFull as error:
                forms = forms or shorter(request)
                sent = next(forms, None)
                if sent is None:
                    raise _too_long(model, request) from error
            else:
                return

    async def _asked(
        self, model: Model, request: LLMRequest, wanted: LLMRequest
    ) -> AsyncIterator[LLMChunk | LLMResponse]:
        assembly = _assembly(model, request)
        with track_duration("llm_call"), model_span(model.served, provider=model.vendor, stream=True) as span:
            began = time.perf_counter()
            try:
                async with aclosing(cast(Any, self._chunks(model, request))) as chunks:
                    async for chunk in chunks:
                        seen = assembly.add(chunk)
                        if began and has_content(chunk):
                            span.set(first_chunk_s=time.perf_counter() - began)
                            began = 0.0
                        if seen is not None:
                            yield seen
            except Unavailable as error:
                if assembly.text:
                    raise ModelStreamCut(error.detail, text=assembly.text) from error
                raise
            rest = assembly.end()
            if rest is not None:
                yield rest
            response = self._response(model, assembly, remarks_on(model, wanted, request))
            if request.sampling.get("parallel_tool_calls") is False:
                response = one_call(response)
            span.set(
                response_model=assembly.served,
                input_tokens=response.usage.input_tokens,
                output_tokens=response.usage.output_tokens,
            )
        yield response

    def _chunks(self, model: Model, request: LLMRequest) -> AsyncIterator[Chunk]:
        entry = model.entry
        user = request.principal.id if request.principal and entry and entry.pass_user_as_customer_id else ""
        tools, sampling = offered(model, request), request.sampling
        if request.wanted:
            sampling = {**sampling, **request.wanted.parameters(entry, tools=bool(tools))}
        return self._connections.of(model).stream(
            self._messages(model, request),
            tools=tools,
            sampling=sampling,
            user=user,
        )

    def _messages(self, model: Model, request: LLMRequest) -> list[BaseMessage]:
        ordered = without_empty(answered(request.messages)[0])
        if request.attachments:
            ordered = with_media(ordered, request.attachments, model)
        if model.entry and (model.entry.strict_role_ordering or model.entry.kind.strict_roles):
            ordered = alternating(ordered)
        own = {"earlier": request.earlier, "instructions": request.instructions}
        texts = texts_of(request, model) if request.attachments else ""
        system = render(self._system, request.documents, request.files, attached=texts, **own)
        if request.wanted:
            system = "\n\n".join(part for part in (system, request.wanted.instruction) if part)
        return [SystemMessage(content=system), *ordered] if system else ordered

    def _response(self, model: Model, assembly: Assembly, remarks: Sequence[tuple[str, str]]) -> LLMResponse:
        counted = assembly.usage or {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        usage = Usage(
            counted["input_tokens"],
            counted["output_tokens"],
            model.name,
            _cost(model.entry, counted["input_tokens"], counted["output_tokens"]),
        )
        TOKENS.labels("input").inc(usage.input_tokens)
        TOKENS.labels("output").inc(usage.output_tokens)
        return LLMResponse(assembly.message(), usage, assembly.finish, remarks)


class TurnRequests:
    """Makes the requests of turns.

    Args:
        window: Recent messages that are sent.
        notes: Of the messages before these, notes are.
    """

    def __init__(
        self, llm: LLMCaller, toolbox: Toolbox, files: Attachments, *, window: int, notes: bool
    ) -> None:
        self._llm, self._toolbox, self._files = llm, toolbox, files
        self._window, self._notes = window, notes

    async def of(
        self, state: Mapping[str, Any], runtime: Runtime[RunContext]
    ) -> tuple[LLMRequest, list[BaseMessage]]:
        """The request, and the results of calls that had to be made up for it."""
        config, principal = state.get("config") or {}, context_of(runtime).principal
        model = config.get("model") or self._llm.default()
        before, sent = parted(state["messages"], self._window)
        # Checked once more here: an unanswered call makes every endpoint refuse the whole thread.
        messages, repairs = answered(sent)
        tools = await self._toolbox.schemas(principal, config.get("servers") or (), config.get("tools"))
        files = NO_FILES
        if state.get("files"):
            files = await of_state(state, self._files, runtime, lambda: self._llm.line(model, principal))
        ours = [*tools, *files.tools] if files.tools else tools
        theirs = config.get("client_tools")
        offered = _with_the_callers(client_tools_in(config), ours) if theirs else ours
        choice = config.get("tool_choice")
        offered = () if choice == "none" else offered
        held = choice or config.get("response_format")
        return LLMRequest(
            model=model,
            messages=messages,
            earlier=digest(state.get("summary") or "", before) if self._notes else "",
            instructions=config.get("instructions") or "",
            notes=self._notes,
            taken=taken_ids(before),
            tools=offered,
            wanted=wanted_in(config, offered, messages) if held else None,
            documents=state.get("documents") or (),
            files=state.get("files") or (),
            attachments=files.shown,
            sampling=sampling_of(config),
            principal=principal,
            message_id=answer_id(runtime, state["messages"]),
        ), list(repairs)


def _with_the_callers(
    theirs: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """The caller's tools first: under a name that both have, theirs is meant, as where it is called."""
    taken = {tool["function"]["name"] for tool in theirs}
    return [*theirs, *(tool for tool in ours if tool["function"]["name"] not in taken)]


def _assembly(model: Model, request: LLMRequest) -> Assembly:
    taken = taken_ids(request.messages) | set(request.taken)
    names = [str(tool.get("function", {}).get("name", "")) for tool in offered(model, request)]
    entry, stop = model.entry, request.sampling.get("stop") or ()
    if entry is None:
        return Assembly(taken, offered=names, message_id=request.message_id, stop=stop)
    tags = entry.kind.think_tags if entry.think_tags is None else entry.think_tags
    return Assembly(
        taken,
        offered=names,
        profile=entry.kind,
        of=entry.of,
        think_tags=tags,
        message_id=request.message_id,
        stop=stop,
    )


def _too_long(model: Model, request: LLMRequest) -> ModelContextFull:
    found = f"longer than the model '{model.name}' accepts, also without the turns before it; "
    last = next((m for m in reversed(request.messages) if m.type in ("human", "ai")), None)
    if last is not None and last.type == "ai":
        return ModelContextFull(
            f"this turn with its tool calls is {found}the calls were made and stay in the thread; "
            "ask for less at a time"
        )
    alone = "message" if last is not None else "request"
    return ModelContextFull(f"the {alone} is {found}send a shorter one, or attach long text as a file")


def _cost(entry: ModelEntry | None, read: int, written: int) -> float | None:
    if entry is None:
        return 0.0
    if entry.input_price is None and entry.output_price is None:
        return None
    return ((entry.input_price or 0.0) * read + (entry.output_price or 0.0) * written) / 1_000_000


def offered(model: Model, request: LLMRequest) -> list[Mapping[str, Any]]:
    """The tools that the model is offered: as many as its endpoint takes, the first of them."""
    if not model.supports_tools:
        return []
    return list(request.tools[: model.entry.kind.max_tools if model.entry else None])


def remarks_on(model: Model, wanted: LLMRequest, sent: LLMRequest) -> list[tuple[str, str]]:
    """(code, text) for what was left out of the request that was wanted."""
    found: list[tuple[str, str]] = []
    if sent is not wanted:
        text = f"The conversation is too long for '{model.name}'; its oldest part was left out."
        found.append(("context_trimmed", text))
    over = wanted.tools[len(offered(model, wanted)) :] if model.supports_tools else ()
    if over:
        names = [str(tool.get("function", {}).get("name", "")) for tool in over[:_NAMED]]
        more = f" and {len(over) - _NAMED} more" if len(over) > _NAMED else ""
        most = len(wanted.tools) - len(over)
        text = f"'{model.name}' takes {most} tools; not offered: {', '.join(names)}{more}."
        found.append(("tools_capped", text))
    return [*found, *remarks_on_files(sent.attachments, model)] if sent.attachments else found


def notices(request: LLMRequest, response: LLMResponse, *, first: bool) -> Iterator[tuple[str, str]]:
    """(code, text) of each notice; `first` on the first answer of a thread."""
    used = response.usage.model
    if used == OFFLINE and first:
        yield "offline_model", _OFFLINE_NOTICE
    if used != request.model:
        yield "fallback_model", f"'{request.model}' was unavailable; '{used}' answered."
    yield from response.remarks
    if not response.tool_calls and not response.text.strip():
        yield "empty_answer", "The model ended its answer without a word."
    if response.finish == "length":
        yield "answer_cut", "The answer reached the model's limit (max_tokens) and is cut."
    if response.finish == "content_filter":
        yield "content_filter", "The model's endpoint withheld a part of the answer."
    if response.finish and response.finish not in KNOWN:
        yield "finish_reason", f"The model's endpoint ended the answer for the reason '{response.finish}'."
