"""The server side of `model_server`: scripts in, OpenAI's chat completion stream out."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.sockets import tcp_listener
from waystation.testing.endpoint_checks import Asked, calls_are_answered
from waystation.testing.endpoint_rules import RULES, Rules
from waystation.testing.model_server_chat import Chat, event
from waystation.testing.model_server_raw import unpacked

Body = dict[str, Any]


class Board:
    """What the control routes change and the chat route reads."""

    def __init__(self, default: str, model: str, rules: str = "") -> None:
        self.default = default
        self.model = model
        self.models_status = 200
        self.delay = 0.0
        self.scripts: list[Body] = []
        self.requests: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.active = 0
        self.served = 0
        self.rules = rules
        self.context = 0
        self.given: dict[str, list[Body]] = {}
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
        self.given.clear()
        self.models_status, self.delay, self.context = 200, 0.0, 0
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


def problem(status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status_code=status, headers=dict(headers or {}))


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
        rules = RULES.get(request.path_params.get("rules") or board.rules)
        given = board.given.setdefault(rules.name if rules else "", [])
        asked = Asked(body, request.headers, given, board.context)
        if refused := refused_by(rules, asked):
            return refused
        script = await self.faulty() or board.take(body)
        if script.get("status"):
            return refusal(script)
        if "raw" in script:
            return raw_reply(board, script)
        reply = Chat(board, script, body, rules.wire if rules else None)
        given.append(reply.answer())
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
            if name not in {"default", "model", "models_status", "delay", "rules", "context"}:
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


def refused_by(rules: Rules | None, asked: Asked) -> Response | None:
    """What an endpoint with these rules, or with OpenAI's rule for tool calls alone, says against it."""
    if rules is not None:
        refused = rules.refusal(asked)
        return JSONResponse(refused[1], status_code=refused[0]) if refused else None
    found = calls_are_answered(asked)
    return problem(400, found.text, found.code or "") if found else None


def raw_reply(board: Board, script: Body) -> Response:
    lines = unpacked(script, event, board.released.wait)
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
            Route("/{rules}/{rest:path}/chat/completions", routes.chat, methods=["POST"]),
            Route("/{rules}/{rest:path}/models", routes.models),
            Route("/control/script", routes.add_script, methods=["POST"]),
            Route("/control/requests", routes.seen),
            Route("/control/release", routes.release, methods=["POST"]),
            Route("/control/reset", routes.reset, methods=["POST"]),
            Route("/control/configure", routes.configure, methods=["POST"]),
            Route("/control/misbehave", routes.misbehave, methods=["POST"]),
            Route("/control/wait", routes.wait, methods=["POST"]),
        ]
    )


async def serve(board: Board) -> None:
    listener = tcp_listener()  # before the port is told, or an early client is refused
    config = uvicorn.Config(build(board), log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--default", default="Scripted reply.")
    parser.add_argument("--model", default="scripted-1")
    parser.add_argument("--rules", default="")
    given = parser.parse_args()
    asyncio.run(serve(Board(given.default, given.model, given.rules)))


if __name__ == "__main__":
    main()
