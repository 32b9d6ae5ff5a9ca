"""Which checkpoints somebody waits for: those in front of which something was done."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.promises import kept, promising
from core.database.units import Unit
from core.database.writer import Entry, Writer
from graph.checkpoints.saver import Saver, opened_saver
from graph.db.database import opened_database, writer_of
from graph.errors import LeaseLost
from graph.runs.lease import fenced
from tests.unit.graph.run_kit import Desk

LOOKING = frozenset({"__start__", "lookup_config", "retrieve"})
# What each checkpoint of a turn without tools was made of: its source, and the channels that were written.
TURN: tuple[tuple[str, list[str]], ...] = (
    ("input", ["__start__"]),
    ("loop", ["branch:to:lookup_config", "messages"]),
    ("loop", ["branch:to:retrieve", "config"]),
    ("loop", ["branch:to:call_model", "documents"]),
    ("loop", ["branch:to:store_files", "messages"]),
    ("loop", []),
)
# The same, where its look-ups are made within the model's step and there is nothing to store.
SHORT: tuple[tuple[str, list[str]], ...] = (
    ("input", ["__start__"]),
    ("loop", ["branch:to:call_model", "messages"]),
    ("loop", ["config", "documents", "messages"]),
)


class Handed:
    """Notes for each checkpoint whether somebody waits for it."""

    def __init__(self, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waited: list[bool] = []
        self._write, self._later = writer.write, writer.later
        monkeypatch.setattr(writer, "write", self.write)
        monkeypatch.setattr(writer, "later", self.later)

    async def write(self, unit: Unit, *, alone: bool = False) -> Any:
        if unit.statements:
            self.waited.append(True)
        return await self._write(unit, alone=alone)

    def later(self, unit: Unit) -> None:
        self.waited.append(False)
        self._later(unit)


class Held:
    """The writer's thread, kept from its next group for as long as a test wants."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._group = writer_of(engine)._group
        self._came, self._goes_on = threading.Event(), threading.Event()

    async def until_in_line(self) -> None:
        assert await asyncio.to_thread(self._came.wait, 10)

    def let_go(self) -> None:
        self._goes_on.set()

    async def __aenter__(self) -> Self:
        commit = self._group.commit

        def held(entries: Sequence[Entry]) -> list[Any]:
            self._came.set()
            assert self._goes_on.wait(10)
            return commit(entries)

        self._group.commit = held  # type: ignore[method-assign]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.let_go()
        del self._group.commit


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    async with opened_database(database) as engine:
        yield engine


async def put(saver: Saver, steps: Sequence[tuple[str, list[str]]], space: str = "") -> list[str]:
    """One checkpoint behind the other, as LangGraph makes them; their ids."""
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": space}}
    ids: list[str] = []
    for number, (source, updated) in enumerate(steps):
        checkpoint: Any = {**empty_checkpoint(), "id": f"{number:08d}", "updated_channels": updated}
        told: Any = {"source": source, "step": number}
        config = await saver.aput(config, checkpoint, told, {})
        ids.append(checkpoint["id"])
    return ids


