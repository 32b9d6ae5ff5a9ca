"""Calls of one tool through Waystation's executor, and through a bare session of the MCP SDK, in turn.

Run by `bench.peers` with the Python of a checkout: prints one line of JSON, a
list of rounds, each with CPU and whole microseconds of a call, both ways. CPU is
that of this process; both ways talk to a tool server of the same kind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from bench.systems import tool
from bench.systems.model import NUMBERS, SUM

Call = Callable[[], Awaitable[object]]


async def micros(call: Call, calls: int) -> tuple[float, float]:
    """CPU and whole microseconds of a call, one after the other."""
    cpu, begun = time.process_time(), time.perf_counter()
    for _ in range(calls):
        assert SUM in repr(await call())
    return (time.process_time() - cpu) / calls * 1e6, (time.perf_counter() - begun) / calls * 1e6


async def measure(rounds: int, calls: int) -> list[dict[str, tuple[float, float]]]:
    """What a call takes both ways, round by round; the first round is thrown away."""
    # Of the checkout.
    from core.access import Principal  # noqa: PLC0415
    from core.container import opened_service  # noqa: PLC0415
    from nodes.mcp_tools import ExecutionContext, MCPToolManager, ToolExecutor  # noqa: PLC0415
    from nodes.mcp_tools.module import MODULE  # noqa: PLC0415

    server = StdioServerParameters(command=sys.executable, args=["-S", "-E", str(tool.__file__)])
    async with (
        opened_service(MODULE, MCPToolManager) as (_, container),
        stdio_client(server) as (reading, writing),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        executor = await container.get(ToolExecutor)
        who = ExecutionContext(Principal("local"))

        async def ours() -> object:
            return await executor.execute({"id": "c1", "name": "calc_add", "args": dict(NUMBERS)}, who)

        async def bare() -> object:
            return await session.call_tool("add", dict(NUMBERS))

        found = [
            {"executor": await micros(ours, calls), "session": await micros(bare, calls)}
            for _ in range(rounds + 1)
        ]
    return found[1:]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    given = parser.parse_args(words)
    print(json.dumps(asyncio.run(measure(given.rounds, given.calls))))
