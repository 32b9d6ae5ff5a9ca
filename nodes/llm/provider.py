"""The services of this module, for the container."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pkgutil import resolve_name

from dishka import Provider, Scope, provide

from core.cache import Cache
from core.resilience import Policies
from core.settings import Book
from core.settings.book import Editions
from core.settings.platform import ThreadSettings
from nodes.llm.caller import LLMCaller
from nodes.llm.models import OFFLINE, Catalogue, Model
from nodes.llm.node import CallModel
from nodes.llm.ports import Attachments, ChatModel, EmptyToolbox, NoAttachments, Toolbox
from nodes.llm.settings import LLMSettings

# Each is called with the model, the settings and the cache. What it imports, such as an SDK, takes its
# time at the first call, not at start.
CLIENTS = {
    OFFLINE: "nodes.llm.offline.model:connected",
    "lean": "nodes.llm.adapters.chat:connected",
    "langchain": "nodes.llm.adapters.openai:connected",
    "provider": "nodes.llm.adapters.langchain:connected",
}


def connect(model: Model, settings: LLMSettings, cache: Cache | None = None) -> ChatModel:
    """The client of a model."""
    entry = model.entry
    kind = OFFLINE if entry is None else "provider" if entry.provider else entry.client or settings.client
    made: ChatModel = resolve_name(CLIENTS[kind])(model, settings, cache)
    return made


async def _catalogue(book: Book, _: Catalogue | None) -> Catalogue:
    return Catalogue.of(book)


class LLMProvider(Provider):
    """Caller and graph step; the toolbox is empty, and files are names, until someone bridges them."""

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
    def attachments(self) -> Attachments:
        return NoAttachments()

    @provide
    def node(self, llm: LLMCaller, toolbox: Toolbox, files: Attachments, book: Book) -> CallModel:
        notes = book[ThreadSettings].summary == "digest"
        return CallModel(llm, toolbox, files, window=book[LLMSettings].window_messages, notes=notes)
