"""What a way to talk to the service does in the tests, see `tests.kit.mouths`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import httpx

from graph.agent import Agent

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
