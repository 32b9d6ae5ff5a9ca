"""Any chat model of LangChain behind our port: its vendor's package talks to the endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from inspect import iscoroutinefunction
from typing import Any, cast

import orjson
import structlog
from langchain_core import exceptions as lc
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from pydantic import ValidationError

from core.correlation import notice
from core.errors import WaystationError
from core.foreign import storable
from core.observability import never_log
from core.observability.redaction import names_secret
from nodes.llm import vendors
from nodes.llm.adapters.answers import texts
from nodes.llm.adapters.bodies import ids_for, kept_of, least, text_of
from nodes.llm.adapters.refusals import Refusal, Refusals
from nodes.llm.errors import ModelRefused, ModelStreamCut, ModelTimedOut, ModelUnavailable
from nodes.llm.models import Model
from nodes.llm.pieces import ALIVE, FIELDS, REASONING, Piece
from nodes.llm.schemas import ToolSchemas
from nodes.llm.settings import ModelEntry

log = structlog.get_logger()

_REASONS = ("finish_reason", "stop_reason", "done_reason")
_CALLS = ("tool_calls", "function_call")
# Blocks of a content that say again what stands in the text and in the calls.
_OURS = frozenset({"text", "tool_use", "tool_call", "tool_call_chunk", "input_json_delta", "function_call"})
# What every chat model of LangChain takes at its call, and what those take whose entry says so.
_BOUND = ("stop", "response_format")
_STATUS = ("status_code", "http_status", "status", "code")
# Errors of langchain-core that say what happened and no status.
_KINDS: tuple[tuple[type[Exception], int], ...] = (
    (lc.ContextOverflowError, 413),
    (lc.ModelAuthenticationError, 401),
    (lc.ModelPermissionDeniedError, 403),
    (lc.ModelNotFoundError, 404),
    (lc.ModelRateLimitError, 429),
    (lc.ModelInvalidRequestError, 400),
    (lc.ModelAPIError, 500),
)


class LangChainModel:
    """A chat model of LangChain.

    Args:
        name: Its name in the catalogue, for errors.
        chat: The chat model.
        entry: Its settings.
        owned: Its connections are closed with this one; else whoever made it closes them.
    """

    def __init__(self, name: str, chat: BaseChatModel, entry: ModelEntry, *, owned: bool = False) -> None:
        self._name = name
        self._chat = chat
        self._entry = entry
        self._owned = owned
        # What a package sends cannot be probed.
        remedy = "look at its model_name and parameters" if entry.provider else ""
        self._refusals = Refusals(name, entry.model_name, remedy=remedy)
        self._schemas = ToolSchemas(entry.kind.schema_mends)

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Mapping[str, Any] = {},
        user: str = "",
    ) -> AsyncIterator[Piece]:
        reader = self._reader()
        try:
            chat = await self._asked(tools, sampling, user)
            async with aclosing(cast(Any, chat.astream(self._sent(messages)))) as chunks:
                async for chunk in chunks:
                    yield reader.read(chunk)
            yield reader.last()
        except Exception as error:  # a vendor's package may raise anything; it becomes an error of ours
            raise (await self._error(error, begun=reader.begun, tools=tools)) from error

    async def ping(self) -> list[str]:
        """Its package has no question that spends no token: what it is made with is all that is known."""
        return [self._entry.model_name]

    async def aclose(self) -> None:
        if self._owned:
            for client in _clients(self._chat):
                await client()

    def _reader(self) -> Reader:
        return Reader()

    async def _asked(self, tools: Sequence[Mapping[str, Any]], sampling: Mapping[str, Any], user: str) -> Any:
        """The chat model as it is asked this time."""
        chat = self._chat
        bound = {name: sampling[name] for name in _BOUND if name in sampling}
        sampling = {name: value for name, value in sampling.items() if name not in _BOUND}
        if known := {name: value for name, value in sampling.items() if name in type(chat).model_fields}:
            if "max_tokens" in known:
                known["max_tokens"] = least(getattr(chat, "max_tokens", None), known["max_tokens"]) or 0
            chat = chat.model_copy(update=known)
        offered = self._with_tools(chat, tools, sampling.get("tool_choice")) if tools else chat
        return offered.bind(**bound) if bound else offered

    def _with_tools(self, chat: BaseChatModel, tools: Sequence[Mapping[str, Any]], choice: Any) -> Any:
        offered = [{"type": "function", **tool} for tool in self._schemas.mended(tools)]
        # LangChain's words: any tool, or the name of one.
        named = choice["function"]["name"] if isinstance(choice, Mapping) else "any"
        try:
            return chat.bind_tools(offered, **({"tool_choice": named} if choice else {}))
        except NotImplementedError:
            notice("parameter_left_out", f"The model '{self._name}' takes no tools; none were offered.")
            return chat

    def _sent(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The conversation, with what this model wants back of its own answers."""
        of = self._entry.of
        ids = ids_for(messages, self._entry.kind, of=of)
        return [_restored(message, of, ids) for message in messages]

    async def _error(
        self, error: Exception, *, begun: bool, tools: Sequence[Mapping[str, Any]]
    ) -> WaystationError:
        """Our error; the vendor's own text stays out, it may hold parts of keys and prompts."""
        if isinstance(error, WaystationError):
            return error
        endpoint, status = f"the endpoint of the model '{self._name}'", _status_of(error)
        kinds = " ".join(kind.__name__.lower() for kind in type(error).__mro__)
        if not status and "timeout" in kinds:
            return ModelTimedOut(f"{endpoint} did not answer in time")
        if not status and begun:
            return ModelStreamCut(f"the answer of the model '{self._name}' broke off")
        body = getattr(error, "body", None) or (str(error) if status else None)
        if body is not None:
            headers = getattr(getattr(error, "response", None), "headers", None)
            found = headers if hasattr(headers, "get") else {}
            return self._refusals.error(Refusal.of(body, status=status, headers=found), tools)
        if isinstance(error, OSError) or "connect" in kinds or "transporterror" in kinds:
            return ModelUnavailable(f"{endpoint} cannot be reached")
        log.warning("model_failed", model=self._name, kind=type(error).__name__)
        return ModelUnavailable(f"{endpoint} gave its package no answer ({type(error).__name__})")


