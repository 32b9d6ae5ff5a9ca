"""What a process remembers of a thread that it left is what the database has, whatever happened meanwhile."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.pregel._checkpoint import achannels_from_checkpoint

from core.access import Principal
from graph import Agent
from graph.checkpoints.remembering import Remembering
from graph.errors import ThreadNotFound
from nodes.llm.errors import ModelRefused
from tests.fixtures.make_threads import install_tools
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, calls, refuse, say

LOCAL = Principal("local")
TWO = calls(("sums_multiply", {"a": 2, "b": 3}), ("sums_multiply", {"a": 4, "b": 5}))
THREADS = ("one", "two")


def plain(value: Any) -> Any:
    """Everything that can be compared: messages as what they are made of."""
    if isinstance(value, BaseMessage):
        return [type(value).__name__, plain(value.model_dump())]
    if isinstance(value, _DeltaSnapshot):
        return ["snapshot", plain(value.value)]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


class Read:
    """A saver without what it remembers."""

    def __init__(self, saver: Remembering) -> None:
        self._saver = saver

    async def aget_tuple(self, config: Any) -> Any:
        return await super(Remembering, self._saver).aget_tuple(config)

    async def aget_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        read = super(Remembering, self._saver).aget_delta_channel_history
        return await read(config=config, channels=channels)


class Compared:
    """Holds everything that is told from memory against the database at that moment."""

    def __init__(self, graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told = 0
        self._graph, self._original = graph, Remembering.aget_tuple
        compared = self

        async def aget_tuple(saver: Remembering, config: Any) -> Any:
            return await compared.tuple(saver, config)

        monkeypatch.setattr(Remembering, "aget_tuple", aget_tuple)

    async def tuple(self, saver: Remembering, config: Any) -> Any:
        hold = saver._hold(config)
        left = saver._as_left(hold) if hold else None
        found = await self._original(saver, config)
        if left and left.found:
            self.told += 1
            read = await Read(saver).aget_tuple(config)
            assert self._beside(found) == self._beside(read)
            assert await self._state(found, saver) == await self._state(read, Read(saver))
        return found

    def _beside(self, found: Any) -> Any:
        """All but the delta channels: of these PostgreSQL gives some whole and some in parts."""
        deltas = {name for name, each in self._graph.channels.items() if isinstance(each, DeltaChannel)}
        values = {k: v for k, v in found.checkpoint["channel_values"].items() if k not in deltas}
        return plain(found._replace(checkpoint={**found.checkpoint, "channel_values": values}))

    async def _state(self, found: Any, saver: Any) -> Any:
        """Every channel, as LangGraph makes it at the beginning of a run."""
        channels, _ = await achannels_from_checkpoint(
            self._graph.channels, found.checkpoint, saver=saver, config=found.config
        )
        return {name: plain(each.get()) for name, each in channels.items() if each.is_available()}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(default="As you say.") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'threads.db'}"
    url = request.getfixturevalue("postgres_url")
    return str(url.set(drivername="postgresql").render_as_string())


@pytest.fixture
async def agents(model: ModelServer, storage_url: str, tmp_path: Path) -> AsyncIterator[list[Agent]]:
    """Two services at one database, each with what it remembers itself."""
    install_tools(tmp_path / "home")
    context = context_at(
        tmp_path,
        environ={"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"},
        storage={"url": storage_url},
        threads={"window": 3},
        mcp={"bundled": False},
    )
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Agent.open(context)) for _ in range(2)]


class Life:
    """What happens to threads."""

    def __init__(self, agents: list[Agent], model: ModelServer, choose: random.Random) -> None:
        self._agents, self._model, self._choose = agents, model, choose
        self._said = 0

    async def happens(self) -> None:
        kinds = {"ask": 12, "calls": 4, "fails": 1, "edit": 1, "delete": 1}
        kind = self._choose.choices(list(kinds), list(kinds.values()))[0]
        agent = self._agents[self._choose.random() < 0.2]
        thread = self._choose.choice(THREADS)
        self._said += 1
        question = f"Question {self._said}?"
        if kind == "edit":
            await self._edit(agent, thread)
        elif kind == "delete":
            await self._delete(agent, thread)
        else:
            if kind == "calls":
                self._model.script(TWO, say("Both."), match=question)
            elif kind == "fails":
                self._model.script(refuse(400), match=question)
            await self._ask(agent, question, thread)

    async def _ask(self, agent: Agent, question: str, thread: str) -> None:
        with suppress(ModelRefused):
            await agent.ask(question, thread=thread)

    async def _edit(self, agent: Agent, thread: str) -> None:
        with suppress(ThreadNotFound):
            async with agent.holding(thread) as config:
                said = [HumanMessage("Said by hand."), AIMessage("Answered by hand.")]
                await agent.graph.aupdate_state(config, {"messages": said})

    async def _delete(self, agent: Agent, thread: str) -> None:
        with suppress(ThreadNotFound):
            await agent.threads.delete(LOCAL, thread)


async def test_a_turn_begins_with_what_the_database_has(
    agents: list[Agent], model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = Compared(agents[0].graph, monkeypatch)
    life = Life(agents, model, random.Random(1))  # noqa: S311 - nothing secret about it
    for _ in range(40):
        await life.happens()
    assert compared.told > 10
