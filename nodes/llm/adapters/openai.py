"""Any OpenAI-compatible endpoint, through langchain-openai. One kept client per model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any, cast

import openai
import orjson
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr, SecretStr

from core.cache import Cache
from core.errors import WaystationError
from core.observability import never_log
from core.observability.redaction import names_secret
from nodes.llm.adapters.answers import fields_in, kept_fields, reasoning_in
from nodes.llm.adapters.bodies import Bodies, encoded
from nodes.llm.adapters.http import CONNECT_SECONDS, tls
from nodes.llm.adapters.refusals import Refusal, Refusals
from nodes.llm.adapters.served import ServedName
from nodes.llm.errors import ModelStreamCut, ModelTimedOut, ModelUnavailable
from nodes.llm.pieces import FIELDS, REASONING
from nodes.llm.profile import Profile
from nodes.llm.schemas import ToolSchemas
from nodes.llm.settings import ModelEntry


@cache
def _unused_sync_client() -> openai.DefaultHttpxClient:
    """ChatOpenAI makes a synchronous client of its own unless it is given one; we never call it."""
    return openai.DefaultHttpxClient(verify=tls())


class ProfiledChatOpenAI(ChatOpenAI):
    """ChatOpenAI that sends what a profile says, and keeps what it says to keep."""

    _bodies: Bodies = PrivateAttr()
    _profile: Profile = PrivateAttr()

    @classmethod
    def over(cls, bodies: Bodies, profile: Profile, **options: Any) -> ProfiledChatOpenAI:
        made = cls(**options)
        made._bodies, made._profile = bodies, profile
        return made

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        chosen = {key: kwargs[key] for key in ("tools", "sampling", "user") if kwargs.get(key) is not None}
        messages = self._convert_input(input_).to_messages()
        body = self._bodies.made(messages, model=self.model_name, **chosen)
        # Encoded here once: what cannot be is mended, and is no fault of the endpoint's.
        payload: dict[str, Any] = orjson.loads(encoded(body))
        return payload

    def _convert_chunk_to_generation_chunk(
        self,
        chunk: dict[str, Any],
        default_chunk_class: type[Any],
        base_generation_info: dict[str, Any] | None,
    ) -> ChatGenerationChunk | None:
        choices = chunk.get("choices") or [{}]
        delta = choices[0]["delta"] = choices[0].get("delta") or {}
        found = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        if found is not None:
            if reasoning := reasoning_in(delta):
                found.message.additional_kwargs[REASONING] = reasoning
            if fields := fields_in(delta, kept_fields(self._profile)):
                found.message.additional_kwargs[FIELDS] = fields
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
        self._key = entry.api_key.get_secret_value() or "none"
        self._headers = {key: value.get_secret_value() for key, value in entry.extra_headers.items()}
        for secret in [self._key, *(v for k, v in self._headers.items() if names_secret(k))]:
            never_log(secret)
        # Whoever reads the stream bounds its silence and its length.
        self._timeout = openai.Timeout(None, connect=CONNECT_SECONDS)
        self._http = openai.DefaultAsyncHttpxClient(
            verify=tls(), timeout=self._timeout, base_url=entry.model_url
        )
        self._served = ServedName(entry, self.ping, cache)
        self._refusals = Refusals(name, entry.model_name)
        self._bodies = Bodies(entry)
        self._schemas = ToolSchemas(entry.kind.schema_mends)
        self._client: ChatOpenAI | None = None

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Mapping[str, float] = {},
        user: str = "",
    ) -> AsyncIterator[AIMessageChunk]:
        options: dict[str, Any] = {"sampling": sampling, "user": user or None}
        if tools:
            options["tools"] = self._schemas.mended(tools)
        begun = False
        try:
            client = await self._chat()
            async with aclosing(cast(Any, client.astream(list(messages), **options))) as chunks:
                async for chunk in chunks:
                    begun = begun or bool(chunk.content or chunk.tool_call_chunks)
                    yield chunk
        except openai.APIError as error:
            if isinstance(error, openai.NotFoundError):
                await self._served.forget()
            raise self._mapped(error, begun=begun, tools=tools) from error
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
        name = await self._served.get()
        if self._client is None or self._client.model_name != name:
            self._client = self._made(name)
        return self._client

    def _made(self, model_name: str) -> ChatOpenAI:
        return ProfiledChatOpenAI.over(
            self._bodies,
            self._entry.kind,
            model=model_name,
            base_url=self._entry.model_url,
            api_key=SecretStr(self._key),
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

    def _mapped(
        self, error: openai.APIError, *, begun: bool, tools: Sequence[Mapping[str, Any]] = ()
    ) -> WaystationError:
        """Our error; the endpoint's own text stays out, it may hold parts of keys and prompts."""
        if isinstance(error, openai.APIStatusError):
            response = error.response
            refusal = Refusal.of(error.body, status=response.status_code, headers=response.headers)
            return self._refusals.error(refusal, tools)
        if isinstance(error, openai.APITimeoutError):
            return ModelTimedOut(f"the endpoint of the model '{self._name}' did not answer in time")
        if begun:
            return ModelStreamCut(f"the answer of the model '{self._name}' broke off")
        if isinstance(error, openai.APIConnectionError):
            return ModelUnavailable(f"the endpoint of the model '{self._name}' cannot be reached")
        return self._refusals.error(Refusal.of(error.body, status=0), tools)

    def _broken(self, error: ValueError) -> WaystationError:
        """ChatOpenAI reports an error object in the stream, and what is no JSON, as ValueError."""
        return ModelUnavailable(
            f"the endpoint of the model '{self._name}' sent what is no answer ({type(error).__name__})"
        )
