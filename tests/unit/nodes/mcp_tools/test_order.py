"""Calls of one answer: those that may change something reach a server one behind another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from core.access import Principal
from nodes.mcp_tools.calls import NoReceipts
from nodes.mcp_tools.executor import RecordedCalls, ToolExecutor
from nodes.mcp_tools.fake import FakeConnector, FakeServer
from nodes.mcp_tools.models import CallResult, Content, ExecutionContext, Progress, ToolInfo
from nodes.mcp_tools.ports import NoFileLinks
from nodes.mcp_tools.settings import ServerEntry
from tests.unit.nodes.mcp_tools.fakes import desk

LINES = 5


class Sheet:
    """A server that reads, changes and writes, and takes the next call meanwhile, as most do."""

    def __init__(self, *, read_only: bool = False) -> None:
        self.lines = ["old"] * LINES
        self.most = self._now = 0
        self.server = FakeServer()
        self.server.add(ToolInfo("edit", read_only=read_only), self._edit)

    async def _edit(self, arguments: Mapping[str, Any], _progress: Progress) -> CallResult:
        self._now += 1
        self.most = max(self.most, self._now)
        read = list(self.lines)
        for _ in range(10):
            await asyncio.sleep(0)
        read[arguments["line"]] = "new"
        self.lines = read
        self._now -= 1
        return CallResult((Content("text", "changed"),))


async def edited(sheet: Sheet, entry: ServerEntry, *, runs: int = 1) -> None:
    """Each line is changed by a call of its own, all in one answer of each run."""
    async with desk(FakeConnector({"sheet": sheet.server}), {"sheet": entry}) as at:
        executor = ToolExecutor(at.manager, NoFileLinks())
        made = RecordedCalls(executor, NoReceipts())

        async def edit(run: int, line: int) -> None:
            context = ExecutionContext(Principal("ada"), thread_id="t", run_id=f"r{run}", call_id=f"c{line}")
            call = {"id": f"c{line}", "name": "sheet_edit", "args": {"line": line}}
            target = await executor.find("sheet_edit", context)
            outcome = await made.make(call, context, target, lambda *_: None)
            assert outcome.status == "ok"

        await asyncio.gather(*(edit(run, line) for run in range(runs) for line in range(LINES)))


async def test_no_change_of_several_is_lost() -> None:
    sheet = Sheet()
    await edited(sheet, ServerEntry())
    assert (sheet.lines, sheet.most) == (["new"] * LINES, 1)


@pytest.mark.parametrize(
    ("read_only", "parallel", "most"),
    [(True, None, LINES), (True, False, 1), (False, True, LINES), (False, False, 1)],
)
async def test_what_only_reads_runs_together_unless_the_operator_says_so(
    read_only: bool, parallel: bool | None, most: int
) -> None:
    sheet = Sheet(read_only=read_only)
    await edited(sheet, ServerEntry(parallel_calls=parallel))
    assert sheet.most == most


async def test_runs_do_not_wait_for_each_other() -> None:
    sheet = Sheet()
    await edited(sheet, ServerEntry(), runs=2)
    assert sheet.most == 2
