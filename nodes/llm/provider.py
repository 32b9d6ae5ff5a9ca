"""The services of this module, for the container."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dishka import Provider, Scope, provide

from core.cache import Cache
from core.editions import Editions
from core.resilience import Policies
from core.settings import Book
from core.settings.platform import ThreadSettings
from nodes.llm.caller import LLMCaller
from nodes.llm.catalogue import Catalogue
from nodes.llm.models import Model
from nodes.llm.node import CallModel
from nodes.llm.ports import ChatModel, EmptyToolbox, Toolbox
from nodes.llm.settings import LLMSettings


def connect(model: Model, settings: LLMSettings, cache: Cache | None = None) -> ChatModel:
    """The client of a model. The SDKs are imported at the first call, not at start."""
    if model.entry is None:
        from nodes.llm.adapters.offline import OfflineModel  # noqa: PLC0415 - only when it is used

        return OfflineModel(max_quote=settings.max_quote)
    if (model.entry.client or settings.client) == "langchain":
        from nodes.llm.adapters.openai import OpenAIModel  # noqa: PLC0415 - it takes a second to import

        return OpenAIModel(model.name, model.entry, cache=cache)
    from nodes.llm.adapters.chat import ChatEndpoint  # noqa: PLC0415 - only when it is used

    return ChatEndpoint(model.name, model.entry, cache=cache)


async def _catalogue(book: Book, _: Catalogue | None) -> Catalogue:
    return Catalogue.of(book)


class LLMProvider(Provider):
    """Caller and graph step; the toolbox is empty until someone bridges it."""

    scope = Scope.APP

    @provide
    async def caller(
        self, editions: Editions, book: Book, policies: Policies, cache: Cache
    ) -> AsyncIterator[LLMCaller]:
        settings = book[LLMSettings]
        async with editions.part("models", _catalogue) as catalogue:
            caller = LLMCaller(
                catalogue,
                lambda model: connect(model, settings, cache),
                system_prompt=settings.system_prompt,
                policies=policies,
                first_token_s=settings.first_token_timeout_s,
            )
            try:
                yield caller
            finally:
                await caller.aclose()

    @provide
    def toolbox(self) -> Toolbox:
        return EmptyToolbox()

    @provide
    def node(self, llm: LLMCaller, toolbox: Toolbox, book: Book) -> CallModel:
        notes = book[ThreadSettings].summary == "digest"
        return CallModel(llm, toolbox, window=book[LLMSettings].window_messages, notes=notes)
