"""An endpoint in the test's own process, for what a script of the model server cannot say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from langchain_core.messages import BaseMessage, HumanMessage

from nodes.llm.adapters.chat import ChatEndpoint
from tests.unit.nodes.llm.conftest import entry
from waystation.testing.contracts.chat_model import answer

HI: list[BaseMessage] = [HumanMessage("hi")]
DONE = "data: [DONE]\n\n"
Reply = Callable[[web.Request], Any]


def chunk(delta: Any, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def tool(name: str, parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters or {"type": "object"}}}


class Endpoint:
    """An endpoint in this process that answers as the test says."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.replies: list[Reply] = []
        self.url = ""

    async def handle(self, request: web.Request) -> Any:
        self.paths.append(request.path_qs)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.can_read_body:
            self.bodies.append(await request.json())
        reply = self.replies.pop(0) if self.replies else whole
        return await reply(request)


async def whole(_: web.Request) -> web.Response:
    choice = {"message": {"content": "Hello"}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice]})


def status(code: int, body: Any, **headers: str) -> Reply:
    async def reply(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=code, text=text, headers=headers)

    return reply


async def said(chat: ChatEndpoint, **options: Any) -> str:
    _, assembly = await answer(chat, HI, **options)
    return assembly.text


def told(endpoint: Endpoint, **values: Any) -> ChatEndpoint:
    return ChatEndpoint("main", entry(endpoint.url, **values))
