"""The wire of MCP as a client sees it, in either dialect, and nothing of an SDK."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

PATH = "/mcp"
BOTH = {"accept": "application/json, text/event-stream"}
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
FORMS: dict[str, Any] = {"elicitation": {}}


class Old:
    """A client of 2025-11-25: it shakes hands, and then has a session."""

    def __init__(self, http: httpx.AsyncClient, session: str = "") -> None:
        self.http = http
        self._ids = itertools.count(1)
        self.session = session
        # The id of the last event that a stream had.
        self.last = ""

    @classmethod
    async def met(cls, http: httpx.AsyncClient, **capabilities: Any) -> Old:
        client = cls(http)
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": {"name": "t", "version": "1"},
        }
        answer = await client.post("initialize", hello)
        client.session = answer.headers["mcp-session-id"]
        assert (await client.send({"method": "notifications/initialized"})).status_code == 202
        return client

    @property
    def headers(self) -> dict[str, str]:
        return {**BOTH, **({"mcp-session-id": self.session} if self.session else {})}

    async def send(self, message: Mapping[str, Any]) -> httpx.Response:
        return await self.http.post(PATH, json={"jsonrpc": "2.0", **message}, headers=self.headers)

    async def post(self, method: str, params: Mapping[str, Any] | None = None) -> httpx.Response:
        return await self.send({"id": next(self._ids), "method": method, "params": params or {}})

    async def ask(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """The result; of a stream the last message's."""
        return result_of(await self.post(method, params))

    async def call(self, tool: str, **arguments: Any) -> Any:
        return await self.ask("tools/call", {"name": tool, "arguments": arguments})

    @asynccontextmanager
    async def calling(
        self, tool: str, key: str | int = "c", meta: Mapping[str, Any] | None = None, **arguments: Any
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """A call as its messages come."""
        params = {"name": tool, "arguments": arguments, "_meta": meta or {}}
        body = {"jsonrpc": "2.0", "id": key, "method": "tools/call", "params": params}
        async with self.http.stream("POST", PATH, json=body, headers=self.headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield self._told(answer)

    @asynccontextmanager
    async def coming_back(self, place: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """What a stream that was lost tells behind a place."""
        headers = {**self.headers, "accept": "text/event-stream", "last-event-id": place}
        async with self.http.stream("GET", PATH, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield self._told(answer)

    async def _told(self, answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        async for message in messages(answer, self._at):
            yield message

    def _at(self, place: str) -> None:
        self.last = place


class New:
    """A client of 2026-07-28: each request says all of itself."""

    def __init__(self, http: httpx.AsyncClient, **capabilities: Any) -> None:
        self.http = http
        self._capabilities = capabilities

    def request(self, method: str, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The body and the headers of a request."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self._capabilities,
            **params.get("_meta", {}),
        }
        headers = {**BOTH, "mcp-protocol-version": "2026-07-28", "mcp-method": method}
        if method in NAMED and NAMED[method] in params:
            headers["mcp-name"] = str(params[NAMED[method]])
        return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}, headers

    async def post(
        self, method: str, params: Mapping[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        body, usual = self.request(method, params or {})
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(PATH, json=body, headers={**usual, **more})

    async def ask(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        return result_of(await self.post(method, params))

    async def call(self, tool: str, again: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
        return await self.ask("tools/call", {"name": tool, "arguments": arguments, **(again or {})})


async def messages(
    answer: httpx.Response, at: Callable[[str], object] = lambda _: None
) -> AsyncIterator[dict[str, Any]]:
    """The messages of an answer, whole or as they come; `at` hears the ids of events."""
    if answer.headers["content-type"] == "application/json":
        yield json.loads(await answer.aread())
        return
    async for line in answer.aiter_lines():
        if line.startswith("id: "):
            at(line.removeprefix("id: "))
        if line.startswith("data: ") and line != "data: ":
            yield json.loads(line.removeprefix("data: "))


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """The last message of an answer."""
    if answer.headers["content-type"] == "application/json":
        found: dict[str, Any] = answer.json()
        return found
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    last: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
    return last


def result_of(answer: httpx.Response) -> Any:
    body = body_of(answer)
    assert "result" in body, body
    return body["result"]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = body_of(answer)["error"]
    return found


def text_of(result: Mapping[str, Any]) -> str:
    return "\n".join(part["text"] for part in result["content"] if part["type"] == "text")