@pytest.mark.parametrize(
    ("steps", "waited"),
    [
        (TURN, [False, False, False, False, True, False]),
        # An answer is waited for also where nothing comes behind it: its model is not asked again.
        (SHORT, [False, False, True]),
        # A further step stands behind the look-up: from there on each is waited for.
        (
            (
                *TURN[:2],
                ("loop", ["branch:to:guard", "config"]),
                ("loop", ["branch:to:retrieve"]),
                ("loop", ["branch:to:call_model", "documents"]),
                ("loop", []),
            ),
            [False, False, False, True, True, False],
        ),
        # Two ways at once, one of them to a step that does something.
        ((TURN[0], ("loop", ["branch:to:guard", "branch:to:lookup_config"]), TURN[2]), [False, False, True]),
        # Calls that are sent, and an edit from outside.
        ((*TURN[:4], ("loop", ["__pregel_tasks", "messages"])), [False, False, False, False, True]),
        ((("update", ["branch:to:lookup_config", "messages"]), TURN[2]), [True, True]),
    ],
)
async def test_a_checkpoint_is_waited_for_where_something_was_done_and_more_comes(
    steps: Sequence[tuple[str, list[str]]],
    waited: list[bool],
    database: URL,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await Desk.at(engine).begun(thread="t")
    async with opened_saver(database, writer_of(engine)) as saver:
        saver.looking = LOOKING
        handed = Handed(writer_of(engine), monkeypatch)
        with fenced("t", run.hold.fence, run_id=run.id):
            ids = await put(saver, steps)
            assert handed.waited == waited
            found = [
                each.checkpoint["id"] async for each in saver.alist({"configurable": {"thread_id": "t"}})
            ]
        assert found == ids[::-1], "whoever reads the thread waits for what was handed over"


@pytest.mark.parametrize(
    ("step", "goes_ahead"),
    [
        (("loop", ["branch:to:call_model", "messages"]), True),
        (("loop", ["__pregel_tasks", "messages"]), True),
        (("loop", ["messages"]), True),
        # Whoever stands there waits for nothing by itself.
        (("loop", ["branch:to:store_files", "messages"]), False),
        (("loop", ["__pregel_tasks", "branch:to:guard", "messages"]), False),
        (("update", ["messages"]), False),
    ],
)
async def test_a_step_that_waits_by_itself_begins_while_the_checkpoint_before_it_is_committed(
    step: tuple[str, list[str]], goes_ahead: bool, database: URL, engine: AsyncEngine
) -> None:
    run = await Desk.at(engine).begun(thread="t")
    async with opened_saver(database, writer_of(engine)) as saver, Held(engine) as held:
        saver.keeping = frozenset({"call_model", "__pregel_tasks"})
        with fenced("t", run.hold.fence, run_id=run.id):
            async with promising():
                putting = asyncio.create_task(put(saver, [step]))
                await held.until_in_line()
                await asyncio.wait([putting], timeout=0 if not goes_ahead else 10)
                assert putting.done() is goes_ahead
                waiting = asyncio.create_task(kept())
                held.let_go()
                await asyncio.gather(putting, waiting)
                ids = [each.checkpoint["id"] async for each in saver.alist(None)]
                assert ids == ["00000000"]


async def test_a_turn_whose_thread_was_taken_over_hears_of_it_where_it_waits(
    database: URL, engine: AsyncEngine
) -> None:
    run = await Desk.at(engine).begun(thread="t")
    async with opened_saver(database, writer_of(engine)) as saver:
        with fenced("t", run.hold.fence - 1, run_id=run.id):

            async def turn() -> None:
                async with promising():
                    await put(saver, [("loop", ["messages"])])
                    await kept()

            with pytest.raises(LeaseLost):
                await turn()


@pytest.mark.filterwarnings("error")
async def test_a_turn_that_is_cut_before_its_promise_begins_to_wait_leaves_it_in_the_line(
    database: URL, engine: AsyncEngine
) -> None:
    run = await Desk.at(engine).begun(thread="t")
    async with opened_saver(database, writer_of(engine)) as saver:

        async def turn() -> None:
            async with promising():
                await put(saver, [("loop", ["messages"])])
                raise asyncio.CancelledError

        with fenced("t", run.hold.fence, run_id=run.id):
            with pytest.raises(asyncio.CancelledError):
                await turn()
            gc.collect()  # a coroutine that nobody has awaited is told of here
            await writer_of(engine).write(Unit())
            assert [each.checkpoint["id"] async for each in saver.alist(None)] == ["00000000"]


@pytest.mark.parametrize(("run_id", "space"), [("", ""), ("r", "guard:1")])
async def test_upkeep_and_graphs_inside_of_a_step_wait_for_each(
    run_id: str, space: str, database: URL, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await Desk.at(engine).begun(thread="t")
    async with opened_saver(database, writer_of(engine)) as saver:
        saver.looking = LOOKING
        handed = Handed(writer_of(engine), monkeypatch)
        with fenced("t", run.hold.fence, run_id=run_id):
            await put(saver, TURN, space)
        assert handed.waited == [True] * len(TURN)
