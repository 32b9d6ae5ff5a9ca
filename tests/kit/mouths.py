"""Ways to talk to the service, each with the same three things to do: a row of `MOUTHS` is a mouth.

A turn that is cut is read up to its first words, left, and taken up: what is seen then is the whole
answer once. A turn that asks a person ends with the question, and the person approves.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from graph.agent import Agent
from tests.kit.mouth import FIRST, Mouth, answer_in, events_in
from tests.kit.mouths_of_wires import A2a, AgUi, Completions, LangGraph, Mcp, Responses
from waystation.testing.service import ROOT


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

    run, last, said = "", 0, ""

    async def _begin(self, text: str) -> None:
        answer = await self.http.post(f"/threads/{self.thread}/runs", json={"input": {"message": text}})
        self.run = answer.json()["run_id"]

    async def begins(self, text: str) -> None:
        await self._begin(text)
        _, found = await self.read(f"/runs/{self.run}/events", None, until=FIRST)
        self.last, self.said = events_in(found)[-1]["seq"], _words_in(found)

    async def takes_up(self) -> str:
        headers = {"last-event-id": str(self.last)}
        _, found = await self.read(f"/runs/{self.run}/events", None, headers=headers)
        assert f"{self.said}{_words_in(found)}" == answer_in(found)
        return answer_in(found)

    async def asks(self, text: str) -> None:
        await self._begin(text)
        answer = await self.http.get(f"/runs/{self.run}/wait")
        assert answer.json()["status"] == "interrupted"

    async def approves(self) -> str:
        await self.http.post(f"/runs/{self.run}/resume", json={"resume": {"approve": True}})
        answer = await self.http.get(f"/runs/{self.run}/wait")
        return str(answer.json()["output"]["answer"])


def _words_in(data: list[str]) -> str:
    return "".join(event["delta"] for event in events_in(data) if event.get("type") == "token")


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
    """The agent in a process, as in notebooks."""

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


class CommandLine(Mouth):
    """`waystation ask`, a process each. Who ends the command ends its turn: so it is held, not cut."""

    going: asyncio.subprocess.Process

    def _command(self, *words: str) -> Any:
        command = (sys.executable, "-m", "waystation", "ask", "--thread", self.thread, *words)
        environ = {**os.environ, **environment_of(self.agent)}
        pipe = asyncio.subprocess.PIPE
        return asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environ, cwd=ROOT)

    async def begins(self, text: str) -> None:
        self.going = await self._command(text)
        assert self.going.stdout is not None
        self.said = (await self.going.stdout.readexactly(len(FIRST))).decode()

    async def takes_up(self) -> str:
        rest, told = await self.going.communicate()
        assert self.going.returncode == 0, told.decode()
        return f"{self.said}{rest.decode()}".strip()

    async def _whole(self, *words: str) -> dict[str, Any]:
        process = await self._command("--json", *words)
        said, told = await process.communicate()
        assert process.returncode == 0, told.decode()
        found: dict[str, Any] = json.loads(said)
        return found

    async def asks(self, text: str) -> None:
        assert (await self._whole(text))["status"] == "interrupted"

    async def approves(self) -> str:
        return str((await self._whole("--approve"))["answer"])


def environment_of(agent: Agent) -> dict[str, str]:
    """The variables of a command beside the agent: on the same home, with the same configuration."""
    context = agent.book.context
    places = {"HOME": context.places.home, "CONFIG_DIR": context.places.config_dir}
    return {**context.environ, **{f"WAYSTATION_{name}": str(path) for name, path in places.items()}}


MOUTHS: Mapping[str, type[Mouth]] = {
    "/agent": LangServe,
    "/runs": Runs,
    "/v1/chat/completions": Completions,
    "/v1/responses": Responses,
    "/langgraph": LangGraph,
    "/chat": Chat,
    "/mcp": Mcp,
    "/ag-ui": AgUi,
    "/a2a": A2a,
    "python": Python,
    "waystation ask": CommandLine,
}
