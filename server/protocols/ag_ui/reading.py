"""What a front end asks for, read into a turn of ours.

It sends the whole conversation each time. What would change the turn and is not done is refused;
what it keeps for itself (its state, properties of its own) is passed over.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from core.access import Principal
from graph.agent import Agent
from nodes.file_storage import FileManager
from server.attachments import Content, Sent, stored
from server.conversations import SentMessage, Turn
from server.errors import InvalidRequest, UnsupportedParameter
from server.requests import ALLOWED, check_options, tools_offered, validated

MOST_MESSAGES = 2000
# A turn has a message; files may come without one.
_ALONE = "(a file)"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request.

    Args:
        thread_id, run_id: The client's names for conversation and run, which its events carry.
        state: What the client keeps as state, with whatever it has put there.
        said: The conversation up to and with what is said now; messages of one role in a row are one.
        content: What is said now, with its files.
        instructions: What the page tells the model: its system messages and its context.
        options: As in `configurable`.
        resume: Answers to what waits: id of the question, whether it is answered, the answer.
        results: What the page's own tools gave, by the ids of their calls; then nothing is said.
        names_calls: The client reads which calls it has to make; one before 1.0 ends a run at that field.
    """

    thread_id: str
    run_id: str
    state: Any
    said: Sequence[SentMessage]
    content: Content
    options: Mapping[str, Any]
    resume: Sequence[tuple[str, bool, Any]] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    names_calls: bool = False

    async def turn(self, agent: Agent, who: Principal) -> Turn:
        """The turn that is asked for. What came with the message is stored.

        Raises:
            InvalidRequest, FileTooLarge, StorageFull: A file cannot be.
        """
        files: tuple[str, ...] = ()
        if self.content.files:
            manager = await agent.container.get(FileManager)
            files = await stored(manager, who, self.content, of=[self.thread_id, self.content.text])
        # A thread that is named is gone on with, whatever the client knows of it.
        home = "" if self.options.get("thread_id") else self.thread_id
        if self.results:
            return Turn(self.said, None, self.options, results=self.results, home=home)
        return Turn(self.said[:-1], self.said[-1], self.options, files=files, home=home)


def read(body: Mapping[str, Any]) -> PageRequest:
    """A body as AG-UI's `RunAgentInput`.

    Raises:
        RequestValidationError: It is none.
        InvalidRequest, UnsupportedParameter: Something of it is not taken.
    """
    from ag_ui.core import RunAgentInput  # noqa: PLC0415 - with the first request, see the package

    found: Any = validated(RunAgentInput, body)
    if len(found.messages) > MOST_MESSAGES:
        raise InvalidRequest(f"messages: has {len(found.messages)}; at most {MOST_MESSAGES} are taken")
    for name, value in (("threadId", found.thread_id), ("runId", found.run_id)):
        if not 0 < len(value) <= 200:
            raise InvalidRequest(f"{name}: must have 1 to 200 characters")
    asked = PageRequest(
        found.thread_id,
        found.run_id,
        found.state,
        said=(),
        content=Content(""),
        options=_options(found),
        resume=[(one.interrupt_id, one.status == "resolved", one.payload) for one in found.resume or ()],
        names_calls=bool(found.protocol_version),
    )
    return asked if asked.resume else _with_message(asked, found.messages)


def _options(found: Any) -> dict[str, Any]:
    """What the turn shall run with: our keys among the page's properties, and `waystation` there."""
    given = found.forwarded_props
    props: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    own = props.get("waystation") or {}
    if not isinstance(own, Mapping):
        raise InvalidRequest("forwardedProps.waystation: must be an object")
    # Beside ours, pages put there what is theirs.
    options = {name: props[name] for name in ALLOWED if name in props} | dict(own)
    told = [each.content for each in found.messages if each.role in ("system", "developer")]
    told += [f"{each.description}: {each.value}" for each in found.context or ()]
    told = [str(options.get("instructions") or ""), *told]
    if text := "\n\n".join(each for each in told if each.strip()):
        options["instructions"] = text
    if offered := _offered(found.tools or ()):
        options["client_tools"] = offered
    return check_options(options, "forwardedProps").model_dump()


