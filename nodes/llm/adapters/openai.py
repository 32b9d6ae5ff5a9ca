"""Any OpenAI-compatible endpoint, through langchain-openai. One kept client per model."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any, cast

import openai
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from core.cache import Cache
from core.errors import WaystationError
from core.observability import never_log
from core.observability.redaction import names_secret
from nodes.llm.catalogue import ASK_ENDPOINT, OPENAI_URL
from nodes.llm.errors import (
    ModelContextFull,
    ModelRateLimited,
    ModelRefused,
    ModelStreamCut,
    ModelTimedOut,
    ModelUnavailable,
)
from nodes.llm.settings import ModelEntry

CONNECT_SECONDS = 10.0
_SAFE_CODE = re.compile(r"^[a-z0-9_.-]{1,60}$")
_FULL = re.compile(r"context.length|context window|maximum context|too many tokens", re.IGNORECASE)


@cache
def _tls() -> ssl.SSLContext:
    """One TLS context for every client: making one costs 20 ms."""
    return ssl.create_default_context()


@cache
def _unused_sync_client() -> openai.DefaultHttpxClient:
    """ChatOpenAI makes a synchronous client of its own unless it is given one; we never call it."""
    return openai.DefaultHttpxClient(verify=_tls())


class ReasoningChatOpenAI(ChatOpenAI):
    """ChatOpenAI that keeps `reasoning_content`, which several compatible endpoints send."""

    def _convert_chunk_to_generation_chunk(
        self,
        chunk: dict[str, Any],
        default_chunk_class: type[Any],
        base_generation_info: dict[str, Any] | None,
    ) -> ChatGenerationChunk | None:
        found = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        choices = chunk.get("choices") or []
        delta = (choices[0].get("delta") if choices else None) or {}
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if found is not None and isinstance(reasoning, str) and reasoning:
            found.message.additional_kwargs["reasoning_content"] = reasoning
        return found


class OpenAIModel:
    """A model behind an endpoint that speaks OpenAI's chat completions.

    Args:
        name: Its name in the catalogue, for errors.
        entry: Its settings.
        cache: Keeps which models the endpoint serves, where the entry leaves the choice to it.
    """

    def __init__(self, name: str, entry: ModelEntry, *, cache: Cache | None = None) -> None:
        self._name = name
        self._entry = entry
        self._cache = cache
        self._key = entry.api_key.get_secret_value() or "none"
        self._headers = {key: value.get_secret_value() for key, value in entry.extra_headers.items()}
        for secret in [self._key, *(v for k, v in self._headers.items() if names_secret(k))]:
            never_log(secret)
        # Whoever reads the stream bounds its silence and its length.
        self._timeout = openai.Timeout(None, connect=CONNECT_SECONDS)
        self._http = openai.DefaultAsyncHttpxClient(
            verify=_tls(), timeout=self._timeout, base_url=entry.model_url
        )
        self._client: ChatOpenAI | None = None

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        temperature: float | None = None,
        user: str = "",
    ) -> AsyncIterator[AIMessageChunk]:
        options: dict[str, Any] = {"tools": [dict(tool) for tool in tools]} if tools else {}
        if temperature is not None:
            options["temperature"] = temperature
        if user:
            options["user"] = user
        begun = False
        try:
            client = await self._chat()
            async with aclosing(cast(Any, client.astream(list(messages), **options))) as chunks:
                async for chunk in chunks:
                    begun = begun or bool(chunk.content or chunk.tool_call_chunks)
                    yield chunk
        except openai.APIError as error:
            if isinstance(error, openai.NotFoundError):
                await self._forget()
            raise self._mapped(error, begun=begun) from error
        except ValueError as error:
            raise self._broken(error) from error

    async def ping(self) -> list[str]:
        try:
            page = await self._sdk().models.list()
        except openai.NotFoundError:
            return []  # it answers; listing models is not part of every endpoint
        except openai.APIError as error:
            raise self._mapped(error, begun=False) from error
        return [model.id for model in page.data]

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _chat(self) -> ChatOpenAI:
        name = await self._model_name()
        if self._client is None or self._client.model_name != name:
            self._client = self._made(name)
        return self._client

    async def _model_name(self) -> str:
        if self._entry.model_name != ASK_ENDPOINT:
            return self._entry.model_name
        if self._cache is None:
            return (await self._served())[0]
        # The endpoint and what it knows us by: everyone who asks with these gets the same list.
        known_by = json.dumps([self._key, self._headers]).encode()
        key = [self._entry.model_url, hashlib.sha256(known_by).hexdigest()]
        return (await self._cache.get("models", key, self._served, who=None, as_type=list[str]))[0]

    async def _served(self) -> list[str]:
        names = await self.ping()
        if not names:
            raise ModelRefused("the endpoint of OPENAI_BASE_URL names no model; set OPENAI_MODEL")
        return names

    async def _forget(self) -> None:
        """The endpoint serves something else than it said: ask again at the next call."""
        if self._cache is not None and self._entry.model_name == ASK_ENDPOINT:
            await self._cache.clear("models")

    def _made(self, model_name: str) -> ChatOpenAI:
        entry = self._entry
        ours = entry.model_url == OPENAI_URL
        # Compatible endpoints know `max_tokens`; OpenAI itself wants the newer name.
        body = {"max_tokens": entry.max_tokens} if entry.max_tokens and not ours else None
        return ReasoningChatOpenAI(
            model=model_name,
            base_url=entry.model_url,
            api_key=SecretStr(self._key),
            temperature=entry.temperature,
            max_completion_tokens=entry.max_tokens if ours else None,
            extra_body=body,
            default_headers=self._headers or None,
            http_client=_unused_sync_client(),
            http_async_client=self._http,
            timeout=self._timeout,
            openai_proxy=None,  # httpx reads the usual proxy variables itself
            max_retries=0,
            stream_usage=True,
            stream_chunk_timeout=None,
            use_responses_api=False,
        )

    def _sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._entry.model_url,
            default_headers=self._headers or None,
            http_client=self._http,
            max_retries=0,
        )

    def _mapped(self, error: openai.APIError, *, begun: bool) -> WaystationError:
        """Our error; the endpoint's own text stays out, it may hold parts of keys and prompts."""
        if isinstance(error, openai.APIStatusError):
            return self._status(error)
        if isinstance(error, openai.APITimeoutError):
            return ModelTimedOut(f"the endpoint of the model '{self._name}' did not answer in time")
        if begun:
            return ModelStreamCut(f"the answer of the model '{self._name}' broke off")
        if isinstance(error, openai.APIConnectionError):
            return ModelUnavailable(f"the endpoint of the model '{self._name}' cannot be reached")
        return ModelUnavailable(f"the endpoint of the model '{self._name}' reported an error")

    def _status(self, error: openai.APIStatusError) -> WaystationError:
        status, name = error.status_code, self._name
        if status == 429:
            after = _retry_after(error.response.headers)
            hint = f"; it asks to wait {after:g} s" if after is not None else ""
            return ModelRateLimited(
                f"the endpoint of the model '{name}' limits requests (429){hint}", retry_after=after
            )
        if status >= 500 or status in (408, 409):
            return ModelUnavailable(f"the endpoint of the model '{name}' failed ({status})")
        if status in (401, 403):
            return ModelRefused(
                f"the endpoint of the model '{name}' refused our key ({status}); check its api_key"
            )
        if status == 404:
            return ModelRefused(
                f"the endpoint of the model '{name}' knows no model '{self._entry.model_name}', "
                "or its address is wrong (404)"
            )
        if _FULL.search(f"{error.code} {error}"):
            return ModelContextFull(f"the conversation is longer than the model '{name}' accepts ({status})")
        code = str(error.code or "")
        reason = f": {code}" if _SAFE_CODE.match(code) else ""
        return ModelRefused(f"the endpoint of the model '{name}' refused the request ({status}){reason}")

    def _broken(self, error: ValueError) -> WaystationError:
        """ChatOpenAI reports an error object in the stream, and what is no JSON, as ValueError."""
        return ModelUnavailable(
            f"the endpoint of the model '{self._name}' sent what is no answer ({type(error).__name__})"
        )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After; a date in it is left alone."""
    try:
        return max(float(headers.get("retry-after", "")), 0.0)
    except ValueError:
        return None
