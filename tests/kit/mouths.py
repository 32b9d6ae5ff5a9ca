"""Ways to talk to the service, each with the same three things to do: a row of `MOUTHS` is a mouth.

A turn that is cut is read up to its first words, left, and taken up: what is seen then is the whole
answer once. A turn that asks a person ends with the question, and the person approves.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from graph.agent import Agent
from tests.kit.langgraph import asks, parts_of

GRAPH = "waystation"
FIRST = "Good"


class Mouth(ABC):
    """A conversation on a thread of its own.

    Args:
        http: A client of the service.
    """

    def __init__(self, http: httpx.AsyncClient, agent: Agent, thread: str) -> None:
        self.http = http
        self.agent = agent
        self.thread = thread

    @abstractmethod
    async def begins(self, text: str) -> None:
        """Say it, read the first words of the answer, and hang up; the run goes on."""

    @abstractmethod
    async def takes_up(self) -> str:
        """The whole answer of that turn."""

    @abstractmethod
    async def asks(self, text: str) -> None:
        """Say it; the turn waits for a person."""

    @abstractmethod
    async def approves(self) -> str:
        """Approve, and read the answer."""

    async def read(
        self, path: str, body: Mapping[str, Any] | None, *, until: str = "", **more: Any
    ) -> tuple[httpx.Response, list[str]]:
        """The data of a stream's events, up to the first that holds `until`."""
        found: list[str] = []
        method = "GET" if body is None else "POST"
        async with self.http.stream(method, path, json=body, **more) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    found.append(line[6:])
                    if until and until in line:
                        break
        assert answer.status_code == 200, found
        return answer, found


def events_in(data: list[str]) -> list[dict[str, Any]]:
    return [found for line in data if isinstance(found := json.loads(line), dict)]


def answer_in(data: list[str]) -> str:
    """The answer of a stream in our own words."""
    done = [event for event in events_in(data) if event.get("type") == "done"]
    return str(done[-1]["answer"])


class LangServe(Mouth):
    """`/agent/stream`; a stream is taken up at the run."""

    run = ""

    def _body(self, **given: Any) -> dict[str, Any]:
        chosen = {"thread_id": self.thread, "on_disconnect": "continue"}
        return {"input": given, "config": {"configurable": chosen}}

    async def begins(self, text: str) -> None:
        answer, _ = await self.read("/agent/stream", self._body(message=text), until=FIRST)
        self.run = answer.headers["x-run-id"]

    async def takes_up(self) -> str:
        return answer_in((await self.read(f"/runs/{self.run}/events", None))[1])

    async def asks(self, text: str) -> None:
        _, found = await self.read("/agent/stream", self._body(message=text))
        assert events_in(found)[-1]["status"] == "interrupted"

    async def approves(self) -> str:
        return answer_in((await self.read("/agent/stream", self._body(resume={"approve": True})))[1])


class Runs(Mouth):
    """`/threads/{id}/runs` and the events of a run."""

    run, last = "", 0

    async def _begin(self, text: str) -> None:
        answer = await self.http.post(f"/threads/{self.thread}/runs", json={"input": {"message": text}})
        self.run = answer.json()["run_id"]

    async def begins(self, text: str) -> None:
        await self._begin(text)
        _, found = await self.read(f"/runs/{self.run}/events", None, until=FIRST)
        self.last = events_in(found)[-1]["seq"]

    async def takes_up(self) -> str:
        headers = {"last-event-id": str(self.last)}
        _, found = await self.read(f"/runs/{self.run}/events", None, headers=headers)
        assert events_in(found)[0]["seq"] == self.last + 1
        return answer_in(found)

    async def asks(self, text: str) -> None:
        await self._begin(text)
        answer = await self.http.get(f"/runs/{self.run}/wait")
        assert answer.json()["status"] == "interrupted"

    async def approves(self) -> str:
        await self.http.post(f"/runs/{self.run}/resume", json={"resume": {"approve": True}})
        answer = await self.http.get(f"/runs/{self.run}/wait")
        return str(answer.json()["output"]["answer"])


class Completions(Mouth):
    """OpenAI's chat completions: who comes back asks for the answer as it was told."""

    run = ""

    def _body(self, text: str, *, stream: bool) -> dict[str, Any]:
        return {
            "model": GRAPH,
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
            "metadata": {"thread_id": self.thread},
            "waystation": {"on_disconnect": "continue"},
        }

    async def begins(self, text: str) -> None:
        answer, _ = await self.read("/v1/chat/completions", self._body(text, stream=True), until=FIRST)
        self.run = answer.headers["x-run-id"]

    async def takes_up(self) -> str:
        # This protocol has no way back to a stream: the answer stands in the run.
        answer = await self.http.get(f"/runs/{self.run}/wait")
        return str(answer.json()["output"]["answer"])

    async def _whole(self, text: str) -> dict[str, Any]:
        answer = await self.http.post("/v1/chat/completions", json=self._body(text, stream=False))
        found: dict[str, Any] = answer.json()
        return found

    async def asks(self, text: str) -> None:
        assert (await self._whole(text))["waystation"]["status"] == "interrupted"

    async def approves(self) -> str:
        return str((await self._whole("approve"))["choices"][0]["message"]["content"])