def _offered(tools: Sequence[Any]) -> str:
    """The page's own tools, which the model may call and the page runs.

    Raises:
        UnsupportedParameter: They cannot be offered.
    """
    if not tools:
        return ""
    shown = [
        {"name": one.name, "description": one.description, "parameters": one.parameters} for one in tools
    ]
    return tools_offered([{"type": "function", "function": each} for each in shown])


def _with_message(asked: PageRequest, messages: Sequence[Any]) -> PageRequest:
    said: list[SentMessage] = []
    content = Content("")
    for place, message in enumerate(messages):
        one, found = _said(message, f"messages.{place}.content")
        if one is None:
            continue
        if said and one.role == "user" == said[-1].role:
            content = _both(content, found)
            one = replace(one, text=_text_of(content), others=said[-1].others + one.others)
            said[-1] = one
        else:
            content = found
            said.append(one)
    if said and said[-1].role == "tool":
        return replace(asked, said=said, results=_last_results(said))
    if not said or said[-1].role != "user" or not (said[-1].text.strip() or content.files):
        raise InvalidRequest("messages: the last one must be of the user, with text or a file")
    return replace(asked, said=said, content=content)


def _last_results(said: Sequence[SentMessage]) -> dict[str, str]:
    """What stands behind the last message that is no result."""
    last = takewhile(lambda one: one.role == "tool", reversed(said))
    return {one.call_id: one.text for one in last}


def _both(first: Content, then: Content) -> Content:
    text = "\n\n".join(each.text for each in (first, then) if each.text.strip())
    return Content(text, first.files + then.files)


def _text_of(content: Content) -> str:
    return content.text or (_ALONE if content.files else "")


def _said(message: Any, where: str) -> tuple[SentMessage | None, Content]:
    """A message as conversations know it; None for what is not said: reasoning, activities, instructions."""
    if message.role == "user":
        content = _content(message.content, where)
        return SentMessage("user", _text_of(content), others=content.marks()), content
    if message.role == "assistant":
        calls = tuple(_call(call) for call in message.tool_calls or ())
        text = message.content or ""
        return (SentMessage("assistant", text, calls=calls) if text or calls else None), Content("")
    if message.role == "tool":
        text = _content(message.content, where).text
        return SentMessage("tool", text, call_id=message.tool_call_id), Content("")
    return None, Content("")


def _call(call: Any) -> tuple[str, str, str]:
    return call.id, call.function.name, call.function.arguments


def _content(given: Any, where: str) -> Content:
    if isinstance(given, str):
        return Content(given)
    texts = [part.text for part in given if part.type == "text"]
    parts = [(place, part) for place, part in enumerate(given) if part.type != "text"]
    files = tuple(_sent(part, f"{where}.{place}", number) for number, (place, part) in enumerate(parts, 1))
    return Content("\n\n".join(text for text in texts if text), files)


def _sent(part: Any, where: str, number: int) -> Sent:
    """A part that is no text: its bytes, or the key of a file that is stored already."""
    source = part.source
    if source.type == "file":
        return Sent(key=source.value)
    kind, data = source.mime_type or "application/octet-stream", source.value
    if source.type == "url":
        head, comma, data = source.value.partition(",")
        if not comma or not head.startswith("data:") or not head.endswith(";base64"):
            raise UnsupportedParameter(
                where, "addresses are not fetched; send the data, or upload to /files and name the key"
            )
        kind = head[len("data:") : -len(";base64")] or kind
    notes = part.metadata if isinstance(part.metadata, Mapping) else {}
    named = notes.get("filename") or notes.get("name")
    name = named if isinstance(named, str) and named.strip() else f"{part.type}-{number}"
    ending = "" if "." in name else mimetypes.guess_extension(kind.partition(";")[0].strip()) or ""
    return Sent(f"{name}{ending}", kind, data)
