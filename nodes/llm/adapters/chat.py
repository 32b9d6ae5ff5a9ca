"""Any endpoint that speaks chat completions, by a client of our own: no SDK's objects for each token."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import aiohttp
from langchain_core.messages import BaseMessage

from core.cache import Cache
from core.correlation import notice
from core.observability import never_log
from core.observability.redaction import names_secret
from nodes.llm.adapters.answers import EndpointError, NoAnswer, Reading, parsed
from nodes.llm.adapters.bodies import Bodies, encoded
from nodes.llm.adapters.http import Http, UnusableProxy
from nodes.llm.adapters.pace import Pace
from nodes.llm.adapters.refusals import Refusal, Refusals
from nodes.llm.adapters.sse import EventTooLong
from nodes.llm.errors import ModelRefused, ModelStreamCut, ModelTimedOut, ModelUnavailable
from nodes.llm.models import ASK_ENDPOINT, Model
from nodes.llm.pieces import ALIVE, Piece
from nodes.llm.prompt import alternating
from nodes.llm.schemas import ToolSchemas
from nodes.llm.settings import LLMSettings, ModelEntry

_ERROR_BYTES = 64 * 1024
_LIST_BYTES = 4 * 1024 * 1024
_ALIVE_SECONDS = 1.0
_REST_SECONDS = 0.05
# An answer of the cache costs a call some hundred microseconds.
_KNOWN_SECONDS = 2.0


class ChatEndpoint:
    """A model behind an endpoint that speaks OpenAI's chat completions.

    Args:
        name: Its name in the catalogue, for errors.
        entry: Its settings.
        cache: Keeps which models the endpoint serves, where the entry leaves the choice to it.
    """

    def __init__(self, name: str, entry: ModelEntry, *, cache: Cache | None = None) -> None:
        self._name = name
        self._entry = entry
        self._profile = entry.kind
        self._http = Http(entry.model_url, _headers(entry))
        self._served = ServedName(entry, self.ping, cache)
        self._schemas = ToolSchemas(self._profile.schema_mends)
        self._refusals = Refusals(name, entry.model_name)
        self._bodies = Bodies(entry)
        self._in_turns = False

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Mapping[str, Any] = {},
        user: str = "",
    ) -> AsyncIterator[Piece]:
        offered = self._schemas.encoded(tools) if tools else None
        while True:
            model = await self._served.get()
            asked = alternating(messages) if self._in_turns else messages
            body = self._bodies.made(asked, model=model, tools=offered, sampling=sampling, user=user)
            try:
                async with aclosing(cast(Any, self._answer(body, tools))) as pieces:
                    async for piece in pieces:
                        yield piece
            except _Adjusted as adjusted:  # before anything came, and at most once for each parameter
                sampling = {name: value for name, value in sampling.items() if name != adjusted.without}
                continue
            return

    async def ping(self) -> list[str]:
        async with self._asked("GET", "/models") as response:
            if response.status in (404, 405, 501):
                return []  # it answers; listing models is not part of every endpoint
            if response.status != 200:
                raise self._refusals.error(await self._refusal(response))
            try:
                return _names(parsed(await _read(response, _LIST_BYTES)))
            except NoAnswer as error:
                raise ModelUnavailable(self._odd(error, response)) from None

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _answer(
        self, body: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]
    ) -> AsyncIterator[Piece]:
        begun = False
        try:
            async with self._asked("POST", "/chat/completions", encoded(body)) as response:
                if not 200 <= response.status < 300:
                    await self._refused(await self._refusal(response), body, tools)
                async for piece in self._pieces(response):
                    begun = begun or piece is not ALIVE
                    yield piece
        except EndpointError as error:
            refusal = Refusal.of(error.body, status=0)
            if begun:
                raise ModelStreamCut(f"the answer of the model '{self._name}' broke off") from error
            await self._refused(refusal, body, tools)
        except ModelUnavailable as error:
            if not begun or isinstance(error, ModelStreamCut):
                raise
            raise ModelStreamCut(error.detail) from error

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[Piece]:
        reading, clock = Reading(self._profile), asyncio.get_running_loop().time
        alive = clock()
        yield ALIVE  # the headers are there
        try:
            with Pace(response.content) as pace:
                async for chunk in response.content.iter_any():
                    told = False
                    for piece in pace.shared(reading.feed(chunk)):
                        told = True
                        yield piece
                    if reading.done:
                        break
                    if told:
                        await pace.rest()
                    elif clock() - alive > _ALIVE_SECONDS:
                        alive = clock()
                        yield ALIVE
            for piece in reading.end():
                yield piece
        except (NoAnswer, EventTooLong) as error:
            raise ModelUnavailable(self._odd(error, response)) from None
        await _read_rest(response, wanted=reading.done)

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of the endpoint; what goes wrong on the way is an error of ours."""
        try:
            async with self._http.asked(method, path, body) as response:
                yield response
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise ModelTimedOut(f"the endpoint of the model '{self._name}' did not answer in time") from error
        except UnusableProxy as error:
            raise ModelRefused(
                f"the proxy of the environment is of the kind '{error}'; use one of http, or set NO_PROXY"
            ) from None
        except ValueError as error:
            raise ModelRefused(
                f"model_url, api_key or a header of the model '{self._name}' cannot be sent as it is; mend it"
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise ModelUnavailable(f"the answer of the model '{self._name}' broke off") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelUnavailable(f"the endpoint of the model '{self._name}' cannot be reached") from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> Refusal:
        text = await _read(response, _ERROR_BYTES)
        try:
            body = parsed(text)
        except NoAnswer:
            body = text.decode("utf-8", "replace")
        return Refusal.of(body, status=response.status, headers=response.headers)

    async def _refused(
        self, refusal: Refusal, body: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]
    ) -> None:
        """Raise the error for a refusal, or `_Adjusted` where the request can do without what was refused.

        Raises:
            WaystationError: See `Refusals`.
        """
        limit = next((key for key in ("max_tokens", "max_completion_tokens") if key in body), "")
        if limit and refusal.answer_too_long:
            self._bodies.leave_out(limit)
            self._told(limit)
            raise _Adjusted
        if refusal.about_roles and not self._in_turns:
            self._in_turns = True
            raise _Adjusted
        if name := refusal.not_taken(body):
            self._bodies.do_without(name)
            self._told(name)
            raise _Adjusted
        if "response_format" in body and refusal.status in (400, 422) and not refusal.full:
            # It may be the schema that it does not take. The model is told the form, and is judged anyway.
            self._told("response_format")
            raise _Adjusted("response_format")
        if refusal.status == 404:
            await self._served.forget()
        raise self._refusals.error(refusal, tools)

    def _told(self, name: str) -> None:
        notice("parameter_left_out", f"The endpoint of '{self._name}' does not take '{name}' as it was.")

    def _odd(self, error: Exception, response: aiohttp.ClientResponse) -> str:
        kind = response.content_type[:60]
        return f"the endpoint of the model '{self._name}' sent {error} ({kind}); is its address right?"


