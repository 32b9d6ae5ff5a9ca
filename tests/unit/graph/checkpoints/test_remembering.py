"""When a thread is told from memory, and when it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from graph.checkpoints import remembering
from graph.checkpoints.remembering import Remembering, ThreadSqliteSaver
from graph.checkpoints.saver import opened_saver
from graph.checkpoints.written import WrittenSqliteSaver
from graph.db.database import opened_database, writer_of
from graph.runs.lease import held
from tests.unit.graph.run_kit import Desk

PLACE: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
INPUT = "input of the turn"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with opened_database(make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}")) as engine:
        yield engine


@pytest.fixture
async def saver(engine: AsyncEngine) -> AsyncIterator[Remembering]:
    async with opened_saver(engine.url, writer_of(engine)) as saver:
        assert isinstance(saver, ThreadSqliteSaver)
        saver._deltas = frozenset({"messages"})
        yield saver


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read from the database."""
    found: list[str] = []
    get, history = WrittenSqliteSaver.aget_tuple, WrittenSqliteSaver.aget_delta_channel_history

    async def aget_tuple(self: Any, config: Any) -> Any:
        found.append("tuple")
        return await get(self, config)

    async def aget_history(self: Any, **named: Any) -> Any:
        found.append("history")
        return await history(self, **named)

    monkeypatch.setattr(WrittenSqliteSaver, "aget_tuple", aget_tuple)
    monkeypatch.setattr(WrittenSqliteSaver, "aget_delta_channel_history", aget_history)
    return found


async def turn(saver: Remembering, said: str) -> list[str]:
    """A turn as LangGraph has it, with one message; the texts of all that it begins with."""
    before = await saver.aget_tuple(PLACE)
    texts: list[str] = []
    config, values = PLACE, {"messages": _DeltaSnapshot([HumanMessage(said)])}
    if before is not None:
        config, values = before.config, {}
        texts = await messages(saver, before)
        await saver.aput_writes(config, [("messages", HumanMessage(said))], INPUT, "")
    for updated in (["__start__"], ["messages"]):
        checkpoint: Any = {
            **empty_checkpoint(),
            "channel_values": values if updated == ["__start__"] else {},
            "channel_versions": {"messages": "1"},
            "updated_channels": updated,
        }
        config = await saver.aput(config, checkpoint, {"source": "loop", "step": 1}, {})
    return texts


async def messages(saver: Remembering, at: Any) -> list[str]:
    found = (await saver.aget_delta_channel_history(config=at.config, channels=["messages"]))["messages"]
    seed: Any = found.get("seed")
    return [m.content for m in [*(seed.value if seed else []), *(value for _, _, value in found["writes"])]]


async def had(desk: Desk, saver: Remembering, said: str, status: str = "done") -> list[str]:
    run = await desk.begun(said)
    with held(run.hold):
        begun_with = await turn(saver, said)
    await desk.end(run, status)
    return begun_with


async def test_a_turn_behind_one_of_this_process_reads_nothing(
    engine: AsyncEngine, saver: Remembering, reads: list[str]
) -> None:
    desk = Desk.at(engine)
    await had(desk, saver, "one")
    reads.clear()
    assert await had(desk, saver, "two") == ["one"]
    assert await had(desk, saver, "three") == ["one", "two"]
    assert reads == []
    found = await saver.aget_tuple(PLACE)
    assert found is not None
    assert await messages(saver, found) == ["one", "two", "three"], "others read, as ever"
    assert reads == ["tuple", "history"]


@pytest.mark.parametrize(
    "between", ["failed", "upkeep", "another process", "deleted", "another connection", "evicted", "large"]
)
async def test_a_turn_reads_where_it_may_not_know(
    between: str,
    engine: AsyncEngine,
    saver: Remembering,
    reads: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk.at(engine)
    await had(desk, saver, "one")
    if between == "failed":
        await had(desk, saver, "two", "failed")
    elif between == "upkeep":
        async with desk.leases.borrow("t"):
            pass
    elif between == "another process":
        async with opened_saver(engine.url) as other:
            await had(Desk.at(engine), other, "two")  # type: ignore[arg-type]  # of the same kind
    elif between == "deleted":
        await saver.adelete_thread("t")
    elif between == "another connection":
        await writer_of(engine).aclose()
    else:
        monkeypatch.setattr(remembering, "BYTES" if between == "evicted" else "BYTES_EACH", 0)
        await had(desk, saver, "two")
    reads.clear()
    begun_with = await had(desk, saver, "last")
    assert reads[:1] == ["tuple"]
    assert begun_with == {"deleted": [], "upkeep": ["one"], "another connection": ["one"]}.get(
        between, ["one", "two"]
    )


async def test_a_checkpoint_that_could_not_be_written_is_not_remembered(
    engine: AsyncEngine, saver: Remembering, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk.at(engine)
    await had(desk, saver, "one")
    run = await desk.begun("two")
    with held(run.hold):
        assert await saver.aget_tuple(PLACE) is not None
        writer: Any = saver
        with monkeypatch.context() as broken:
            broken.setattr(writer, "_of_checkpoint", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await turn(saver, "two")
    await desk.end(run)
    reads.clear()
    await had(desk, saver, "three")
    assert reads == ["tuple", "history"]


async def test_a_thread_is_remembered_up_to_what_it_takes_with_calls_and_values(
    engine: AsyncEngine, saver: Remembering, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "BYTES_EACH", 20_000)
    desk = Desk.at(engine)
    await had(desk, saver, "one")
    assert 0 < saver._bytes < 20_000
    call = {"id": "c", "name": "sums_multiply", "args": {"a": "1" * 30_000}}
    run = await desk.begun("two")
    with held(run.hold):
        before = await saver.aget_tuple(PLACE)
        assert before is not None
        await saver.aput_writes(before.config, [("messages", AIMessage("", tool_calls=[call]))], INPUT, "")
        checkpoint: Any = {
            **empty_checkpoint(),
            "channel_versions": {"messages": "1"},
            "updated_channels": [],
        }
        await saver.aput(before.config, checkpoint, {"source": "loop", "step": 1}, {})
    await desk.end(run)
    assert saver._bytes == 0
    reads.clear()
    assert await had(desk, saver, "three") == ["one", ""]
    assert reads == ["tuple", "history"]
