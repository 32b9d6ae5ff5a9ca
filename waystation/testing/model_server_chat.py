"""One scripted reply, as the chunks of a chat-completions stream."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import orjson

from waystation.testing.endpoint_wires import Wire

Body = dict[str, Any]


class Kept(Protocol):
    """What a reply needs of the server that it comes from."""

    model: str
    delay: float
    served: int
    released: asyncio.Event


class Chat:
    """One reply, in the way of one endpoint.

    Args:
        board: The server.
        script: What to say.
        body: The request.
        wire: The way of an endpoint; None for that of OpenAI with reasoning, and ids that count.
    """

    def __init__(self, board: Kept, script: Body, body: Body, wire: Wire | None = None) -> None:
        self.board = board
        self.script = script
        self.body = body
        self.wire = wire or Wire()
        self._counted_ids = wire is None
        board.served += 1
        self.serial = board.served
        self.id = f"chatcmpl-{board.served}"
        self.calls = self._calls()
        self._spoken = 0

    def line(self, delta: Body | None, finish: str | None = None, usage: Body | None = None) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk: Body = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self.body.get("model", self.board.model),
            "choices": choices,
            **self.wire.marks,
        }
        if delta and self.wire.role == "each":
            delta.setdefault("role", "assistant")
        if usage is None and self.wire.usage == "each":
            usage = self.usage(so_far=True)
        if usage is not None:
            chunk["usage"] = usage
        return event(chunk)

    async def lines(self) -> AsyncIterator[bytes]:
        for comment in self.wire.comments:
            yield f": {comment}\n\n".encode()
        if self.wire.opening:
            yield event(self.wire.opening)
        yield self.line({"role": "assistant", "content": ""})
        for delta in self._reasoning():
            yield self.line(delta)
        async for line in self.text_lines():
            yield line
        for line in self._ending():
            yield line

    async def text_lines(self) -> AsyncIterator[bytes]:
        spoken = words(self.script.get("text") or "")
        for index in range(len(spoken) + 1):
            if index == self.script.get("hang_after"):
                await self.board.released.wait()
            if index == self.script.get("cut_after"):
                raise ConnectionAbortedError
            if index == self.script.get("error_after"):
                error = {"message": "scripted failure", "type": "server_error", "code": "server_error"}
                yield event({"error": error})
                raise ConnectionAbortedError
            if index < len(spoken):
                if self.board.delay:
                    await asyncio.sleep(self.board.delay)
                self._spoken += 1
                yield self.line({"content": spoken[index]})

    def usage(self, *, so_far: bool = False) -> Body:
        given = self.script.get("usage")
        spoken = len(words(self.script.get("text") or "")) + 3 * len(self.calls)
        counted = {
            "prompt_tokens": len(json.dumps(self.body.get("messages", []))) // 4,
            "completion_tokens": self._spoken if so_far else spoken,
        }
        usage = dict(given or counted)
        return usage | {"total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]}

    def whole(self) -> Body:
        """The reply to a request that does not stream."""
        message: Body = {"role": "assistant", "content": self.script.get("text") or None}
        if self.script.get("reasoning") and self.wire.reasoning:
            message[self.wire.reasoning] = self.script["reasoning"]
        if self.calls:
            message["tool_calls"] = [dict(call) for call in self.calls]
        choice = {"index": 0, "message": message, "finish_reason": self._finish()}
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": 1,
            "model": self.body.get("model", self.board.model),
            "choices": [choice],
            "usage": self.usage(),
        }

    def answer(self) -> Body:
        """What the endpoint remembers of its answer, as far as it wants it back."""
        said: Body = {"calls": self.calls}
        if reasoning := self.script.get("reasoning"):
            said["reasoning"] = reasoning
            if self.wire.details:
                said["reasoning_details"] = self._details(reasoning)
            if self.wire.blocks:
                said["thinking_blocks"] = self._blocks(reasoning)
        return said

    def _calls(self) -> list[Body]:
        ids = self.script.get("ids") or []
        found: list[Body] = []
        for index, wanted in enumerate(self.script.get("tool_calls") or []):
            made = f"call_{self.serial}_{index}" if self._counted_ids else self.wire.ids(self._number(index))
            call_id = ids[index] if index < len(ids) else made
            call: Body = {"id": call_id, "type": "function", "function": dict(wanted)}
            if self.wire.signed and index == 0:
                signature = f"signature-{self.serial}-{index}"
                call["extra_content"] = {"google": {"thought_signature": signature}}
            found.append(call)
        return found

    def _number(self, index: int) -> int:
        return self.serial * 100 + index

    def _reasoning(self) -> Iterator[Body]:
        reasoning = self.script.get("reasoning") or ""
        for word in words(reasoning):
            if self.wire.details:
                yield {self.wire.reasoning: word, "content": "", "reasoning_details": self._details(word)[:1]}
            elif self.wire.reasoning:
                yield {self.wire.reasoning: word}
            else:
                yield {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": word}]}]}
        if reasoning and self.wire.details:
            yield {"content": "", "reasoning_details": self._details(reasoning)[1:]}
        if reasoning and self.wire.blocks:
            yield {"content": "", "thinking_blocks": self._blocks(reasoning)}

    def _details(self, reasoning: str) -> list[Body]:
        opaque = f"opaque-{self.serial}"
        return [
            {"type": "reasoning.text", "text": reasoning, "format": "unknown", "index": 0},
            {"type": "reasoning.encrypted", "data": opaque, "id": opaque, "format": "unknown", "index": 1},
        ]

    def _blocks(self, reasoning: str) -> list[Body]:
        return [{"type": "thinking", "thinking": reasoning, "signature": f"signed-{self.serial}"}]

    def _finish(self) -> str | None:
        calls = self.wire.finish_with_calls if self.calls else "stop"
        given: str | None = self.script.get("finish_reason", calls)
        return given

    def _ending(self) -> Iterator[bytes]:
        """Tool calls, finish, usage and the last word."""
        finish = self._finish()
        deltas = list(self._call_deltas())
        self._spoken += 3 * len(self.calls)
        last = {} if self.wire.finish_apart or not deltas else deltas.pop()
        for delta in deltas:
            yield self.line(delta)
        usage = self.usage() if self.wire.usage == "finish" else None
        if finish is not None:
            yield self._finishing(last, finish, usage)
        if self.wire.closing:
            yield event(self.wire.closing)
        yield from self._counted()
        if self.script.get("done", True):
            yield b"data: [DONE]\n\n"

    def _finishing(self, last: Body, finish: str, usage: Body | None) -> bytes:
        line = self.line(last, finish, usage)
        if self.wire.usage != "x_groq":
            return line
        counted = {"x_groq": {"id": "req_1", "usage": self.usage()}}
        return event({**orjson.loads(line.removeprefix(b"data: ")), **counted})

    def _counted(self) -> Iterator[bytes]:
        asked = bool((self.body.get("stream_options") or {}).get("include_usage"))
        if self.wire.usage == "choice":
            yield self.line({"content": ""}, usage=self.usage())
        elif asked and self.wire.usage in {"asked", "x_groq"}:
            yield self.line(None, usage=self.usage())

    def _call_deltas(self) -> Iterator[Body]:
        if self.wire.calls in {"pieces", "named_pieces"}:
            for index, call in enumerate(self.calls):
                yield from self._pieces(index, call)
            return
        whole = [dict(call) for call in self.calls]
        if self.wire.calls == "zeros":
            for call in whole:
                yield {"content": "", "tool_calls": [{"index": 0} | call]}
            return
        if self.wire.calls == "whole":
            whole = [{"index": index} | call for index, call in enumerate(whole)]
        if whole:
            yield {"content": "", "tool_calls": whole}

    def _pieces(self, index: int, call: Body) -> Iterator[Body]:
        head: Body = {"index": index, "type": "function"}
        head["function"] = {"name": call["function"]["name"], "arguments": ""}
        yield {"tool_calls": [head | ({"id": call["id"]} if call["id"] else {})]}
        args = call["function"]["arguments"]
        again = {"name": ""} if self.wire.calls == "named_pieces" else {}
        for start in range(0, len(args), 7):
            yield {
                "tool_calls": [{"index": index, "function": again | {"arguments": args[start : start + 7]}}]
            }


def event(data: Body) -> bytes:
    """One event of a stream."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)