def connected(model: Model, _: LLMSettings, cache: Cache | None) -> ChatEndpoint:
    """The client of a model with an endpoint."""
    return ChatEndpoint(model.name, cast(ModelEntry, model.entry), cache=cache)


class _Adjusted(Exception):
    """The request was changed to what the endpoint takes.

    Args:
        without: What this one request is sent without.
    """

    def __init__(self, without: str = "") -> None:
        super().__init__(without)
        self.without = without


def _headers(entry: ModelEntry) -> dict[str, str]:
    """What each request carries. Secrets among it never reach a log."""
    key = entry.api_key.get_secret_value().strip()
    given = {name: value.get_secret_value().strip() for name, value in entry.extra_headers.items()}
    for secret in [key, *(value for name, value in given.items() if names_secret(name))]:
        if secret:
            never_log(secret)
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
    # Compressed streams come in blocks: what a model says now would be read later.
    headers |= {"Accept-Encoding": "identity", "User-Agent": "waystation"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
        if entry.kind.key_header:
            headers[entry.kind.key_header] = key
    named = {name.lower() for name in given}
    return {name: value for name, value in headers.items() if name.lower() not in named} | given


def _names(page: Any) -> list[str]:
    """Names out of a list of models, in the shapes that are in use."""
    found = (page.get("data") or page.get("models")) if isinstance(page, dict) else page
    items = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    names = [item.get("id") or item.get("name") for item in items]
    return [name for name in names if isinstance(name, str) and name]


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or as much of it as is of use."""
    parts, size = list[bytes](), 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > limit:
            break
    return b"".join(parts)[:limit]


async def _read_rest(response: aiohttp.ClientResponse, *, wanted: bool) -> None:
    """The end of a body that has said all: a connection that was read to its end can be used again."""
    if not wanted:
        return
    try:
        async with asyncio.timeout(_REST_SECONDS):
            await response.content.read(_ERROR_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        return


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
        # What the cache said last, and until when it is not asked again, by the loop's clock.
        self._known, self._until = "", 0.0

    async def get(self) -> str:
        """The name, asked for once where the entry has none.

        Raises:
            ModelRefused: The endpoint names no model.
        """
        if self._entry.model_name != ASK_ENDPOINT:
            return self._entry.model_name
        now = asyncio.get_running_loop().time()
        if not self._known or now >= self._until:
            self._known, self._until = await self._asked(), now + _KNOWN_SECONDS
        return self._known

    async def _asked(self) -> str:
        if self._cache is None:
            return (await self._served())[0]
        key = [self._entry.model_url, _known_by(self._entry.api_key.get_secret_value(), self._headers())]
        return (await self._cache.get("models", key, self._served, who=None, as_type=list[str]))[0]

    async def forget(self) -> None:
        """The endpoint serves something else than it said: ask again at the next call."""
        self._known = ""
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
