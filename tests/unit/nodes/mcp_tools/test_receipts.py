"""A call is made once, whatever happens to the attempt that makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from nodes.mcp_tools.adapters.session import SessionConnector
from nodes.mcp_tools.calls import (
    UNKNOWN,
    NoReceipts,
    outcome_as_json,
    outcome_from_json,
)
from nodes.mcp_tools.executor import RecordedCalls, ToolExecutor
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import Artifact, ExecutionContext, Receipt, ToolOutcome
from nodes.mcp_tools.plugins import Inventory, PluginManifest
from nodes.mcp_tools.ports import NoFileLinks
from nodes.mcp_tools.settings import McpSettings
from tests.kit.counted_tools import CountedTools

CONTEXT = ExecutionContext(Principal("ada"), thread_id="t", run_id="r", call_id="c1")


class KeptReceipts:
    """Receipts in memory: they outlive an attempt, as those of a database do."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any] | None] = {}
        self.dies_at_end = False

    async def begin(self, context: ExecutionContext) -> Receipt:
        if context.call_id not in self.kept:
            self.kept[context.call_id] = None
            return Receipt()
        outcome = self.kept[context.call_id]
        return Receipt(begun=True, outcome=outcome_from_json(outcome) if outcome else None)

    async def end(self, context: ExecutionContext, outcome: ToolOutcome) -> None:
        if self.dies_at_end:
            raise ProcessDied
        self.kept[context.call_id] = outcome_as_json(outcome)

    async def forget(self, context: ExecutionContext) -> None:
        del self.kept[context.call_id]


class ProcessDied(BaseException):
    """Nothing of the attempt goes on from here."""


@pytest.fixture
def counted(tmp_path: Path) -> CountedTools:
    return CountedTools(tmp_path / "home")


@pytest.fixture
async def executor(tmp_path: Path, counted: CountedTools) -> AsyncIterator[ToolExecutor]:
    folder = tmp_path / "home" / "plugins" / "counted"
    manifest = PluginManifest.model_validate_json(
        (folder / "plugin.json").read_text(), context={"base": folder}
    )
    settings = McpSettings.model_validate({"start_timeout_s": 60})
    connector = SessionConnector(tmp_path / "logs")
    async with MCPToolManager(Inventory({"counted": manifest.entry()}), connector, settings) as manager:
        yield ToolExecutor(manager, NoFileLinks())


class Attempts:
    """Attempts of one turn at its calls, over the same receipts."""

    def __init__(self, executor: ToolExecutor, receipts: KeptReceipts | NoReceipts) -> None:
        self._executor = executor
        self._once = RecordedCalls(executor, receipts)

    async def make(self, tool: str, arguments: dict[str, Any], call_id: str = "c1") -> ToolOutcome:
        context = ExecutionContext(Principal("ada"), thread_id="t", run_id="r", call_id=call_id)
        call: dict[str, Any] = {"id": call_id, "name": f"counted_{tool}", "args": arguments}
        target = await self._executor.find(call["name"], context)
        return await self._once.make(call, context, target, lambda *_: None)


async def test_a_call_whose_outcome_is_known_is_not_made_again(
    executor: ToolExecutor, counted: CountedTools
) -> None:
    attempts = Attempts(executor, KeptReceipts())
    first = await attempts.make("book", {"boat": "Ada"})
    again = await attempts.make("book", {"boat": "Ada"})
    assert (first.status, first.text) == ("ok", "booked for Ada")
    assert again == first
    assert counted.made == ["book Ada"]


async def test_a_call_that_died_between_the_tool_and_its_receipt_ends_as_unknown(
    executor: ToolExecutor, counted: CountedTools
) -> None:
    receipts = KeptReceipts()
    attempts = Attempts(executor, receipts)
    receipts.dies_at_end = True
    with pytest.raises(ProcessDied):
        await attempts.make("book", {"boat": "Ada"})
    assert counted.made == ["book Ada"], "the tool has done its work"
    receipts.dies_at_end = False
    for _ in range(2):
        outcome = await attempts.make("book", {"boat": "Ada"})
        assert (outcome.status, outcome.text, outcome.call_id) == ("unknown", UNKNOWN, "c1")
        assert (outcome.server, outcome.tool) == ("counted", "book")
    assert counted.made == ["book Ada"], "nobody books a second time by itself"


async def test_a_call_that_only_looks_is_made_again(executor: ToolExecutor, counted: CountedTools) -> None:
    receipts = KeptReceipts()
    attempts = Attempts(executor, receipts)
    receipts.dies_at_end = True
    with pytest.raises(ProcessDied):
        await attempts.make("look", {})
    receipts.dies_at_end = False
    assert (await attempts.make("look", {})).text == "all free"
    assert counted.made == ["look", "look"]
    assert (await attempts.make("look", {})).text == "all free"
    assert counted.made == ["look", "look"], "from then on its outcome is known"


async def test_other_calls_of_the_turn_are_other_calls(executor: ToolExecutor, counted: CountedTools) -> None:
    attempts = Attempts(executor, KeptReceipts())
    await asyncio.gather(*(attempts.make("book", {"boat": str(n)}, f"c{n}") for n in range(5)))
    assert sorted(counted.made) == [f"book {n}" for n in range(5)]


async def test_a_call_that_failed_is_not_tried_again_either(
    executor: ToolExecutor, counted: CountedTools
) -> None:
    attempts = Attempts(executor, KeptReceipts())
    first = await attempts.make("book", {"ship": "Ada"})
    assert first.status == "error"
    assert await attempts.make("book", {"ship": "Ada"}) == first
    assert counted.made == []


async def test_without_receipts_every_call_is_made(executor: ToolExecutor, counted: CountedTools) -> None:
    attempts = Attempts(executor, NoReceipts())
    for _ in range(2):
        assert (await attempts.make("book", {"boat": "Ada"})).status == "ok"
    assert counted.made == ["book Ada"] * 2


def test_an_outcome_is_kept_whole() -> None:
    files = (Artifact("a1", "sum.bin", "application/octet-stream", bytes(range(256))),)
    outcome = ToolOutcome("c1", "s", "t", {"a": [1, {"b": None}]}, "ok", "text", 7, files, {"view": "table"})
    assert outcome_from_json(outcome_as_json(outcome)) == outcome
    plain = ToolOutcome("c1", "s", "t", {}, "error", "no")
    assert outcome_from_json(outcome_as_json(plain)) == plain
