"""Any OpenAI-compatible endpoint, through langchain-openai. One kept client per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import openai
import orjson
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr, SecretStr

from core.cache import Cache
from core.errors import WaystationError
from core.observability import never_log
from core.observability.redaction import names_secret
from nodes.llm.adapters.answers import fields_in, kept_fields, reasoning_in
from nodes.llm.adapters.bodies import Bodies, encoded
from nodes.llm.adapters.chat import ServedName
from nodes.llm.adapters.http import CONNECT_SECONDS, tls
from nodes.llm.adapters.langchain import LangChainModel, Reader
from nodes.llm.models import Model
from nodes.llm.pieces import FIELDS, REASONING
from nodes.llm.profiles import Profile
from nodes.llm.settings import LLMSettings, ModelEntry


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
        body = self._bodies.made(messages, model=kwargs.get("model") or self.model_name, **chosen)
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


class OpenAIModel(LangChainModel):
    """A model behind an endpoint that speaks OpenAI's chat completions; its chat model knows its profile.

    Args:
        name: Its name in the catalogue, for errors.
        entry: Its settings.
        cache: Keeps which models the endpoint serves, where the entry leaves the choice to it.
    """

    def __init__(self, name: str, entry: ModelEntry, *, cache: Cache | None = None) -> None:
        key = entry.api_key.get_secret_value() or "none"
        headers = {name: value.get_secret_value() for name, value in entry.extra_headers.items()}
        for secret in [key, *(value for name, value in headers.items() if names_secret(name))]:
            never_log(secret)
        # Whoever reads the stream bounds its silence and its length.
        timeout = openai.Timeout(None, connect=CONNECT_SECONDS)
        self._http = openai.DefaultAsyncHttpxClient(verify=tls(), timeout=timeout, base_url=entry.model_url)
        known: dict[str, Any] = {
            "base_url": entry.model_url,
            "default_headers": headers or None,
            "max_retries": 0,
        }
        self._sdk = openai.AsyncOpenAI(api_key=key, http_client=self._http, **known)
        chat = ProfiledChatOpenAI.over(
            Bodies(entry),
            entry.kind,
            model=entry.model_name,
            api_key=SecretStr(key),
            http_client=_unused_sync_client(),
            http_async_client=self._http,
            timeout=timeout,
            openai_proxy=None,  # httpx reads the usual proxy variables itself
            stream_usage=True,
            stream_chunk_timeout=None,
            use_responses_api=False,
            **known,
        )
        super().__init__(name, chat, entry)
        self._names = ServedName(entry, self.ping, cache)

    async def ping(self) -> list[str]:
        try:
            page = await self._sdk.models.list()
        except openai.NotFoundError:
            return []  # it answers; listing models is not part of every endpoint
        except openai.APIError as error:
            raise (await self._error(error, begun=False, tools=())) from error
        return [model.id for model in page.data]

    async def aclose(self) -> None:
        await self._http.aclose()

    def _reader(self) -> Reader:
        return Reader(own_end=True)

    async def _asked(self, tools: Sequence[Mapping[str, Any]], sampling: Mapping[str, Any], user: str) -> Any:
        options: dict[str, Any] = {"sampling": sampling, "user": user or None}
        if tools:
            options["tools"] = self._schemas.mended(tools)
        return self._chat.bind(model=await self._names.get(), **options)

    def _sent(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        return list(messages)  # `Bodies` gives back what the endpoint wants

    async def _error(
        self, error: Exception, *, begun: bool, tools: Sequence[Mapping[str, Any]]
    ) -> WaystationError:
        if isinstance(error, openai.NotFoundError):
            await self._names.forget()
        return await super()._error(error, begun=begun, tools=tools)


def connected(model: Model, _: LLMSettings, cache: Cache | None) -> OpenAIModel:
    """The client of a model with an endpoint, where langchain-openai is asked for."""
    return OpenAIModel(model.name, cast(ModelEntry, model.entry), cache=cache)
