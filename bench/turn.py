"""CPU per turn: the bare graph, the agent, and the service over HTTP, in one run on the same model stub.

    python -m bench.turn [--turns 200]

Prints CPU milliseconds per turn of the process that does the work, and each as
a ratio to the bare graph. A turn is: look-up, retrieval from no source, one
streamed answer of 50 tokens. The stub answers at once, in a process of its own.
Rounds of the three are interleaved and the median is shown, so that a noisy
machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from langchain_core.messages import HumanMessage

from core.access import RunContext
from core.settings import Context, Places
from graph import Agent
from graph.flow.builder import build_graph
from graph.flow.routing import AfterModel
from graph.flow.steps import Steps
from graph.wiring.services import open_services
from waystation.testing.model_server import ModelServer
from waystation.testing.service import Service

ANSWER = "word " * 50
ROUNDS = 5
Turn = Callable[[int], Awaitable[None]]


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measured(turn: Turn, turns: int, start: int, pid: int) -> float:
    """CPU ms per turn of process `pid` over `turns` turns."""
    before = cpu_of(pid)
    for number in range(start, start + turns):
        await turn(number)
    return (cpu_of(pid) - before) * 1000 / turns


def settings(home: Path) -> Context:
    """No sources, no tools: what is measured is the way, not the work."""
    config = home / "config"
    config.mkdir(parents=True, exist_ok=True)
    return Context.current(Places(config, home / "data"), mcp={"bundled": False})


async def compare(  # noqa: C901 - three ways of the same turn, side by side
    model_url: str, home: Path, turns: int
) -> dict[str, float]:
    os.environ["OPENAI_BASE_URL"] = model_url
    os.environ["OPENAI_API_KEY"] = "bench"
    env = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "bench", "WAYSTATION_MCP__BUNDLED": "false"}
    context = settings(home / "agent")
    service = Service(home / "service", config_dir=context.places.config_dir, env=env)
    async with (
        open_services(settings(home / "bare")) as services,
        Agent.open(context) as agent,
        httpx.AsyncClient(timeout=60) as http,
    ):
        graph = build_graph(
            await services.container.get(Steps), await services.container.get(AfterModel)
        ).compile()

        async def bare(number: int) -> None:
            start = {"messages": [HumanMessage("hello", id=f"m{number}")]}
            async for _ in graph.astream(start, context=RunContext(), stream_mode="custom"):
                pass

        async def through_agent(number: int) -> None:
            async for _ in agent.stream("hello", thread=f"t{number}"):
                pass

        async def over_http(number: int) -> None:
            body = {"input": {"message": "hello"}, "config": {"configurable": {"thread_id": f"t{number}"}}}
            async with http.stream("POST", f"{service.url}/agent/stream", json=body) as answer:
                async for _ in answer.aiter_bytes():
                    pass

        with service:
            ways: dict[str, tuple[Turn, int]] = {
                "bare graph": (bare, os.getpid()),
                "Agent": (through_agent, os.getpid()),
                "/agent/stream": (over_http, service.pid),
            }
            found: dict[str, list[float]] = {name: [] for name in ways}
            for turn, pid in ways.values():
                await measured(turn, 10, 0, pid)
            for lap in range(ROUNDS):
                for name, (turn, pid) in ways.items():
                    share = turns // ROUNDS
                    found[name].append(await measured(turn, share, 100 + lap * share, pid))
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=200, help="turns for each of the three")
    turns = parser.parse_args().turns
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as home, ModelServer(default=ANSWER) as model:
        found = asyncio.run(compare(model.url, Path(home), turns))
    took = time.monotonic() - started
    print(f"CPU per turn, median of {ROUNDS} rounds of {turns // ROUNDS} turns (took {took:.0f} s)")
    for name, value in found.items():
        ratio = value / found["bare graph"]
        print(f"  {name:<14} {value:7.2f} ms   {ratio:.2f}x")


if __name__ == "__main__":
    main()
