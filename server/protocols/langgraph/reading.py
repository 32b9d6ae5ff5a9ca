"""What a client asks of a run, read into a request of ours.

Keys of a body that mean nothing here are passed over, as the reference does, since newer clients send
newer ones; what would change the run and is not served is refused. What may be chosen for a run is the
allow-list of every other way in, in `context` or in `config.configurable`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field, StringConstraints

from core.access import Principal
from core.choices import Choices
from core.foreign import fault_in
from graph.runs.record import OnBusy, TurnRequest
from server.attachments import Content, read_content
from server.errors import InvalidRequest
from server.protocols.langgraph.translating import MODES
from server.protocols.langgraph.words import NotOffered
from server.requests import ALLOWED, check_configurable

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Json = dict[str, Any]

_OTHER_MODES = frozenset({"debug", "tasks", "checkpoints", "tools", "lifecycle", "input"})
# What LangGraph's clients put into `configurable` of their own.
_THEIRS = re.compile(
    r"thread_id|checkpoint_.*|assistant_id|graph_id|run_id|user_id|langgraph_.*|__.*|x-.*|thread_ts"
)
_CHOSEN = frozenset(ALLOWED) - {"thread_id", "on_disconnect", "on_busy"}
_MOST_NOTES = 16_384
_LATEST_S = 31 * 24 * 3600


class CommandBody(BaseModel, extra="ignore"):
    """What goes on with a run: an answer, a change of the state."""

    resume: Any = None
    update: Any = None
    goto: Any = None


class RunBody(BaseModel, extra="ignore"):
    """A run as the SDK asks for it."""

    assistant_id: str = Field(max_length=200)
    thread_id: Id | None = None
    input: Any = None
    command: CommandBody | None = None
    config: Json | None = None
    context: Json | None = None
    metadata: Json | None = None
    stream_mode: str | list[str] | None = None
    checkpoint: Json | None = None
    checkpoint_id: str | None = Field(None, max_length=64)
    multitask_strategy: Literal["reject", "enqueue", "interrupt", "rollback"] | None = None
    if_not_exists: Literal["reject", "create"] | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    webhook: str | None = Field(None, max_length=2000)
    after_seconds: float | None = Field(None, ge=0, le=_LATEST_S, allow_inf_nan=False)
    interrupt_before: Any = None
    interrupt_after: Any = None

    @property
    def at(self) -> str | None:
        """The checkpoint that the run goes on from."""
        return checkpoint_in(self.checkpoint) or self.checkpoint_id or None


def check_served(body: RunBody) -> None:
    """Refuse what this service does not do.

    Raises:
        NotOffered: It is part of the protocol.
    """
    modes_of(body.stream_mode)
    if body.interrupt_before or body.interrupt_after:
        raise NotOffered(
            "interrupt_before and interrupt_after are not served; a tool's approval is a setting"
        )
    if body.after_seconds and body.command and body.command.resume is not None:
        raise NotOffered("after_seconds beside command.resume is not served; answer when it is time")
    if body.command and body.command.goto:
        raise NotOffered("command.goto is not served; the way through the graph is its own")
    if body.command and body.command.update is not None and body.command.resume is not None:
        raise NotOffered(
            "command.update beside command.resume is not served, and a change takes back what is asked:"
            " change the state, run without input, and answer what is asked then"
        )


def modes_of(given: str | Sequence[str] | None) -> list[str]:
    """The stream modes, `values` where none is named.

    Raises:
        NotOffered: LangGraph has it, and it is not served.
        InvalidRequest: There is no such mode.
    """
    modes = [given] if isinstance(given, str) else list(given or ("values",))
    for mode in modes:
        if mode in _OTHER_MODES:
            raise NotOffered(f"stream_mode '{mode}' is not served; use one of {', '.join(sorted(MODES))}")
        if mode not in MODES:
            raise InvalidRequest(f"stream_mode: no '{mode[:40]}'; use one of {', '.join(sorted(MODES))}")
    return modes


def queried_modes(given: Sequence[str]) -> list[str]:
    """Stream modes of a query; all that are made anyway where none is named. Raises what `modes_of` does."""
    return modes_of([mode for mode in listed(given) if mode] or sorted(MODES - {"messages", "events"}))


def listed(given: Sequence[str]) -> list[str]:
    """Words of a query: Python repeats the parameter, JavaScript sends a list as JSON."""
    found: list[str] = []
    for one in given:
        try:
            value = orjson.loads(one) if one.startswith("[") else one
        except orjson.JSONDecodeError:
            value = one
        found += [str(mode) for mode in value] if isinstance(value, list) else [str(value)]
    return found


def checkpoint_in(given: Any) -> str | None:
    """The id in any of the forms that clients send: a text, a checkpoint, or a config.

    Raises:
        InvalidRequest: There is none in it.
    """
    if given is None:
        return None
    found = given
    if isinstance(found, Mapping) and isinstance(found.get("configurable"), Mapping):
        found = found["configurable"]
    if isinstance(found, Mapping):
        if found.get("checkpoint_ns"):
            raise NotOffered("checkpoint_ns: there are no graphs within this one")
        found = found.get("checkpoint_id")
        if found is None:
            return None
    if not isinstance(found, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found):
        raise InvalidRequest("checkpoint: send {'checkpoint_id': '...'} as a state has it")
    return found


def choices_of(body: RunBody) -> Choices:
    """What the caller chooses for the run.

    Raises:
        RequestValidationError, InvalidRequest: Something in it is not allowed.
    """
    found: Json = {}
    for given in ((body.config or {}).get("configurable"), body.context):
        if given is not None and not isinstance(given, Mapping):
            raise InvalidRequest("config.configurable: must be an object")
        found |= {str(k): v for k, v in (given or {}).items() if not _THEIRS.fullmatch(str(k))}
    if misplaced := [name for name in ("on_disconnect", "on_busy") if name in found]:
        raise InvalidRequest(f"config.configurable.{misplaced[0]}: on this wire a field of the run itself")
    return Choices.of(check_configurable(found, "config").model_dump())


class RunInput(BaseModel):
    """What the input of a run says: its message, and what stands before it."""

    text: str = ""
    id: str | None = None
    files: list[str] = []
    content: Content = Content("")
    before: list[Any] = []


def said_in(given: Any) -> RunInput | None:
    """The message in a run's input; None where there is no input.

    Raises:
        InvalidRequest: The last message is not a person's, or cannot be read.
        UnsupportedParameter: A part of it is of a kind that is not taken.
    """
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping):
        raise InvalidRequest("input: must be an object with 'messages'")
    messages = given.get("messages")
    messages = messages if isinstance(messages, list) else [messages]
    if not messages or len(messages) > 2000:
        raise InvalidRequest("input.messages: must be 1 to 2000 messages")
    last = messages[-1]
    if isinstance(last, str):
        last = {"type": "human", "content": last}
    if not isinstance(last, Mapping) or last.get("type", last.get("role")) not in ("human", "user"):
        raise InvalidRequest("input.messages: the last one must be a person's, of type 'human'")
    key = last.get("id")
    known = isinstance(key, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key)
    content = _content(last.get("content"), f"input.messages.{len(messages) - 1}.content")
    return RunInput(
        text=content.text or content.names(),
        id=key if known else None,
        files=_files(given.get("files")),
        content=content,
        before=[message for message in messages[:-1] if kind_of(message) not in ("system", "developer")],
    )


def kind_of(message: Any) -> str:
    """The type or role of a message in whatever form it came; "" where it says none."""
    return str(message.get("type") or message.get("role")) if isinstance(message, Mapping) else ""


def _content(given: Any, where: str) -> Content:
    parts = given if isinstance(given, list) else [given]
    found = read_content(parts, where)
    if found.files:
        return found
    # Texts alone are one text, as the reference reads them.
    texts = [part if isinstance(part, str) else part.get("text", "") for part in parts]
    return Content("".join(texts))


def _files(given: Any) -> list[str]:
    keys = [file.get("key") if isinstance(file, Mapping) else file for file in given or ()]
    if not all(isinstance(key, str) for key in keys) or len(keys) > 100:
        raise InvalidRequest("input.files: must be a list of keys of uploaded files")
    return [str(key) for key in keys]


def request_of(
    who: Principal,
    thread_id: str | None,
    body: RunBody,
    said: RunInput | None,
    *,
    on_busy: OnBusy,
    background: bool,
) -> TurnRequest:
    """The run that a body asks for, on a thread that is there or may be made."""
    about = body.metadata or {}
    if (fault := fault_in(about, "metadata")) or len(orjson.dumps(about)) > _MOST_NOTES:
        raise InvalidRequest(fault or f"metadata: at most {_MOST_NOTES} bytes are kept")
    return TurnRequest(
        who,
        said.text if said else "",
        files=tuple(said.files) if said else (),
        thread_id=thread_id,
        choices=choices_of(body),
        on_disconnect=body.on_disconnect or "continue",
        on_busy=on_busy,
        webhook=body.webhook,
        background=background,
        detailed=True,
        goes_on=said is None,
        message_id=said.id if said else None,
        about=about,
        delay=body.after_seconds or 0,
    )
