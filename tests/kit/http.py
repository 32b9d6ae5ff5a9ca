"""The service over real HTTP on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx

from core.observability import configure_logging
from core.settings.platform import AuthSettings, ServerSettings
from graph.agent import Agent
from server.app import create_app
from server.protocols.refusals import PROBLEM_JSON
from server.serve import Server, bind, uvicorn_config
from tests.kit.answers import Judge
from waystation.testing.service import ROOT

JSON = {"content-type": "application/json"}
JUDGED = ("application/json", PROBLEM_JSON)


@asynccontextmanager
async def served(agent: Agent) -> AsyncIterator[str]:
    """Serve the agent on a free port; gives the address."""
    configure_logging(level="error")
    ready = asyncio.Event()
    with bind(ServerSettings(port=0), AuthSettings()) as listener:
        server = Server(
            uvicorn_config(create_app(agent), settings=agent.book[ServerSettings]),
            ready=ready.set,
            agent=agent,
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(30):
            await ready.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@cache
def judge() -> Judge:
    """By the page: to ask the application what it does takes a second in each process."""
    return Judge(json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8")))


async def judged(answer: httpx.Response) -> None:
    """Whatever a test asks for is answered as `/openapi.json` says; streams are judged by who reads them."""
    if answer.headers.get("content-type", "").partition(";")[0] in JUDGED:
        await answer.aread()
        faults = judge().faults(answer)
        assert not faults, f"{answer.request.method} {answer.request.url.path}: {faults}; see server/shapes"


@asynccontextmanager
async def client_of(base: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that knows no proxy and waits long enough for a turn."""
    async with httpx.AsyncClient(
        base_url=base, timeout=60, trust_env=False, event_hooks={"response": [judged]}
    ) as client:
        yield client


def turn(message: str = "What is 5 + 3?", **configurable: Any) -> dict[str, Any]:
    """LangServe's body of one turn."""
    return {"input": {"message": message}, "config": {"configurable": configurable}}


def sse(text: str) -> list[dict[str, str]]:
    """The events of a whole server-sent stream: their fields, without comments."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            found.append(dict(line.split(": ", 1) for line in lines))
    return found


def data_of(text: str) -> list[dict[str, Any]]:
    """The JSON of every data event of a stream that ended properly."""
    events = sse(text)
    assert events[-1] == {"event": "end"}, events[-1]
    return [json.loads(event["data"]) for event in events if event["event"] == "data"]


def code_of(body: dict[str, Any]) -> str:
    """The code in the body of an error, whatever protocol's form it has."""
    error = body.get("error")
    if not isinstance(error, dict):
        return str(body["code"])
    told = error.get("data", error)
    # A2A tells it as a list of details.
    return str(told[0]["metadata"]["code"] if isinstance(told, list) else told["code"])


def assert_refused(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Holds an error answer of any protocol to what all of them keep: status, our code, nothing leaked."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert code in (None, code_of(body)), body
    assert "Traceback" not in answer.text
    assert "/work" not in answer.text
    return body


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Holds an error answer to the contract: its status, problem+json, and nothing leaked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert {"type", "title", "detail", "code"} <= body.keys()
    assert code in (None, body["code"]), body
    assert "Traceback" not in answer.text
    assert "/work" not in answer.text
    return body