class Responses(Mouth):
    """OpenAI's responses."""

    response = ""
    question = ""

    def _body(self, given: Any, **more: Any) -> dict[str, Any]:
        return {"model": GRAPH, "input": given, **more}

    async def begins(self, text: str) -> None:
        body = self._body(text, stream=True, background=True, conversation=self.thread)
        _, found = await self.read("/v1/responses", body, until=f'"delta":"{FIRST}')
        self.response = events_in(found)[0]["response"]["id"]

    async def takes_up(self) -> str:
        _, found = await self.read(f"/v1/responses/{self.response}", None, params={"stream": "true"})
        return "".join(e["delta"] for e in events_in(found) if e["type"] == "response.output_text.delta")

    async def asks(self, text: str) -> None:
        body = self._body(text, previous_response_id=self.response)
        found = (await self.http.post("/v1/responses", json=body)).json()
        (self.question,) = [item["id"] for item in found["output"] if item["type"] == "mcp_approval_request"]
        self.response = found["id"]

    async def approves(self) -> str:
        yes = {"type": "mcp_approval_response", "approval_request_id": self.question, "approve": True}
        body = self._body([yes], previous_response_id=self.response)
        found = (await self.http.post("/v1/responses", json=body)).json()
        (said,) = [item for item in found["output"] if item["type"] == "message"]
        return str(said["content"][0]["text"])


class LangGraph(Mouth):
    """LangGraph's client for Python."""

    run, last = "", ""

    def _client(self) -> LangGraphClient:
        return get_client(url=f"{self.http.base_url}/langgraph".replace("//langgraph", "/langgraph"))

    async def begins(self, text: str) -> None:
        def made(told: Any) -> None:
            self.run = told["run_id"]

        async with self._client() as client:
            stream = client.runs.stream(
                self.thread,
                GRAPH,
                input=asks(text),
                stream_mode="messages-tuple",
                if_not_exists="create",
                on_run_created=made,
            )
            async for part in stream:
                if part.event == "messages":
                    self.first, self.last = part.data[0]["content"], str(part.id)
                    break

    async def takes_up(self) -> str:
        async with self._client() as client:
            found = await parts_of(
                client.runs.join_stream(
                    self.thread, self.run, stream_mode="messages-tuple", last_event_id=self.last
                )
            )
        rest = "".join(part.data[0]["content"] for part in found if part.event == "messages")
        return f"{self.first}{rest}"

    async def asks(self, text: str) -> None:
        async with self._client() as client:
            ended: Any = await client.runs.wait(self.thread, GRAPH, input=asks(text))
        assert ended["__interrupt__"]

    async def approves(self) -> str:
        async with self._client() as client:
            ended: Any = await client.runs.wait(self.thread, GRAPH, command={"resume": {"approve": True}})
        return str(ended["messages"][-1]["content"])


class Chat(Mouth):
    """LangServe's chat playground: messages in, a message out."""

    def _body(self, text: str) -> dict[str, Any]:
        # By itself this page refuses what a person would have to approve.
        chosen = {"thread_id": self.thread, "on_disconnect": "continue", "approval": "ask"}
        said = [{"type": "human", "content": text}]
        return {"input": {"messages": said}, "config": {"configurable": chosen}}

    async def begins(self, text: str) -> None:
        await self.read("/chat/stream", self._body(text), until=FIRST)

    async def takes_up(self) -> str:
        (run,) = (await self.http.get(f"/threads/{self.thread}/runs")).json()
        answer = await self.http.get(f"/runs/{run['run_id']}/wait")
        return str(answer.json()["output"]["answer"])

    async def _say(self, text: str) -> str:
        answer = await self.http.post("/chat/invoke", json=self._body(text))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["output"]["content"])

    async def asks(self, text: str) -> None:
        said = await self._say(text)
        assert "approve" in said, said

    async def approves(self) -> str:
        return await self._say("approve")


class Python(Mouth):
    """The agent in a process: what the command line and notebooks do."""

    run = ""

    async def _events(self, text: str = "", **more: Any) -> AsyncIterator[dict[str, Any]]:
        async for event in self.agent.stream(text, thread=self.thread, on_disconnect="continue", **more):
            yield event

    async def begins(self, text: str) -> None:
        async for event in self._events(text):
            if FIRST in json.dumps(event):
                self.run = event["run_id"]
                break

    async def takes_up(self) -> str:
        answer = await self.http.get(f"/runs/{self.run}/wait")
        return str(answer.json()["output"]["answer"])

    async def asks(self, text: str) -> None:
        ended = [event async for event in self._events(text)][-1]
        assert ended["status"] == "interrupted"

    async def approves(self) -> str:
        ended = [event async for event in self._events(resume={"approve": True})][-1]
        return str(ended["answer"])


MOUTHS: Mapping[str, type[Mouth]] = {
    "/agent": LangServe,
    "/runs": Runs,
    "/v1/chat/completions": Completions,
    "/v1/responses": Responses,
    "/langgraph": LangGraph,
    "/chat": Chat,
    "python": Python,
}