class Reader:
    """Messages of LangChain become pieces.

    Args:
        own_end: The endpoint itself says why its answers end: one without a reason was cut. Of other
            packages nothing is known; where theirs end without an error, the answer is whole.

    Attributes:
        begun: Something of the answer has come.
    """

    def __init__(self, *, own_end: bool = False) -> None:
        self._own_end = own_end
        self._finish = ""
        self._called = False
        self._usage: UsageMetadata | None = None
        self._kept: dict[str, Any] = {}
        self.begun = False

    def read(self, message: BaseMessage) -> Piece:
        """A piece of the answer. A package may give a message of any kind: then its words count."""
        if not isinstance(message, AIMessage):
            message = AIMessage(content=message.content)
        text, thought = texts(message.content)
        more, metadata = message.additional_kwargs, message.response_metadata
        calls = getattr(message, "tool_call_chunks", None) or _whole_calls(message)
        self._called = self._called or bool(calls)
        thought = thought or str(more.get(REASONING) or "")
        shown = {name: value for name, value in ((REASONING, thought), (FIELDS, more.get(FIELDS))) if value}
        self.begun = self.begun or bool(text or calls or shown)
        if not self._own_end:
            self._keep(message)
        self._count(message.usage_metadata)
        return Piece(text, calls=calls, more=shown, metadata=self._ended(metadata), usage=self._usage)

    def last(self) -> Piece:
        """The piece behind the last message."""
        if self._own_end:
            return ALIVE
        finish = self._finish or ("tool_calls" if self._called else "stop")
        kept = {FIELDS: self._kept} if self._kept else {}
        return Piece(more=kept, metadata={"finish_reason": finish})

    def _ended(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Why the answer ends, and who gave it, where a message says so."""
        if not metadata:
            return metadata
        reason = next((str(metadata[name]) for name in _REASONS if metadata.get(name)), "")
        self._finish = reason or self._finish
        served = metadata.get("model_name") or metadata.get("model")
        return {"finish_reason": reason, **({"model_name": served} if served else {})}

    def _count(self, usage: UsageMetadata | None) -> None:
        """A package tells what came on top; an endpoint itself may tell the whole again."""
        if usage:
            self._usage = usage if self._own_end else add_usage(self._usage, usage)

    def _keep(self, message: AIMessage) -> None:
        """What the package may want back with this answer: sealed reasoning, signatures."""
        if isinstance(message.content, list):
            blocks = [
                one for one in message.content if isinstance(one, dict) and one.get("type") not in _OURS
            ]
            self._kept.setdefault("content", []).extend(blocks)
        for name, value in message.additional_kwargs.items():
            if name not in _CALLS:
                before = self._kept.setdefault("more", {}).get(name)
                joins = isinstance(before, (str, list)) and isinstance(value, type(before))
                self._kept["more"][name] = before + value if joins else value


def connected(model: Model, *_: object) -> LangChainModel:
    """The model of an entry with a `provider`.

    Raises:
        ModelRefused: Its class cannot be made of what the entry says.
    """
    entry = cast(ModelEntry, model.entry)
    if isinstance(entry.provider, str):
        return LangChainModel(model.name, _made(model.name, entry), entry, owned=True)
    return LangChainModel(model.name, entry.provider, entry)


def _made(name: str, entry: ModelEntry) -> BaseChatModel:
    options = entry.arguments()
    for key, value in options.items():
        if isinstance(value, str) and names_secret(key):
            never_log(value)
    try:
        return vendors.class_of(entry.provider)(**options)
    except Exception as error:  # noqa: BLE001 - a vendor's package may raise anything
        places = error.errors(include_input=False) if isinstance(error, ValidationError) else []
        named = sorted({".".join(map(str, place["loc"])) for place in places} - {""})
        about = ", ".join(named) or "its api_key and parameters"
        raise ModelRefused(
            f"the model '{name}' cannot be made of {entry.provider} ({type(error).__name__}); look at {about}"
        ) from None


def _clients(chat: BaseChatModel) -> list[Callable[[], Awaitable[object]]]:
    """What closes the asynchronous clients that a package keeps in its chat model, or in a part of it."""
    held = [*vars(chat).values(), *(chat.__pydantic_private__ or {}).values()]
    found: dict[int, Any] = {}
    for one in [*held, *(getattr(one, "_client", None) for one in held)]:
        close = getattr(one, "aclose", None) or getattr(one, "close", None)
        if iscoroutinefunction(close):
            found[id(one)] = close
    return list(found.values())


def _status_of(error: Exception) -> int:
    """The HTTP status behind an error of a package; 0 where it does not say."""
    for kind, status in _KINDS:
        if isinstance(error, kind):
            return status
    for one in (error, error.__cause__, getattr(error, "response", None)):
        found: list[Any] = [getattr(one, name, None) for name in _STATUS]
        if isinstance(one, Mapping):
            found.append(one.get("ResponseMetadata", {}).get("HTTPStatusCode"))
        told = next((n for n in found if isinstance(n, int) and 300 <= n < 600), 0)
        if told:
            return int(told)
    return 0


def _whole_calls(message: AIMessage) -> list[dict[str, Any]]:
    """The calls of a message that came whole, as parts of a stream; also those that were no JSON."""
    whole = [{**call, "args": orjson.dumps(storable(call["args"])).decode()} for call in message.tool_calls]
    found = [*whole, *message.invalid_tool_calls]
    return [{**call, "index": index} for index, call in enumerate(found)]


def _restored(message: BaseMessage, of: str, ids: Mapping[str, str]) -> BaseMessage:
    """A message with the ids that the model knows, and what it wants back of its own answers."""
    if isinstance(message, ToolMessage):
        call_id = message.tool_call_id
        return ToolMessage(
            content=text_of(message),
            tool_call_id=ids.get(call_id, call_id),
            name=message.name,
            status=message.status,
        )
    if isinstance(message, HumanMessage) and isinstance(message.content, list):
        return message.model_copy(update={"content": [_block(part) for part in message.content]})
    if not isinstance(message, AIMessage):
        return message
    kept = kept_of(message)
    fields = kept.get("fields", {}) if kept.get("of") == of else {}
    text, blocks = text_of(message), fields.get("content")
    spoken = [{"type": "text", "text": text}] if text else []
    calls = [{**call, "id": ids[call["id"] or ""]} for call in message.tool_calls]
    return AIMessage(
        content=[*blocks, *spoken] if blocks else text,
        tool_calls=calls,
        additional_kwargs=fields.get("more", {}),
    )


def _block(part: Any) -> Any:
    """A content part of chat completions as LangChain's own block, which its packages translate."""
    if not isinstance(part, Mapping):
        return part
    kind = {"image_url": "image", "file": "file"}.get(str(part.get("type")), "")
    held = part.get(str(part.get("type"))) if kind else None
    if not isinstance(held, Mapping):
        return part
    url = str(held.get("url") or held.get("file_data") or "")
    head, comma, data = url.partition(";base64,")
    if not comma or not head.startswith("data:"):
        return part
    named = {"extras": {"filename": held["filename"]}} if held.get("filename") else {}
    return {"type": kind, "mime_type": head.removeprefix("data:"), "base64": data, **named}
