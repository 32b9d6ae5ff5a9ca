"""A run's events as the parts of this wire's streams.

The parts of an event follow from the run's events alone: who comes back with the id of the last part
gets the rest, in whatever process, also after the end. A part's id is the event's number and its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from core.foreign import as_bytes
from server.protocols.langgraph.words import ASSISTANT, GRAPH, error_json, message_json, questions_json
from server.repeats import WithoutRepeats

Part = tuple[bytes, bytes]
"""Name and data of an event of the wire."""

MODES = frozenset({"values", "updates", "messages", "messages-tuple", "custom", "events"})
TEXTS = {"token": "content", "reasoning": "reasoning"}
# What other kinds of parts are made of; the rest of what a run tells is `custom`.
_TOLD_OTHERWISE = frozenset(
    {"run_started", "answer", "token", "reasoning", "step", "interrupt", "done", "error"}
)


class Translator:
    """Makes parts of events. Feed it every event of the run from the first one on.

    Args:
        model, tools: Names of the steps that call the model and the tools.
        before: Messages of the thread before the run's own, as LangChain writes them.
        others: Values of the other channels then.
        said: The message of the run, where it has one.
    """

    def __init__(
        self,
        run_id: str,
        thread_id: str,
        modes: Sequence[str],
        *,
        model: str,
        tools: str,
        before: Sequence[Mapping[str, Any]] = (),
        others: Mapping[str, Any] | None = None,
        said: Mapping[str, Any] | None = None,
    ) -> None:
        self._run_id = run_id
        self._modes = frozenset(modes)
        self._model = model
        self._tools = tools
        self._messages: dict[str, bytes] = {}
        self._others = dict(others or {})
        for message in [*before, said] if said else before:
            self._keep(message)
        self._about = {"run_id": run_id, "thread_id": thread_id, "graph_id": GRAPH, "assistant_id": ASSISTANT}
        self._answer: _Answer | None = None
        # Answers whose pieces went out, by their ids.
        self._streamed: set[str] = set()
        self._is_begun = False
        self._repeats = WithoutRepeats()
        self.steps = 0

    def parts(self, event: Mapping[str, Any]) -> list[Part]:
        """The parts of the next event, in their order."""
        kind = event["type"]
        told = self._repeats.of(event)
        if told is None:
            return []
        event = told
        if kind in TEXTS:
            return self._text(str(event["delta"]), reasoning=kind == "reasoning", seq=event["seq"])
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return list(handler(self, event))
        told = {name: value for name, value in event.items() if name not in ("seq", "run_id")}
        found = [(b"custom", as_bytes(told))] if "custom" in self._modes else []
        return [*found, *self._of_tool(event)]

    def replace(self, messages: Sequence[Mapping[str, Any]], others: Mapping[str, Any]) -> None:
        """Take the values of the thread's state: for a run that does not tell what its steps wrote."""
        self._messages.clear()
        self._others = dict(others)
        for message in messages:
            self._keep(message)

    # -- one kind of event each -------------------------------------------------------------------

    def _begun(self, event: Mapping[str, Any]) -> Iterator[Part]:
        yield b"metadata", orjson.dumps({"run_id": self._run_id, "attempt": event.get("attempt", 1)})
        if not self._is_begun:
            yield from self._values()
            yield from self._chain("on_chain_start")
        self._is_begun = True

    def _answering(self, event: Mapping[str, Any]) -> Iterator[Part]:
        # A further attempt at the same answer goes on with the message that its reader has.
        if self._answer is None or self._answer.id != event["id"]:
            self._repeats.anew()
            self._answer = _Answer(str(event["id"]), self._metadata(self._model))
        yield from ()

    def _text(self, text: str, *, reasoning: bool, seq: int) -> list[Part]:
        if self._answer is None:
            # A run that does not tell its answers' ids: the number of the first piece is always the same.
            self._answer = _Answer(f"{self._run_id}-{seq}", self._metadata(self._model))
        answer, found = self._answer, list[Part]()
        first = not answer.said
        answer.add(text, reasoning=reasoning)
        self._streamed.add(answer.id)
        if "messages-tuple" in self._modes:
            found.append((b"messages", answer.piece(text, reasoning=reasoning)))
        if "messages" in self._modes:
            if first:
                found.append((b"messages/metadata", answer.described()))
            found.append((b"messages/partial", answer.so_far()))
        if "events" in self._modes:
            found.append((b"events", self._chunk_event(answer, text)))
        return found

    def _step(self, event: Mapping[str, Any]) -> Iterator[Part]:
        self.steps += 1
        name, said = str(event["name"]), [message_json(message) for message in event["said"]]
        for message in said:
            self._keep(message)
        self._others |= event["writes"]
        for message in said:
            yield from self._whole(name, message)
        self._answer = None
        self._repeats.anew()
        if "updates" in self._modes:
            shown = [message for message in said if message["type"] != "remove"]
            writes = {"messages": shown} if said else {}
            yield b"updates", as_bytes({name: {**writes, **event["writes"]}})
        yield from self._values()

    def _done(self, event: Mapping[str, Any]) -> Iterator[Part]:
        asked = questions_json(event.get("interrupts") or ())
        if asked and "updates" in self._modes:
            yield b"updates", as_bytes({"__interrupt__": asked})
        if asked or not self.steps or event.get("status") != "done":
            yield from self._values(asked)
        yield from self._chain("on_chain_end")

    def _failed(self, event: Mapping[str, Any]) -> Iterator[Part]:
        yield b"error", as_bytes(error_json(event))

    def _of_tool(self, event: Mapping[str, Any]) -> Iterator[Part]:
        names = {"tool_call": ("on_tool_start", "input"), "tool_result": ("on_tool_end", "output")}
        if "events" not in self._modes or event["type"] not in names:
            return
        name, key = names[event["type"]]
        data = {key: event.get("arguments") if key == "input" else event.get("content")}
        yield b"events", self._event(name, str(event.get("tool") or event["id"]), data, self._tools)

    # -- what parts are made of ---------------------------------------------------------------------

    def _keep(self, message: Mapping[str, Any]) -> None:
        key = str(message["id"])
        if message["type"] == "remove":
            self._messages.pop(key, None)
        else:
            self._messages[key] = as_bytes(message)

    def _values(self, asked: Sequence[Mapping[str, Any]] = ()) -> Iterator[Part]:
        if "values" not in self._modes:
            return
        rest = {**self._others, **({"__interrupt__": asked} if asked else {})}
        others = as_bytes(rest)[1:] if rest else b"}"
        comma = b"," if rest else b""
        yield b"values", b'{"messages":[%b]%b%b' % (b",".join(self._messages.values()), comma, others)

    def _whole(self, step: str, message: Mapping[str, Any]) -> Iterator[Part]:
        """A message that a step wrote: the end of what was streamed of it, or all of it."""
        if message["type"] == "remove":
            return
        answer = self._answer if self._answer and self._answer.id == message["id"] else None
        metadata = answer.metadata if answer else self._metadata(step)
        if "messages-tuple" in self._modes:
            shown = _last_piece(message, streamed=message["id"] in self._streamed)
            yield b"messages", b"[%b,%b]" % (as_bytes(shown), metadata)
        if "messages" in self._modes:
            if answer is None or not answer.said:
                described = _Answer(str(message["id"]), metadata).described()
                yield b"messages/metadata", described
            yield b"messages/complete", b"[%b]" % as_bytes(message)

    def _metadata(self, step: str) -> bytes:
        place = {"langgraph_node": step, "langgraph_checkpoint_ns": "", "tags": []}
        return orjson.dumps({**self._about, **place})

    def _chain(self, name: str) -> Iterator[Part]:
        if "events" in self._modes:
            yield b"events", self._event(name, GRAPH, {}, "")

    def _chunk_event(self, answer: _Answer, text: str) -> bytes:
        chunk = {"content": text, "type": "AIMessageChunk", "id": answer.id}
        return self._event("on_chat_model_stream", "model", {"chunk": chunk}, self._model)

    def _event(self, event: str, name: str, data: Mapping[str, Any], step: str) -> bytes:
        metadata = {**self._about, **({"langgraph_node": step} if step else {})}
        common = {"run_id": self._run_id, "parent_ids": [], "tags": [], "metadata": metadata}
        return as_bytes({"event": event, "name": name, "data": data, **common})


