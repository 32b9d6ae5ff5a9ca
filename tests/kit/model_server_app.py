"""The server side of `model_server`: scripts in, OpenAI's chat completion stream out."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.kit.model_server_raw import unpacked

Body = dict[str, Any]


class Board:
    """What the control routes change and the chat route reads."""

    def __init__(self, default: str, model: str) -> None:
        self.default = default
        self.model = model
        self.models_status = 200
        self.delay = 0.0
        self.scripts: list[Body] = []
        self.requests: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.active = 0
        self.served = 0
        self.released = asyncio.Event()
        self.changed = asyncio.Condition()
        self.misbehave({})

    def take(self, body: Body) -> Body:
        """The first script that fits, or the default reply."""
        asked = last_user_text(body)
        for index, script in enumerate(self.scripts):
            if script.get("match", "") in asked:
                return self.scripts.pop(index)
        return {"text": self.default}

    def reset(self) -> None:
        self.scripts.clear()
        self.requests.clear()
        self.headers.clear()
        self.models_status, self.delay = 200, 0.0
        self.misbehave({})

    def misbehave(self, fault: Body) -> None:
        """Take on a fault until the next one; {} ends it, and whatever hangs goes on."""
        self.fault = fault
        self.chance = random.Random(fault.get("seed", 0))  # noqa: S311 - the same order every time
        if fault.get("hang") or fault.get("mute"):
            self.released.clear()
        else:
            self.released.set()

    def struck(self, what: str) -> bool:
        """Whether the fault hits this request."""
        return bool(self.fault.get(what)) and self.chance.random() < self.fault[what]

    async def count(self, change: int) -> None:
        self.active += change
        await self.tell()

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def last_user_text(body: Body) -> str:
    for message in reversed(body.get("messages", [])):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return " ".join(str(part.get("text", "")) for part in content)
    return ""


def unanswered(messages: list[Body]) -> list[str]:
    """Ids of tool calls that are not answered right after their message."""
    missing: list[str] = []
    for index, message in enumerate(messages):
        wanted = [call["id"] for call in message.get("tool_calls") or []]
        following = []
        for later in messages[index + 1 :]:
            if later.get("role") != "tool":
                break
            following.append(later.get("tool_call_id"))
        missing += [name for name in wanted if name not in following]
    return missing


def unasked(messages: list[Body]) -> bool:
    """True when a tool message does not follow a tool call."""
    open_ids: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_ids:
                return True
            continue
        open_ids = {call["id"] for call in message.get("tool_calls") or []}
    return False


def problem(status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status_code=status, headers=dict(headers or {}))


class Chat:
    """One reply, as the chunks of OpenAI's stream."""

    def __init__(self, board: Board, script: Body, body: Body) -> None:
        self.board = board
        self.script = script
        self.body = body
        board.served += 1
        self.id = f"chatcmpl-{board.served}"

    def line(self, delta: Body | None, finish: str | None = None, usage: Body | None = None) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk: Body = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self.body.get("model", self.board.model),
            "choices": choices,
        }
        if usage is not None:
            chunk["usage"] = usage
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    async def lines(self) -> AsyncIterator[bytes]:
        yield self.line({"role": "assistant", "content": ""})
        if self.script.get("reasoning"):
            for word in words(self.script["reasoning"]):
                yield self.line({"reasoning_content": word})
        async for line in self.text_lines():
            yield line
        for delta in self.call_deltas():
            yield self.line(delta)
        calls = bool(self.script.get("tool_calls"))
        finish = self.script.get("finish_reason", "tool_calls" if calls else "stop")
        if finish is not None:
            yield self.line({}, finish)
        if (self.body.get("stream_options") or {}).get("include_usage"):
            yield self.line(None, usage=self.usage())
        yield b"data: [DONE]\n\n"

    async def text_lines(self) -> AsyncIterator[bytes]:
        spoken = words(self.script.get("text") or "")
        for index in range(len(spoken) + 1):
            if index == self.script.get("hang_after"):
                await self.board.released.wait()
            if index == self.script.get("cut_after"):
                raise ConnectionAbortedError
            if index == self.script.get("error_after"):
                error = {"message": "scripted failure", "type": "server_error", "code": "server_error"}
                yield b"data: " + orjson.dumps({"error": error}) + b"\n\n"
                raise ConnectionAbortedError
            if index < len(spoken):
                if self.board.delay:
                    await asyncio.sleep(self.board.delay)
                yield self.line({"content": spoken[index]})

    def call_deltas(self) -> list[Body]:
        ids = self.script.get("ids") or []
        found: list[Body] = []
        for index, wanted in enumerate(self.script.get("tool_calls") or []):
            call_id = ids[index] if index < len(ids) else f"call_{self.board.served}_{index}"
            head = {"index": index, "type": "function", "function": {"name": wanted["name"], "arguments": ""}}
            found.append({"tool_calls": [head | ({"id": call_id} if call_id else {})]})
            args = wanted["arguments"]
            for start in range(0, len(args), 7):
                part = {"index": index, "function": {"arguments": args[start : start + 7]}}
                found.append({"tool_calls": [part]})
        return found

    def usage(self) -> Body:
        given = self.script.get("usage")
        spoken = len(words(self.script.get("text") or "")) + 3 * len(self.script.get("tool_calls") or [])
        counted = {
            "prompt_tokens": len(json.dumps(self.body.get("messages", []))) // 4,
            "completion_tokens": spoken,
        }
        usage = dict(given or counted)
        return usage | {"total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]}

    def whole(self) -> Body:
        """The reply to a request that does not stream."""
        calls = [
            {"id": f"call_{self.board.served}_{i}", "type": "function", "function": dict(c)}
            for i, c in enumerate(self.script.get("tool_calls") or [])
        ]
        message: Body = {"role": "assistant", "content": self.script.get("text") or None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": 1,
            "model": self.body.get("model", self.board.model),
            "choices": [choice],
            "usage": self.usage(),
        }


def words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


async def stream(lines: AsyncIterator[bytes], board: Board) -> AsyncIterator[bytes]:
    await board.count(1)
    try:
        async for line in lines:
            yield line
    finally:
        await board.count(-1)


class CuttableStream(StreamingResponse):
    """Drops the connection without an end when the script says so."""

    async def stream_response(self, send: Any) -> None:
        try:
            await super().stream_response(send)
        except ConnectionAbortedError:
            # No final empty chunk is sent; uvicorn closes the socket on an incomplete response.
            return


class Routes:
    """What the server answers, over one board."""

    def __init__(self, board: Board) -> None:
        self.board = board

    async def chat(self, request: Request) -> Response:
        board, body = self.board, await request.json()
        board.requests.append(body)
        board.headers.append(dict(request.headers))
        await board.tell()
        messages = body.get("messages", [])
        if missing := unanswered(messages):
            text = f"tool_call_ids did not have response messages: {missing}"
            return problem(400, text, "unanswered_tool_call")
        if unasked(messages):
            return problem(400, "a tool message must follow the calls it answers", "unasked_tool_message")
        script = await self.faulty() or board.take(body)
        if script.get("status"):
            return refusal(script)
        if "raw" in script:
            return raw_reply(board, script)
        reply = Chat(board, script, body)
        if not body.get("stream"):
            return JSONResponse(reply.whole())
        return CuttableStream(stream(reply.lines(), board), media_type="text/event-stream")

    async def faulty(self) -> Body:
        """What the fault of now makes of a request: silence, then a failure; a failure; a broken answer."""
        board = self.board
        if board.struck("mute") or board.struck("hang"):
            await board.released.wait()
            return {"status": 503}
        if board.struck("fail"):
            return {"status": 503}
        return {"text": board.default, "cut_after": 1} if board.struck("cut") else {}

    async def models(self, _: Request) -> Response:
        if self.board.struck("mute"):
            await self.board.released.wait()
        if self.board.models_status != 200:
            return problem(self.board.models_status, "scripted", "scripted")
        return JSONResponse({"object": "list", "data": [{"id": self.board.model, "object": "model"}]})

    async def add_script(self, request: Request) -> Response:
        self.board.scripts.append(await request.json())
        self.board.released.clear()
        return JSONResponse({"queued": len(self.board.scripts)})

    async def seen(self, _: Request) -> Response:
        board = self.board
        return JSONResponse({"requests": board.requests, "headers": board.headers, "active": board.active})

    async def release(self, _: Request) -> Response:
        self.board.released.set()
        return JSONResponse({})

    async def reset(self, _: Request) -> Response:
        self.board.reset()
        return JSONResponse({})

    async def configure(self, request: Request) -> Response:
        for name, value in (await request.json()).items():
            if name not in {"default", "model", "models_status", "delay"}:
                return problem(422, f"no such setting: {name}", "unknown_setting")
            setattr(self.board, name, value)
        return JSONResponse({})

    async def misbehave(self, request: Request) -> Response:
        fault = await request.json()
        if unknown := fault.keys() - {"mute", "hang", "fail", "cut", "seed"}:
            return problem(422, f"no such fault: {', '.join(unknown)}", "unknown_fault")
        self.board.misbehave(fault)
        return JSONResponse({})

    async def wait(self, request: Request) -> Response:
        wanted = await request.json()
        board, count = self.board, int(wanted["count"])

        def met() -> bool:
            return board.active == count if wanted["what"] == "active" else len(board.requests) >= count

        async with board.changed:
            try:
                await asyncio.wait_for(board.changed.wait_for(met), wanted["seconds"])
            except TimeoutError:
                return JSONResponse({"met": False})
        return JSONResponse({"met": True})


def raw_reply(board: Board, script: Body) -> Response:
    lines = unpacked(script, lambda event: b"data: " + orjson.dumps(event) + b"\n\n", board.released.wait)
    headers = {"content-type": script["content_type"], **script["headers"]}
    return CuttableStream(stream(lines, board), status_code=script["raw_status"], headers=headers)


def refusal(script: Body) -> Response:
    after = script.get("retry_after")
    headers = {} if after is None else {"retry-after": str(after)}
    message = "scripted refusal, secret sk-live-1234"
    return problem(script["status"], message, script.get("code", "scripted"), headers)


def build(board: Board) -> Starlette:
    """The application over `board`."""
    routes = Routes(board)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
            Route("/v1/models", routes.models),
            Route("/control/script", routes.add_script, methods=["POST"]),
            Route("/control/requests", routes.seen),
            Route("/control/release", routes.release, methods=["POST"]),
            Route("/control/reset", routes.reset, methods=["POST"]),
            Route("/control/configure", routes.configure, methods=["POST"]),
            Route("/control/misbehave", routes.misbehave, methods=["POST"]),
            Route("/control/wait", routes.wait, methods=["POST"]),
        ]
    )


async def serve(default: str, model: str) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)  # before the port is told, or an early client is refused
    config = uvicorn.Config(
        build(Board(default, model)), log_level="critical", access_log=False, timeout_graceful_shutdown=1
    )
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--default", default="Scripted reply.")
    parser.add_argument("--model", default="scripted-1")
    given = parser.parse_args()
    asyncio.run(serve(given.default, given.model))


if __name__ == "__main__":
    main()
