"""Mouths of other people's wires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.kit.langgraph import asks, parts_of
from tests.kit.mcp import FORMS, New, Old
from tests.kit.mouth import FIRST, GRAPH, Mouth, answer_in, events_in


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


class Mcp(Mouth):
    """MCP: a lost stream in the dialect that has sessions, and a question in the one that has none."""

    question: tuple[str, dict[str, Any]]

    async def begins(self, text: str) -> None:
        self.old = await Old.met(self.http)
        self.said = list[str]()
        meta, wish = {"progressToken": 1}, {"message": text, "thread_id": self.thread}
        async with self.old.calling("ask", meta=meta, **wish) as found:
            async for message in found:
                self.said.append(message["params"]["message"])
                if FIRST in "".join(self.said):
                    break

    async def takes_up(self) -> str:
        async with self.old.coming_back(self.old.last) as found:
            *told, last = [message async for message in found]
        answer = str(last["result"]["structuredContent"]["answer"])
        assert "".join([*self.said, *(one["params"]["message"] for one in told)]) == answer
        return answer

    async def asks(self, text: str) -> None:
        asked = await New(self.http, **FORMS).call("ask", message=text, thread_id=self.thread)
        (name,) = asked["inputRequests"]
        yes = {"action": "accept", "content": {"approve": True}}
        self.question = text, {"requestState": asked["requestState"], "inputResponses": {name: yes}}

    async def approves(self) -> str:
        text, again = self.question
        done = await New(self.http, **FORMS).call("ask", again, message=text, thread_id=self.thread)
        return str(done["structuredContent"]["answer"])


class AgUi(Mouth):
    """AG-UI, which has no way to take up a stream: the run is read elsewhere."""

    run, question = "", ""

    def _body(self, text: str, **more: Any) -> dict[str, Any]:
        said = [{"id": "u", "role": "user", "content": text}]
        chosen = {"thread_id": self.thread, "on_disconnect": "continue"}
        return {"threadId": self.thread, "runId": "r", "messages": said, "forwardedProps": chosen, **more}

    async def begins(self, text: str) -> None:
        answer, _ = await self.read("/ag-ui", self._body(text), until=FIRST)
        self.run = answer.headers["x-run-id"]

    async def takes_up(self) -> str:
        return answer_in((await self.read(f"/runs/{self.run}/events", None))[1])

    async def asks(self, text: str) -> None:
        _, found = await self.read("/ag-ui", self._body(text))
        (asked,) = events_in(found)[-1]["outcome"]["interrupts"]
        self.question = asked["id"]

    async def approves(self) -> str:
        yes = {"interruptId": self.question, "status": "resolved", "payload": {"approve": True}}
        _, found = await self.read("/ag-ui", self._body("", resume=[yes]))
        return "".join(e["delta"] for e in events_in(found) if e["type"] == "TEXT_MESSAGE_CONTENT")


class A2a(Mouth):
    """A2A: a task whose stream was lost is subscribed to, or asked for when it is over."""

    task = ""

    def _body(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}

    def _said(self, text: str, **more: Any) -> dict[str, Any]:
        named = {"messageId": text, "contextId": self.thread, "role": "ROLE_USER"}
        return {"message": {**named, "parts": [{"text": text}], **more}}

    async def _task(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        body = (await self.http.post("/a2a", json=self._body(method, params))).json()
        found: dict[str, Any] = body["result"].get("task", body["result"])
        return found

    async def begins(self, text: str) -> None:
        body = self._body("SendStreamingMessage", self._said(text))
        _, found = await self.read("/a2a", body, until=f'"text":"{FIRST}')
        self.task = events_in(found)[0]["result"]["task"]["id"]

    async def takes_up(self) -> str:
        await self.http.get(f"/runs/{self.task}/wait")
        (answer,) = (await self._task("GetTask", {"id": self.task}))["artifacts"]
        return str(answer["parts"][0]["text"])

    async def asks(self, text: str) -> None:
        found = await self._task("SendMessage", self._said(text))
        assert found["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        self.task = found["id"]

    async def approves(self) -> str:
        found = await self._task("SendMessage", self._said("approve", taskId=self.task))
        return str(found["artifacts"][0]["parts"][0]["text"])