_HANDLERS: Mapping[str, Callable[[Translator, Mapping[str, Any]], Iterator[Part]]] = {
    "run_started": Translator._begun,
    "answer": Translator._answering,
    "step": Translator._step,
    "interrupt": lambda _, __: iter(()),
    "done": Translator._done,
    "error": Translator._failed,
}


class _Answer:
    """An answer on its way. Everything around its text is encoded once."""

    def __init__(self, message_id: str, metadata: bytes) -> None:
        self.id = message_id
        self.metadata = metadata
        self.said = False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._rest = (
            b'"response_metadata":{},"type":"AIMessageChunk","name":null,"id":%b,"tool_calls":[],'
            b'"invalid_tool_calls":[],"usage_metadata":null,"tool_call_chunks":[],"chunk_position":null},%b]'
            % (orjson.dumps(message_id), metadata)
        )

    def add(self, text: str, *, reasoning: bool) -> None:
        self.said = True
        (self._reasoning if reasoning else self._text).append(text)

    def piece(self, text: str, *, reasoning: bool) -> bytes:
        """`[chunk, metadata]`."""
        if reasoning:
            thought = as_bytes({"reasoning_content": text})
            return b'[{"content":"","additional_kwargs":%b,%b' % (thought, self._rest)
        return b'[{"content":%b,"additional_kwargs":{},%b' % (as_bytes(text), self._rest)

    def so_far(self) -> bytes:
        """The whole message as it stands by now, for the older mode."""
        thought = "".join(self._reasoning)
        return as_bytes(
            [
                {
                    "content": "".join(self._text),
                    "additional_kwargs": {"reasoning_content": thought} if thought else {},
                    "response_metadata": {},
                    "type": "ai",
                    "name": None,
                    "id": self.id,
                    "tool_calls": [],
                    "invalid_tool_calls": [],
                    "usage_metadata": None,
                }
            ]
        )

    def described(self) -> bytes:
        return b'{%b:{"metadata":%b}}' % (orjson.dumps(self.id), self.metadata)


def _last_piece(message: Mapping[str, Any], *, streamed: bool) -> dict[str, Any]:
    """A whole message as the last piece of it: of an answer only what its pieces did not have."""
    if message["type"] != "ai":
        return dict(message)
    calls = [
        {
            "name": call["name"],
            "args": as_bytes(call["args"]).decode(),
            "id": call["id"],
            "index": place,
            "type": "tool_call_chunk",
        }
        for place, call in enumerate(message.get("tool_calls") or ())
    ]
    return {
        **message,
        "type": "AIMessageChunk",
        "content": "" if streamed else message["content"],
        "tool_call_chunks": calls,
        "chunk_position": "last",
    }
