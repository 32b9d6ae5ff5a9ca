"""The class that calls models: prompt in, stream out, retries and fallbacks in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.messages import BaseMessage, SystemMessage

from core.access import may_use
from core.errors import Unavailable, WaystationError
from core.health import Health, degraded, failed, healthy
from core.observability import TOKENS, track_duration
from nodes.llm.assembly import Assembly
from nodes.llm.catalogue import Catalogue
from nodes.llm.errors import ModelRefused, ModelStreamCut
from nodes.llm.models import LLMChunk, LLMRequest, LLMResponse, Model, Usage
from nodes.llm.ports import ChatModel
from nodes.llm.prompt import render
from nodes.llm.retry import Backoff, Clocks, begun, timed
from nodes.llm.settings import ModelEntry
from nodes.llm.window import alternating, answered, taken_ids

PING_SECONDS = 3.0
_OFFLINE_CLOCKS = Clocks(60.0, 60.0)


class LLMCaller:
    """Calls the models of the catalogue; keeps one client per model.

    Args:
        catalogue: Which models there are.
        connect: Makes the client of a model; called once per model, at first use.
        system_prompt: What stands before every conversation.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        connect: Callable[[Model], ChatModel],
        *,
        system_prompt: str = "",
        backoff: Backoff | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._connect = connect
        self._system = system_prompt
        self._backoff = backoff or Backoff()
        self._clients: dict[str, ChatModel] = {}

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
            ModelNotFound: No such model.
            ModelRefused: The endpoint does not accept the request or our key.
            ModelUnavailable, ModelRateLimited, ModelTimedOut: After all attempts and fallbacks.
            ModelStreamCut: It broke off after text had come; the error has that text.
        """
        models = self._line(request)
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
        """Whether the endpoints answer, asked without spending a token."""
        answers = await self.ping()
        models = {name: reason or "ok" for name, reason in answers.items()}
        bad = sorted(name for name, reason in answers.items() if reason)
        if not bad:
            return healthy(default=self.default(), models=models)
        reason = "; ".join(answers[name] for name in bad)
        if self.default() in bad and len(bad) == len(answers):
            return failed(reason, default=self.default(), models=models)
        return degraded(reason, default=self.default(), models=models)

    async def ping(self, name: str = "") -> dict[str, str]:
        """What is wrong with each model, or with the one named; "" where it answers."""
        wanted = [self._catalogue.find(name)] if name else list(self.entries().values())
        found = await asyncio.gather(*(self._ping(model) for model in wanted))
        return {model.name: reason for model, reason in zip(wanted, found, strict=True)}

    async def aclose(self) -> None:
        """Close every client."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    def _line(self, request: LLMRequest) -> list[Model]:
        """The model asked for, then its fallbacks that this caller may use."""
        first = self._catalogue.find(request.model)
        names = first.entry.fallbacks if first.entry else []
        known = self.entries()
        others = [known[name] for name in names if name in known and name != first.name]
        if request.principal is None:
            return [first, *others]
        return [first, *(model for model in others if may_use(request.principal, model))]

    async def _one(self, model: Model, request: LLMRequest) -> AsyncIterator[LLMChunk | LLMResponse]:
        messages = self._messages(model, request)
        assembly = Assembly(taken_ids(request.messages))
        with track_duration("llm_call"):
            try:
                async with aclosing(cast(Any, self._chunks(model, request, messages))) as chunks:
                    async for chunk in chunks:
                        seen = assembly.add(chunk)
                        if seen is not None:
                            yield seen
            except Unavailable as error:
                if assembly.text:
                    raise ModelStreamCut(error.detail, text=assembly.text) from error
                raise
            self._whole(model, assembly)
        yield self._response(model, assembly)

    def _chunks(
        self, model: Model, request: LLMRequest, messages: Sequence[BaseMessage]
    ) -> AsyncIterator[Any]:
        client = self._client(model)
        entry = model.entry
        clocks = Clocks(entry.first_token_timeout_s, entry.timeout_s) if entry else _OFFLINE_CLOCKS
        user = request.principal.id if request.principal and entry and entry.pass_user_as_customer_id else ""
        tools = list(request.tools) if model.supports_tools else []

        def opened() -> AsyncIterator[Any]:
            stream = client.stream(messages, tools=tools, temperature=request.temperature, user=user)
            return timed(stream, clocks, model.name)

        return begun(opened, retries=entry.retries if entry else 0, backoff=self._backoff)

    def _messages(self, model: Model, request: LLMRequest) -> list[BaseMessage]:
        ordered, _ = answered(request.messages)
        if model.entry and model.entry.strict_role_ordering:
            ordered = alternating(ordered)
        system = render(self._system, request.documents, request.files)
        return [SystemMessage(content=system), *ordered] if system else ordered

    def _client(self, model: Model) -> ChatModel:
        if model.entry and model.entry.api_key_source == "user":
            raise ModelRefused(
                f"the model '{model.name}' wants a key of each user, and none can be given here yet"
            )
        if model.name not in self._clients:
            self._clients[model.name] = self._connect(model)
        return self._clients[model.name]

    def _whole(self, model: Model, assembly: Assembly) -> None:
        """An answer without a reason to stop did not end: it was cut where nobody could hear it."""
        if not assembly.finish:
            raise ModelStreamCut(f"the answer of the model '{model.name}' broke off", text=assembly.text)

    def _response(self, model: Model, assembly: Assembly) -> LLMResponse:
        counted = assembly.usage or {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        usage = Usage(
            counted["input_tokens"],
            counted["output_tokens"],
            model.name,
            _cost(model.entry, counted["input_tokens"], counted["output_tokens"]),
        )
        TOKENS.labels("input").inc(usage.input_tokens)
        TOKENS.labels("output").inc(usage.output_tokens)
        return LLMResponse(assembly.message(), usage, assembly.finish)

    async def _ping(self, model: Model) -> str:
        if model.entry and model.entry.api_key_source == "user":
            return ""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._client(model).ping()
        except TimeoutError:
            return f"the endpoint of the model '{model.name}' did not answer within {PING_SECONDS:g} s"
        except WaystationError as error:
            return error.detail
        return ""


def _cost(entry: ModelEntry | None, read: int, written: int) -> float | None:
    if entry is None:
        return 0.0
    if entry.input_price is None and entry.output_price is None:
        return None
    return ((entry.input_price or 0.0) * read + (entry.output_price or 0.0) * written) / 1_000_000
