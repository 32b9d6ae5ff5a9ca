"""LangServe's chat playground under /chat: messages in, a message out.

The content of a message is a text, or a list of parts; images and files in it become files of the thread.

The playground sends no thread but the whole conversation, each time. The thread
of a conversation is found again by its text: after each turn the messages so
far, with the answer, are remembered with their thread. A conversation that was
edited, or that nobody remembers any more, begins a new thread.

A turn that waits for a person says in its text what waits and how to answer. The
answer is `resume`, as under /agent, or on a page that has nothing but messages
the same JSON as the next message.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter
from langchain_core.messages import AIMessage, AIMessageChunk
from langserve import CustomUserType
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    RootModel,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema

from core.access import Principal
from core.errors import WaystationError
from core.foreign import is_answer
from graph.runs.streams import Handle
from nodes.file_storage import FileManager
from server.attachments import Content, read_content, stored
from server.errors import InvalidRequest
from server.facade import Facade, GetAgent, add_langserve
from server.questions import told_in_chat
from server.requests import AgentInput, json_answer, turn_request

REMEMBERED = 1000


class ChatMessage(BaseModel):
    """A message of the conversation: of a person or of the agent. System and tool messages are ours alone."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["human", "ai"]
    # In schemas a text: the playground shows nothing on a union.
    content: str | SkipJsonSchema[list[Any]] = ""

    @field_validator("content")
    @classmethod
    def _readable(cls, given: str | list[Any]) -> str | list[Any]:
        try:
            read_content(given)
        except InvalidRequest as error:
            raise ValueError(error.detail) from None
        return given

    def read(self) -> Content:
        """Its text, and the files in it."""
        return read_content(self.content)

    def says_something(self) -> bool:
        content = self.read()
        return bool(content.text.strip() or content.files)


class ChatInput(CustomUserType):
    """The conversation so far; the last message is the question. With `resume` it may be left out."""

    # The playground knows a chat by a schema that has messages, and shows nothing else.
    model_config = ConfigDict(extra="forbid", json_schema_extra={"required": ["messages"]})

    messages: list[ChatMessage] = Field(
        default_factory=list, max_length=2000, json_schema_extra={"minItems": 1}
    )
    resume: SkipJsonSchema[Annotated[Any, AfterValidator(json_answer)]] = None

    @model_validator(mode="after")
    def _asks_or_answers(self) -> ChatInput:
        last = self.messages[-1] if self.messages else None
        asks = last is not None and last.type == "human"
        if is_answer(self.resume):
            if asks:
                raise ValueError("resume is an answer; leave out the message behind it")
        elif last is None or not asks or not last.says_something():
            raise ValueError("the last message must be a human one with text")
        return self

    def said(self) -> list[tuple[str, str]]:
        """The conversation, as it is remembered."""
        return [(message.type, message.read().mark()) for message in self.messages]


class ChatOutput(RootModel[AIMessage]):
    """The answer. Its schema is told in the one form by which the playground knows an AI message."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        properties = {"type": {"type": "string", "enum": ["ai"]}, "content": {"type": "string"}}
        return {
            "title": "ChatOutput",
            "anyOf": [{"type": "object", "title": "AIMessage", "properties": properties}],
        }


class Conversations:
    """Which thread continues which conversation, for the last thousand of this process."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._threads: OrderedDict[bytes, str] = OrderedDict()
        self._size = size

    def keep(self, who: Principal, messages: list[tuple[str, str]], thread_id: str) -> None:
        self._threads[_key(who, messages)] = thread_id
        while len(self._threads) > self._size:
            self._threads.popitem(last=False)

    def take(self, who: Principal, messages: list[tuple[str, str]]) -> str | None:
        """The thread that stands exactly here. It is forgotten: from now on it has gone further."""
        return self._threads.pop(_key(who, messages), None)


def _key(who: Principal, messages: list[tuple[str, str]]) -> bytes:
    return hashlib.sha256(orjson.dumps([who.id, messages])).digest()


