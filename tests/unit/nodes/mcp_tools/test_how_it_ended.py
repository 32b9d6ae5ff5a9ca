"""How the process of a tool server ended reaches whoever looks after it."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from nodes.mcp_tools.adapters.messages import Incoming
from nodes.mcp_tools.adapters.stdio import Command, stdio_streams

# Ends when its input does, as the protocol asks of it.
PROGRAM = "import sys; sys.stdin.read(); raise SystemExit(3)"


async def test_it_is_told_although_its_session_is_cancelled_before(tmp_path: Path) -> None:
    told: list[str] = []
    command = Command([sys.executable, "-c", PROGRAM], {}, None, tmp_path / "log", line_limit=1000)
    incoming = Incoming(decline=lambda _: None, on_question=lambda *_: None, said=lambda _: None)
    with anyio.CancelScope() as session:
        async with stdio_streams(command, incoming, said=lambda _: None, lost=told.append):
            session.cancel()
            await anyio.sleep_forever()
    assert told == ["its process exited with code 3"]
