"""A recording: one finished turn as a JSON document, to be replayed without model, tools or network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from core.choices import Choices
from core.errors import InvalidInput, NotFound
from core.observability.redaction import REDACTED, clean, names_secret
from graph.flow.state import as_messages

FORMAT = "waystation-recording"
VERSION = 1
# Fields of a message that stand in a recording only where they say something.
_ALWAYS = frozenset({"content", "id", "type", "tool_calls"})

Message = dict[str, Any]
"""A message as JSON: `{"type": "ai", "data": {...}}`."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordedRun(_Part):
    """Which run it was. Who asked is left out: a recording may go into a repository."""

    id: str
    thread_id: str
    attempts: int = 1
    created_at: str = ""


class Before(_Part):
    """The thread as the turn found it."""

    messages: list[Message] = Field(default_factory=list)
    files: list[dict[str, Any]] = Field(default_factory=list)
    summary: str = ""


class Retrieval(_Part):
    """The passages of the turn.

    Args:
        origin: "none" where nothing was found; else "searched_again": the
            texts are not stored with a run, and were looked up when it was recorded.
        missing: Numbers of passages that the second search did not find; their text is empty.
    """

    origin: Literal["none", "searched_again"] = "none"
    documents: list[dict[str, Any]] = Field(default_factory=list)
    failed: list[dict[str, Any]] = Field(default_factory=list)
    missing: list[int] = Field(default_factory=list)


class RecordedAnswer(_Part):
    """One model call: its message, and what it used."""

    message: Message
    usage: dict[str, Any] = Field(default_factory=dict)


class RecordedCall(_Part):
    """One tool call: what was asked and what came back. Of its files only the names are kept."""

    id: str
    name: str
    arguments: dict[str, Any]
    message: Message
    files: list[str] = Field(default_factory=list)


class RecordedStep(_Part):
    """What a further step wrote, each time that it ran: channels and their values, messages as JSON."""

    step: str
    writes: dict[str, Any] = Field(default_factory=dict)


class Expected(_Part):
    """How the turn ended. `partial` is what a model had said when the turn was cut."""

    status: Literal["done", "failed", "cancelled"]
    answer: str = ""
    tool_calls: list[dict[str, Any]] = Field(default_factory=list)
    error: dict[str, Any] | None = None
    partial: str = ""


class Recording(_Part):
    """A finished turn: what went in, what model and tools answered, what came out."""

    format: Literal["waystation-recording"] = "waystation-recording"
    version: Literal[1] = 1
    recorded_at: str
    run: RecordedRun
    wished: Annotated[Choices, PlainSerializer(Choices.as_json)]
    before: Before
    message: Message
    files: list[dict[str, Any]] = Field(default_factory=list)
    config: dict[str, Any]
    offered: list[str] = Field(default_factory=list)
    retrieval: Retrieval = Retrieval()
    answers: list[RecordedAnswer] = Field(default_factory=list)
    outcomes: list[RecordedCall] = Field(default_factory=list)
    stored: list[dict[str, Any]] = Field(default_factory=list)
    further: list[RecordedStep] = Field(default_factory=list)
    expected: Expected

    @property
    def question(self) -> str:
        """What the user asked."""
        return str(message_of(self.message).text)

    def save(self, path: Path) -> None:
        """Write it as JSON that can be read, and compared line by line."""
        data = orjson.dumps(self.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        path.write_bytes(data)

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a recording.

        Raises:
            NotFound: There is no such file.
            InvalidInput: It is no recording, or one of another version.
        """
        try:
            data = orjson.loads(path.read_bytes())
        except OSError as error:
            why = f"'{path}' cannot be read: {error.strerror or 'no file'}"
            raise NotFound(f"{why}; `waystation runs record RUN` writes a recording") from None
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"'{path.name}' is no recording: line {error.lineno}: {error.msg}") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InvalidInput(f"'{path.name}' is no recording; `waystation runs record RUN` makes one")
        if data.get("version") != VERSION:
            raise InvalidInput(
                f"'{path.name}' is a recording of version {data.get('version')}; this reads {VERSION}"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InvalidInput(f"'{path.name}' is not whole: {place}: {first['msg']}") from None


def message_json(message: BaseMessage) -> Message:
    """A message as JSON, without the fields that say nothing."""
    whole = message_to_dict(message)
    data = {key: value for key, value in whole["data"].items() if key in _ALWAYS or value not in _EMPTY}
    return {"type": whole["type"], "data": data}


_EMPTY: tuple[Any, ...] = (None, "", [], {}, False)


def message_of(recorded: Message) -> BaseMessage:
    """The message behind its JSON.

    Raises:
        InvalidInput: It is none.
    """
    try:
        [message] = messages_from_dict([recorded])
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidInput(f"a message of the recording cannot be read: {error}") from None
    return message


def written_json(writes: Mapping[str, Any]) -> dict[str, Any]:
    """What a step wrote as JSON; a value that is none, as text."""
    return {
        name: [message_json(m) for m in as_messages(value)]
        if name == "messages"
        else orjson.loads(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS))
        for name, value in writes.items()
    }


def read_writes(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What `written_json` wrote."""
    messages = recorded.get("messages")
    return dict(recorded) if messages is None else {**recorded, "messages": [message_of(m) for m in messages]}


def without_secrets(value: Any) -> Any:
    """JSON with every secret replaced: told by its key, by its looks, or because this process knows it."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {
            clean(str(key)): REDACTED if item and names_secret(str(key)) else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(item) for item in value]
    return value
