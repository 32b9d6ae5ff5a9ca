"""Which checkpoints somebody waits for: those in front of which something was done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.units import Unit
from core.database.writer import Writer
from graph.checkpoints.saver import Saver, opened_saver
from graph.db.database import opened_database, writer_of
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
