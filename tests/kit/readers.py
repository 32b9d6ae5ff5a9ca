"""Clients of other people that read one answer as it comes, each over its own wire: a row of `READERS`.

What they give is the text as their user has it in the end; what they raise is what their user is told.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
from a2a.client import ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as a2a
from ag_ui.core import Event
from langgraph_sdk import get_client
from langserve import RemoteRunnable
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from pydantic import TypeAdapter

from tests.kit.langgraph import GRAPH, asks

SECONDS = 120.0
EVENT: TypeAdapter[Any] = TypeAdapter(Event)
# Told of "words" of the answer, and that it "waits" for somebody to give it.
Heard = Callable[[str], None]
WORDS, WAITS = "words", "waits"
Reader = Callable[[str, str, Heard], Coroutine[Any, Any, str]]


class ToldError(Exception):
    """The answer is an error, in the words of the wire."""


def plain_http() -> httpx.AsyncClient:
    """Without a proxy, and patient."""
    return httpx.AsyncClient(trust_env=False, timeout=SECONDS)


async def _data(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    assert answer.status_code == 200, (await answer.aread()).decode()
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


async def _ours(events: AsyncIterator[dict[str, Any]], heard: Heard) -> str:
    async for event in events:
        if event["type"] == "token":
            heard(WORDS)
        if event.get("code") == "waiting_for_worker":
            heard(WAITS)
        if event["type"] == "error":
            raise ToldError(event["detail"])
        if event["type"] == "done":
            return str(event["answer"])
    raise ToldError("the stream has no end")


async def langserve(base: str, text: str, heard: Heard) -> str:
    """`RemoteRunnable`."""
    runnable = RemoteRunnable[Any, Any](f"{base}/agent", client_kwargs={"trust_env": False})
    return await _ours(runnable.astream({"message": text}), heard)


async def events_of_a_run(base: str, text: str, heard: Heard) -> str:
    """`/threads/{id}/runs` and the events of the run."""
    async with plain_http() as http:
        thread = (await http.post(f"{base}/threads", json={})).json()["id"]
        begun = await http.post(f"{base}/threads/{thread}/runs", json={"input": {"message": text}})
        async with http.stream("GET", f"{base}/runs/{begun.json()['run_id']}/events") as answer:
            return await _ours(_data(answer), heard)


@asynccontextmanager
async def openai_at(base: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The client of the package `openai`."""
    async with openai.DefaultAsyncHttpxClient(trust_env=False, timeout=SECONDS) as http:
        yield openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="none", http_client=http, max_retries=0)


async def completions(base: str, text: str, heard: Heard) -> str:
    """The package `openai`."""
    said = ""
    async with openai_at(base) as client:
        stream = await client.chat.completions.create(
            model=GRAPH, messages=[{"role": "user", "content": text}], stream=True
        )
        async for chunk in stream:
            if "notice" in (chunk.model_extra or {}).get("waystation", {}):
                heard(WAITS)
            if chunk.choices and (delta := chunk.choices[0].delta.content):
                heard(WORDS)
                said += delta
    return said


async def responses(base: str, text: str, heard: Heard) -> str:
    """The package `openai`."""
    said = ""
    async with openai_at(base) as client:
        stream = await client.responses.create(model=GRAPH, input=text, stream=True)
        async for event in stream:
            if event.type == "response.queued":
                heard(WAITS)
            if event.type == "response.output_text.delta":
                heard(WORDS)
                said += event.delta
            if event.type == "response.failed":
                raise ToldError(event.response.error.message if event.response.error else "")
            if event.type == "response.completed":
                assert event.response.output_text == said
    return said


async def mcp(base: str, text: str, heard: Heard) -> str:
    """The SDK's client, which is told the answer as progress."""
    told: list[str] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        if "waiting for a worker" in (message or ""):
            heard(WAITS)
            return
        heard(WORDS)
        told.append(message or "")

    async with (
        plain_http() as http,
        streamable_http_client(f"{base}/mcp", http_client=http) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        found = await session.call_tool("ask", {"message": text}, progress_callback=progress)
    if found.isError or found.structuredContent is None:
        raise ToldError(str(found.content))
    assert "".join(told) == found.structuredContent["answer"]
    return "".join(told)


async def ag_ui(base: str, text: str, heard: Heard) -> str:
    """There is no client for Python: each event is held to the package's models."""
    said = ""
    message = {"id": "u1", "role": "user", "content": text}
    async with plain_http() as http:
        body = {"threadId": f"of {text}", "runId": "r1", "messages": [message]}
        async with http.stream("POST", f"{base}/ag-ui", json=body) as answer:
            async for event in _data(answer):
                EVENT.validate_python(event)
                if event["type"] == "CUSTOM":
                    heard(WAITS)
                if event["type"] == "TEXT_MESSAGE_CONTENT":
                    heard(WORDS)
                    said += event["delta"]
                if event["type"] == "RUN_ERROR":
                    raise ToldError(event["message"])
    return said


async def langgraph(base: str, text: str, heard: Heard) -> str:
    """LangGraph's client: pieces belong to a message by its id."""
    said: dict[str, str] = {}
    async with get_client(url=f"{base}/langgraph", api_key=None) as client:
        thread = (await client.threads.create())["thread_id"]
        stream = client.runs.stream(thread, GRAPH, input=asks(text), stream_mode=["messages-tuple", "custom"])
        async for part in stream:
            if part.event == "custom":
                heard(WAITS)
            if part.event == "messages" and part.data[0]["type"] == "AIMessageChunk":
                heard(WORDS)
                message = part.data[0]
                said[message["id"]] = said.get(message["id"], "") + message["content"]
    (only,) = said.values()
    return only


async def a2a_task(base: str, text: str, heard: Heard) -> str:
    """The client of `a2a-sdk`."""
    said = ""
    request = a2a.SendMessageRequest(
        message=a2a.Message(message_id=text, role=a2a.ROLE_USER, parts=[a2a.Part(text=text)])
    )
    async with plain_http() as http:
        client = await ClientFactory(ClientConfig(httpx_client=http)).create_from_url(base)
        async for event in client.send_message(request):
            if event.HasField("artifact_update") and event.artifact_update.artifact.name == "answer":
                heard(WORDS)
                told = event.artifact_update
                said = (said if told.append else "") + "".join(part.text for part in told.artifact.parts)
            if (
                event.HasField("status_update")
                and event.status_update.status.state == a2a.TASK_STATE_SUBMITTED
            ):
                heard(WAITS)
    return said


# Whose runs outlive their reader by themselves: they wait for as long as nobody cancels them.
OUTLIVING = ("runs", "langgraph", "a2a")
READERS: Mapping[str, Reader] = {
    "langserve": langserve,
    "runs": events_of_a_run,
    "completions": completions,
    "responses": responses,
    "mcp": mcp,
    "ag-ui": ag_ui,
    "langgraph": langgraph,
    "a2a": a2a_task,
}
