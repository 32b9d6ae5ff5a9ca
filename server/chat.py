"""LangServe's chat playground under /chat: messages in, a message out.

The content of a message is a text, or a list of parts; images and files in it become files of the thread.

The playground sends no thread but the whole conversation, each time. Where it goes on
is `server.conversations`' to find.

A turn that waits for a person says in its text what waits and how to answer. The
answer is `resume`, as under /agent, or on a page that has nothing but messages
the same JSON, or `approve` or `reject`, as the next message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

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
from graph.errors import problem_of
from graph.runs.streams import Handle
from nodes.file_storage import FileManager
from server.attachments import Content, read_content, stored
from server.conversations import SentMessage, Turn, begin, waiting_text
from server.errors import InvalidRequest, UnsupportedParameter
from server.facade import Facade, GetAgent, add_langserve
from server.repeats import WithoutRepeats
from server.requests import json_answer


class ChatMessage(BaseModel, extra="ignore"):
    """A message of the conversation: of a person or of the agent. System and tool messages are ours alone."""

    type: Literal["human", "ai"]
    # In schemas a text: the playground shows nothing on a union.
    content: str | SkipJsonSchema[list[Any]] = ""

    @field_validator("content")
    @classmethod
    def _readable(cls, given: str | list[Any]) -> str | list[Any]:
        try:
            read_content(given)
        except (InvalidRequest, UnsupportedParameter) as error:
            raise ValueError(error.detail) from None
        return given

    def read(self) -> Content:
        """Its text, and the files in it."""
        return read_content(self.content)

    def says_something(self) -> bool:
        content = self.read()
        return bool(content.text.strip() or content.files)

    def said(self) -> SentMessage:
        """As a conversation is compared; a turn needs something that was said."""
        content = self.read()
        text = content.text if content.text.strip() or not content.files else content.names()
        role: Literal["user", "assistant"] = "user" if self.type == "human" else "assistant"
        return SentMessage(role, text, others=content.marks())


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

    def turn(self, options: Mapping[str, Any], files: Sequence[str] = ()) -> Turn:
        """What is asked for, and what was said before.

        Args:
            files: Keys of the files that came with the last message.
        """
        said = [message.said() for message in self.messages]
        if is_answer(self.resume):
            return Turn(said, None, options, resume=self.resume)
        return Turn(said[:-1], said[-1], options, files=tuple(files))


class ChatOutput(RootModel[AIMessage]):
    """The answer. Its schema is told in the one form by which the playground knows an AI message."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        properties = {
            "type": {"type": "string", "enum": ["ai"]},
            "content": {"type": "string"},
            # A turn that was refused has none.
            "id": {"type": ["string", "null"]},
        }
        return {
            "title": "ChatOutput",
            "anyOf": [
                {
                    "type": "object",
                    "title": "AIMessage",
                    "properties": properties,
                    "additionalProperties": True,
                }
            ],
        }


class ChatRunnable(Facade[ChatInput, AIMessage]):
    """The agent as a chat model: the text of a turn, as it comes."""

    name = "chat"
    input_model = ChatInput
    output_model = ChatOutput
    # Nobody can be asked on this page, so what needs a person's word is refused.
    approval = "deny"

    async def begin(self, given: ChatInput, who: Principal, options: Mapping[str, Any]) -> Handle:
        files: Sequence[str] = ()
        if given.messages and (content := given.messages[-1].read()).files:
            manager = await self._agent().container.get(FileManager)
            files = await stored(manager, who, content, of=[_mark(message) for message in given.messages])
        return await begin(self._agent(), who, given.turn(options, files))

    def answer(self, given: ChatInput, run: Handle, reply: dict[str, Any]) -> AIMessage:
        text = "\n\n".join(part for part in (reply["answer"], waiting_text(reply)) if part)
        return AIMessage(text, id=run.id, response_metadata=waiting_data(reply))

    def failed(self, error: WaystationError, run: Handle | None) -> AIMessage:
        text = spoken({"type": "error", **problem_of(error)}, "")
        return AIMessage(
            text,
            id=run.id if run else None,
            response_metadata={"status": "failed", "error": problem_of(error)},
        )

    async def pieces(self, events: AsyncIterator[dict[str, Any]], run: Handle) -> AsyncIterator[AIMessage]:
        shown, repeats = "", WithoutRepeats()
        async for event in events:
            if (told := repeats.of(event)) and (text := spoken(told, shown)):
                shown += text
                data = waiting_data(event) if event["type"] == "done" else {}
                yield AIMessageChunk(content=text, id=run.id, response_metadata=data)


def _mark(message: ChatMessage) -> str:
    content = message.read()
    return "\0".join([message.type, content.text, *content.marks()])


def spoken(event: Mapping[str, Any], shown: str) -> str:
    """What a person reads of an event, given what was shown before it."""
    if event["type"] == "token":
        return str(event["delta"])
    if event["type"] == "error":
        return f"{chr(10) * 2 if shown else ''}{event['title']}: {event['detail']}"
    if event["type"] == "done":
        parts = ["" if shown else str(event["answer"]), waiting_text(event)]
        text = "\n\n".join(part for part in parts if part)
        return f"\n\n{text}" if shown and text else text
    return ""


def waiting_data(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs."""
    if not reply.get("interrupts"):
        return {}
    return {key: reply[key] for key in ("status", "thread_id", "run_id", "interrupts")}


def chat_router(agent: GetAgent) -> APIRouter:
    """The routes under /chat."""
    router = APIRouter()
    add_langserve(router, ChatRunnable(agent), "/chat", playground_type="chat")
    return router
