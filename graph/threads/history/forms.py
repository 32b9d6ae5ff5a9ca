"""The lines of an exported thread. The format belongs to no database and to no library.

thread    first: format, version and what the thread is called
file      what is known of a file; its content follows in `part` lines
part      a piece of the content of the file before it, in base64
message   one of the transcript, in their order
window    a message of the state, which is what the next model call sees
state     what else the state holds
end       last: how many there were of each, so that a cut export is noticed
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from core.errors import TooLarge
from core.foreign import fault_in
from graph.threads.history.errors import ExportInvalid

FORMAT = "waystation-thread"
VERSION = 1
PART_BYTES = 384 * 1024
LINE_BYTES = 8 * 1024 * 1024

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
OWN_NAMES = frozenset({"seq", "id", "role", "text", "run_id", "created_at"})


class Line(BaseModel, extra="forbid"):
    """What every line has. An unknown field is an error: a newer release wrote it, and it means something."""


class ThreadLine(Line):
    type: Literal["thread"]
    format: Literal["waystation-thread"]
    version: Literal[1]
    id: Id
    title: Annotated[Text, Field(max_length=200)]
    tags: list[str] = Field(max_length=20)
    created_at: AwareDatetime
    updated_at: AwareDatetime


class CallLine(BaseModel):
    """A tool call of an answer."""

    id: str | None = None
    name: str
    arguments: dict[str, Any] = {}


class Extra(BaseModel, extra="allow"):
    """What may stand beside a text. Further names are kept as they are, except those of the message."""

    tool_calls: list[CallLine] = []
    tool_call_id: str | None = None
    name: str | None = None
    tool: str | None = None
    status: str = "ok"
    citations: list[dict[str, Any]] = []
    files: list[str | dict[str, Any]] = []
    partial: bool = False

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, data: Any) -> Any:
        taken = sorted(OWN_NAMES & data.keys()) if isinstance(data, Mapping) else []
        if taken:
            raise ValueError(f"'{taken[0]}' is a field of the message itself")
        return data


def checked_extra(value: dict[str, Any]) -> dict[str, Any]:
    """The value itself, when everything that reads a message can read it.

    Raises:
        ValueError: It is not so.
    """
    if fault := fault_in(value, "extra", weight=None):
        raise ValueError(fault)
    Extra.model_validate(value)
    return value


class MessageLine(Line):
    type: Literal["message"]
    id: Id
    role: Literal["user", "assistant", "tool", "system"]
    text: Text
    extra: Annotated[dict[str, Any], AfterValidator(checked_extra)]
    created_at: AwareDatetime


class FileLine(Line):
    type: Literal["file"]
    key: Key
    name: Text
    media_type: str = Field(max_length=200)
    size: int = Field(ge=0)
    origin: Literal["user", "tool"]
    tags: dict[str, str]
    etag: str = Field(max_length=128)


class PartLine(Line):
    type: Literal["part"]
    data: str


class WindowLine(Line):
    type: Literal["window"]
    message: dict[str, Any]


class StateLine(Line):
    type: Literal["state"]
    summary: Text
    files: list[Key]
    unfinished: bool


class EndLine(Line):
    type: Literal["end"]
    messages: Count
    files: Count
    window: Count


AnyLine = Annotated[
    ThreadLine | MessageLine | FileLine | PartLine | WindowLine | StateLine | EndLine,
    Field(discriminator="type"),
]
LINE: TypeAdapter[AnyLine] = TypeAdapter(AnyLine)

_CLASSES: Mapping[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "ai": AIMessage,
    "tool": ToolMessage,
    "system": SystemMessage,
}
_COMMON = ("content", "additional_kwargs", "response_metadata", "name", "id")
_OWN: Mapping[str, tuple[str, ...]] = {
    "ai": ("tool_calls", "invalid_tool_calls", "usage_metadata"),
    "tool": ("tool_call_id", "status"),
}


def message_as_json(message: BaseMessage) -> dict[str, Any]:
    """A message of the state: its type, and the fields that are not empty."""
    found = message.model_dump(mode="json")
    names = (*_COMMON, *_OWN.get(message.type, ()))
    kept = {name: found[name] for name in names if found.get(name) not in (None, {}, [])}
    return {"type": message.type, "content": "", **kept}


def message_from_json(data: Mapping[str, Any]) -> BaseMessage:
    """The opposite of `message_as_json`.

    Raises:
        ValueError: It is no such message.
    """
    kind = str(data.get("type"))
    if kind not in _CLASSES:
        raise ValueError(f"a message has the type human, ai, tool or system, not {kind[:40]!r}")
    if fault := fault_in(dict(data), "message", weight=None):
        raise ValueError(fault)
    names = {"type", *_COMMON, *_OWN.get(kind, ())}
    unknown = sorted(str(name) for name in data.keys() - names)
    if unknown:
        raise ValueError(f"a message of type {kind} has no field '{unknown[0][:40]}'")
    message = _CLASSES[kind].model_validate({k: v for k, v in data.items() if k != "type"})
    if not message.id or len(message.id) > 128:
        raise ValueError("a message needs an id of 1 to 128 characters")
    _check_content(message.content)
    checked_extra(message.additional_kwargs.get("waystation") or {})
    return message


def _check_content(content: Any) -> None:
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict) and not isinstance(part.get("text", ""), str):
            raise ValueError("content: the text of a part is no text")  # noqa: TRY004 - one kind of refusal


DEPTH = 64
L = TypeVar("L", bound=Line)


class Lines:
    """Reads line by line: `next` looks at the coming one, `take` goes past it.

    `number` and `size` are those of the line that was taken last.
    """

    def __init__(self, chunks: AsyncIterator[bytes], *, most_bytes: int | None = None) -> None:
        self._texts = _split(chunks, most_bytes)
        self._next: AnyLine | None = None
        self._next_size = 0
        self._read = 0
        self.number = 0
        self.size = 0

    async def next(self) -> AnyLine:
        """The coming line.

        Raises:
            ExportInvalid: It is not one of the format, or there is none.
        """
        if self._next is None:
            text = await anext(self._texts, None)
            self._read += 1
            if text is None:
                raise ExportInvalid(self._read, "the export ends here; its last line has the type 'end'")
            self._next, self._next_size = _parsed(text, self._read), len(text)
        return self._next

    async def take(self, kind: type[L]) -> L:
        """The coming line, which has to be of this kind.

        Raises:
            ExportInvalid: It is not.
        """
        found = await self.next()
        if not isinstance(found, kind):
            raise ExportInvalid(self._read, f"a line of the type '{found.type}' cannot stand here")
        self._next, self.number, self.size = None, self._read, self._next_size
        return found

    async def finish(self) -> None:
        """Make sure that nothing comes any more.

        Raises:
            ExportInvalid: Something does.
        """
        if await anext(self._texts, None) is not None:
            raise ExportInvalid(self._read + 1, "nothing may stand behind the line of the type 'end'")


async def content_of(lines: Lines) -> AsyncIterator[bytes]:
    """The content that the coming `part` lines hold."""
    while isinstance(await lines.next(), PartLine):
        part = await lines.take(PartLine)
        try:
            yield base64.b64decode(part.data, validate=True)
        except (binascii.Error, ValueError):
            raise ExportInvalid(lines.number, "data: is not base64") from None


def problem_in(error: ValueError) -> str:
    """The first finding, without the value that was sent."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _parsed(text: bytes, number: int) -> AnyLine:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ExportInvalid(number, f"is not JSON: {error.msg}") from None
    if _deeper_than(value, DEPTH):
        raise ExportInvalid(number, f"nests deeper than {DEPTH} levels")
    try:
        return LINE.validate_python(value)
    except ValidationError as error:
        # No place in it: it has no type, or is no object at all.
        whole = not error.errors(include_url=False, include_input=False)[0]["loc"]
        no_line = "is no line of an export, which `waystation threads export` writes"
        raise ExportInvalid(number, no_line if whole else problem_in(error)) from None


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            item
            for found in level
            if isinstance(found, (dict, list))
            for item in (found.values() if isinstance(found, dict) else found)
        ]
        if not level:
            return False
    return True


async def _split(chunks: AsyncIterator[bytes], most_bytes: int | None) -> AsyncIterator[bytes]:
    """The lines without their ends; empty ones are left out."""
    rest, size = bytearray(), 0
    async for chunk in chunks:
        size += len(chunk)
        if most_bytes is not None and size > most_bytes:
            raise TooLarge(f"the export is over {most_bytes} bytes")
        # Only what is new is looked through: a long line comes in many pieces.
        *whole, last = chunk.split(b"\n")
        if whole:
            whole[0] = bytes(rest) + whole[0]
            rest = bytearray()
        rest += last
        if len(rest) > LINE_BYTES:
            raise TooLarge(f"a line is over {LINE_BYTES} bytes")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield bytes(rest)
