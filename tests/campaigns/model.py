"""A model whose answer follows from the question alone: `python -m tests.campaigns.model`.

    c3.17 one     one call of the tool, then an answer
    c3.17 two     two calls in one message, then an answer
    c3.17 ask     a call that somebody has to approve, then an answer
    c3.17 say 40  an answer of so many words
    c3.17 pour 40 an answer of so many pieces of 64 KiB, as fast as it goes
    c3.17 hold    two words, and no more before `release`
    c3.17 ...     an answer

Like the model server of the test kit, whose stream it speaks, it refuses
requests with unanswered tool calls, and counts them. With `--strict` it refuses
what the narrowest endpoints do: see `strictly`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.sockets import tcp_listener
from waystation.testing.model_server_app import Board, Routes, last_user_text, problem
from waystation.testing.process import ServerProcess

LOOPBACK = "127.0.0.1"
WORD_SECONDS = 0.004
PIECE_LETTERS = 65_535
MOST_TOOLS = 128
CALL_ID = re.compile(r"[A-Za-z0-9]{9}")
CALLS = {"one": ("notes_write",), "two": ("notes_write", "notes_write"), "ask": ("asked_write",)}


class Rules(Board):
    """Answers by rule instead of by script."""

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__("", "rules-1")
        self.strict = strict
        self.delay = WORD_SECONDS
        self.refused: list[dict[str, Any]] = []
        self.counted = 0
        # Names whose answer is held back no more.
        self.free: set[str] = set()

    def take(self, body: dict[str, Any]) -> dict[str, Any]:
        self.counted += 1
        self.requests.clear()
        self.headers.clear()
        name, _, kind = last_user_text(body).partition(" ")
        made = body["messages"][-1].get("role") == "tool"
        if kind in CALLS and not made:
            ids = [f"{self.counted:08}{place}" for place in range(len(CALLS[kind]))]
            said = "let me see " if kind == "two" else ""
            return {"tool_calls": _calls(name, CALLS[kind]), "ids": ids, "text": said}
        if kind == "hold" and name not in self.free:
            self.released.clear()
            return {"text": f"{name} waits for you", "hang_after": 2}
        if kind.startswith("say "):
            return {"text": " ".join(f"{name}-{number}" for number in range(int(kind[4:])))}
        if kind.startswith("pour "):
            # Few long pieces: what is poured out goes through the buffers of a reader that takes nothing.
            return {"text": " ".join(f"{number:0{PIECE_LETTERS}}" for number in range(int(kind[5:])))}
        return {"text": f"the answer to {name} is this"}


def _calls(name: str, tools: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"name": tool, "arguments": json.dumps({"key": f"{name}/{number}"})}
        for number, tool in enumerate(tools, start=1)
    ]


def strictly(body: dict[str, Any]) -> str:
    """What a strict endpoint has against a request; "" when it takes it."""
    for place, message in enumerate(body["messages"]):
        role, calls = message["role"], message.get("tool_calls") or ()
        if role in ("system", "developer") and place:
            return f"a {role} message at place {place}"
        if role == "assistant" and not message.get("content") and not calls:
            return f"an assistant message without content at place {place}"
        ids = [call["id"] for call in calls] + ([message["tool_call_id"]] if role == "tool" else [])
        for found in ids:
            if not CALL_ID.fullmatch(found):
                return f"the tool-call id '{found}'"
    return "too many tools" if len(body.get("tools") or ()) > MOST_TOOLS else ""


class RuleRoutes(Routes):
    board: Rules

    async def chat(self, request: Request) -> Response:
        wrong = strictly(await request.json()) if self.board.strict else ""
        response = problem(400, wrong, "strict") if wrong else await super().chat(request)
        if response.status_code >= 400:
            self.board.refused.append(await request.json())
        return response

    async def release_names(self, request: Request) -> Response:
        self.board.free.update(await request.json())
        self.board.released.set()
        return JSONResponse({})

    async def counts(self, _: Request) -> Response:
        return JSONResponse({"requests": self.board.counted, "refused": self.board.refused[:5]})


class RuleServer(ServerProcess):
    """The model in a process of its own; `url` ends with `/v1`."""

    def __init__(self, *, strict: bool = False, address: str = LOOPBACK) -> None:
        words = ["tests.campaigns.model", f"--at={address}", *(["--strict"] if strict else [])]
        super().__init__(*words, path="/v1", address=address)

    def refused(self) -> list[dict[str, Any]]:
        """Requests that no provider would have taken."""
        found: list[dict[str, Any]] = self.ask("GET", "/control/counts")["refused"]
        return found

    def free(self, names: list[str]) -> None:
        """Hold the answers to these messages back no more; all that are held back now go on."""
        self.ask("POST", "/control/free", names)

    def requests(self) -> int:
        """How many there were."""
        found: int = self.ask("GET", "/control/counts")["requests"]
        return found


async def serve() -> None:
    routes = RuleRoutes(Rules(strict="--strict" in sys.argv))
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
            Route("/v1/models", routes.models),
            Route("/control/counts", routes.counts),
            Route("/control/free", routes.release_names, methods=["POST"]),
            Route("/control/configure", routes.configure, methods=["POST"]),
        ]
    )
    address = next((word[5:] for word in sys.argv if word.startswith("--at=")), LOOPBACK)
    listener = tcp_listener(address)  # before the port is told, or an early client is refused
    config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve())
