"""Which model an endpoint serves, where its entry leaves the choice to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping

from core.cache import Cache
from nodes.llm.catalogue import ASK_ENDPOINT
from nodes.llm.errors import ModelRefused
from nodes.llm.settings import ModelEntry


class ServedName:
    """The name of a model at its endpoint.

    Args:
        entry: The model's settings.
        listed: Asks the endpoint which models it serves.
        cache: Keeps the answer.
    """

    def __init__(
        self, entry: ModelEntry, listed: Callable[[], Awaitable[list[str]]], cache: Cache | None
    ) -> None:
        self._entry = entry
        self._listed = listed
        self._cache = cache

    async def get(self) -> str:
        """The name, asked for once where the entry has none.

        Raises:
            ModelRefused: The endpoint names no model.
        """
        if self._entry.model_name != ASK_ENDPOINT:
            return self._entry.model_name
        if self._cache is None:
            return (await self._served())[0]
        key = [self._entry.model_url, _known_by(self._entry.api_key.get_secret_value(), self._headers())]
        return (await self._cache.get("models", key, self._served, who=None, as_type=list[str]))[0]

    async def forget(self) -> None:
        """The endpoint serves something else than it said: ask again at the next call."""
        if self._cache is not None and self._entry.model_name == ASK_ENDPOINT:
            await self._cache.clear("models")

    def _headers(self) -> Mapping[str, str]:
        return {name: value.get_secret_value() for name, value in self._entry.extra_headers.items()}

    async def _served(self) -> list[str]:
        names = await self._listed()
        if not names:
            raise ModelRefused("the endpoint of OPENAI_BASE_URL names no model; set OPENAI_MODEL")
        return names


def _known_by(key: str, headers: Mapping[str, str]) -> str:
    """What the endpoint knows us by, unreadable: everyone who asks with it gets the same list."""
    return hashlib.sha256(json.dumps([key, headers]).encode()).hexdigest()
