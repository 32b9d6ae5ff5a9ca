"""The bundled servers as real processes, started by their manifests."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.access import Principal
from core.settings import ConfigFile, Section
from nodes.mcp_tools.adapters.session import SessionConnector
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.fake import FakeLinks
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import ExecutionContext
from nodes.mcp_tools.plugins import take_inventory
from nodes.mcp_tools.settings import McpFile, McpSettings
from tests.kit.settings import ConfigFolder

CONTEXT = ExecutionContext(Principal("ada"), call_id="c")
CSV = "data:text/csv;base64," + base64.b64encode(b"region,amount\nN,1.5\nN,2\n").decode()


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[ToolExecutor]:
    files = [ConfigFile("servers", ("mcp.json",), McpFile)]
    folder = ConfigFolder(tmp_path, [Section("mcp", McpSettings)], files)
    book, _ = folder.read(mcp={"start_timeout_s": 60})
    connector = SessionConnector(tmp_path / "logs")
    async with MCPToolManager(take_inventory(book), connector, book[McpSettings]) as manager:
        yield ToolExecutor(manager, FakeLinks())


async def test_each_bundled_server_does_its_work_over_stdio(executor: ToolExecutor) -> None:
    calls = {
        "calculator_add": ({"a": 5, "b": 3}, "8"),
        "calculator_evaluate": ({"expression": "1/0"}, "division by zero is not defined"),
        "clock_difference": ({"start": "2026-01-01", "end": "2026-01-31"}, "30 days"),
        "tables_aggregate": ({"filename": CSV, "column": "amount", "by": "region"}, '{"N":"3.5"}'),
    }
    for name, (args, expected) in calls.items():
        outcome = await executor.execute({"id": "c", "name": name, "args": args}, CONTEXT)
        assert expected in outcome.text
        assert outcome.status == ("error" if "1/0" in str(args) else "ok")
    assert [artifact.name for artifact in outcome.artifacts] == ["table-sum.csv"]