class ChatRunnable(Facade[ChatInput, AIMessage]):
    """The agent as a chat model: the text of a turn, as it comes."""

    name = "chat"
    input_model = ChatInput
    output_model = ChatOutput
    # Nobody can be asked on this page, so what needs a person's word is refused.
    approval = "deny"

    def __init__(self, agent: GetAgent) -> None:
        super().__init__(agent)
        self._known = Conversations()

    async def begin(self, given: ChatInput, who: Principal, wishes: Mapping[str, Any]) -> Handle:
        said = given.said()
        before = said if is_answer(given.resume) else said[:-1]
        remembered = None if wishes.get("thread_id") else self._known.take(who, before)
        thread = wishes.get("thread_id") or remembered
        try:
            asked = await self._asked(who, given, thread, wishes.get("on_busy"))
            return await self._agent().begin(turn_request(who, asked, {**wishes, "thread_id": thread}))
        except WaystationError:
            if remembered:  # nothing has happened on it: the next try finds it where it was
                self._known.keep(who, before, remembered)
            raise

    def answer(self, given: ChatInput, run: Handle, reply: dict[str, Any]) -> AIMessage:
        text = "\n\n".join(part for part in (reply["answer"], waiting_text(reply)) if part)
        self._known.keep(run.request.principal, [*given.said(), ("ai", text)], run.thread_id)
        return AIMessage(text, id=run.id, response_metadata=waiting_data(reply))

    async def pieces(self, given: ChatInput, run: Handle) -> AsyncIterator[AIMessage]:
        shown = ""
        async for event in run.events():
            if text := spoken(event, shown):
                shown += text
                data = waiting_data(event) if event["type"] == "done" else {}
                yield AIMessageChunk(content=text, id=run.id, response_metadata=data)
        self._known.keep(run.request.principal, [*given.said(), ("ai", shown)], run.thread_id)

    async def _asked(
        self, who: Principal, given: ChatInput, thread: str | None, on_busy: str | None
    ) -> AgentInput:
        """The answer to what waits, or what is said."""
        if is_answer(given.resume):
            return AgentInput.model_construct(resume=given.resume)
        content = given.messages[-1].read()
        message = content.text
        answer = _json_of(message) if thread and on_busy in (None, "reject") else None
        if thread and answer is not None:
            found = await self._agent().threads.get(who, thread)
            if found["status"] == "interrupted":
                return AgentInput.model_construct(resume=answer)
        files: Sequence[str] = ()
        if content.files:
            manager = await self._agent().container.get(FileManager)
            files = await stored(manager, who, content, of=[part for said in given.said() for part in said])
            # A turn needs something that was said.
            message = message if message.strip() else " ".join(f"[{each.name}]" for each in content.files)
        return AgentInput.model_construct(message=message, files=list(files))


def spoken(event: Mapping[str, Any], shown: str) -> str:
    """What a person reads of an event, given what was shown before it."""
    if event["type"] == "token":
        return str(event["text"])
    if event["type"] == "error":
        return f"{chr(10) * 2 if shown else ''}{event['title']}: {event['detail']}"
    if event["type"] == "done":
        parts = ["" if shown else str(event["answer"]), waiting_text(event)]
        text = "\n\n".join(part for part in parts if part)
        return f"\n\n{text}" if shown and text else text
    return ""


def waiting_text(reply: Mapping[str, Any]) -> str:
    """What waits for a person, in words; empty where nothing does."""
    return told_in_chat(reply["interrupts"], reply["thread_id"]) if reply.get("interrupts") else ""


def waiting_data(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs, without keys `text`: LangChain's JavaScript swallows an object that has one."""
    if not reply.get("interrupts"):
        return {}
    asked = [{key: value for key, value in each.items() if key != "text"} for each in reply["interrupts"]]
    return {**{key: reply[key] for key in ("status", "thread_id", "run_id")}, "interrupts": asked}


def _json_of(message: str) -> Any:
    """What the message is as JSON, where it may be an answer: an object or a list."""
    if not message.lstrip().startswith(("{", "[")):
        return None
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError:
        return None


def chat_router(agent: GetAgent) -> APIRouter:
    """The routes under /chat."""
    router = APIRouter()
    add_langserve(router, ChatRunnable(agent), "/chat", playground_type="chat")
    return router
