"""What the platform costs: a policy-wrapped call, an event, a cache hit, a span, a turn with telemetry on.

    python -m bench.platform      (or: python bench/platform.py)

CPU time of the event loop's thread, in one run; spans are sent from another.
Each part is given in microseconds and as a share of a turn through the Agent on
a scripted model. A second loop of the same turn with the same settings says how
much of a difference is noise.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.path[0].endswith("bench"):
    # Run as a file, its folder would hide Python's own `platform`, and nothing of ours would be found.
    sys.path[0] = sys.path[0].removesuffix("bench") or "."

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from core.access import Principal
from core.cache import Cache
from core.cache.settings import CacheSettings
from core.events import Event, EventBus
from core.observability import span, start_telemetry
from core.resilience import Policies, ResilienceSettings
from core.settings import Context, Places
from core.settings.platform import TelemetrySettings
from graph import Agent
from tests.kit.otlp_server import OtlpServer
from waystation.testing.model_server import ModelServer

ROUNDS = 5
ANSWER = "word " * 50

Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Ping(Event):
    """Something happened."""

    number: int


async def micros(work: Work, times: int) -> float:
    """CPU microseconds of one `work`, the least of a few rounds: the others had company."""
    found = []
    for _ in range(ROUNDS):
        before = time.thread_time()
        for _ in range(times):
            await work()
        found.append((time.thread_time() - before) / times)
    return min(found) * 1e6


async def answer() -> int:
    return 1


async def of_policy(times: int) -> float:
    policy = Policies(ResilienceSettings()).of("source", "bench")

    async def call() -> None:
        await policy.call(answer)

    return await micros(call, times) - await micros(answer, times)


async def of_event(times: int) -> float:
    """Publishing, and both handlers: the whole way, not only what the publisher waits for."""
    handled = 0

    async def handle(_: Ping) -> None:
        nonlocal handled
        handled += 1

    async def one() -> None:
        bus.publish(Ping(1))
        await asyncio.sleep(0)

    async with EventBus(queue=10 * ROUNDS * times) as bus:
        bus.subscribe(Ping, handle, name="first")
        bus.subscribe(Ping, handle, name="second")
        return await micros(one, times)


async def of_cache(times: int) -> float:
    who = Principal("bench", frozenset({"staff"}))
    async with Cache(CacheSettings()) as cache:

        async def hit() -> object:
            return await cache.get("retrieval", ["question"], load, who=who, as_type=list[str])

        async def load() -> list[str]:
            return ["passage"] * 8

        await hit()
        return await micros(hit, times)


async def of_span(times: int) -> float:
    async def one() -> None:
        with span("bench", source="bench"):
            pass

    return await micros(one, times)


async def cpu_of_turns(agent: Agent, turns: int, name: str) -> float:
    """CPU milliseconds of one turn."""
    before = time.thread_time()
    for number in range(turns):
        async for _ in agent.stream("hello", thread=f"{name}{number}"):
            pass
    return (time.thread_time() - before) * 1000 / turns


async def of_turns(model_url: str, home: Path, collector: str, turns: int) -> dict[str, float]:
    """The same turn with telemetry off, off again and on, side by side: all have the same company."""
    config = home / "config"
    config.mkdir(parents=True)
    environ = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "bench"}
    places = Places(config, home / "data")
    context = Context(places, environ, {"mcp": {"bundled": False}})
    found: dict[str, list[float]] = {"off": [], "off again": [], "on": []}
    async with Agent.open(context) as agent:
        await cpu_of_turns(agent, turns, "warm")
        for lap in range(ROUNDS):
            for name, laps in found.items():
                settings = TelemetrySettings(otlp_endpoint=collector if name == "on" else "")
                telemetry = start_telemetry(settings)
                try:
                    laps.append(await cpu_of_turns(agent, turns, f"{name.replace(' ', '_')}_{lap}_"))
                finally:
                    await asyncio.to_thread(telemetry.stop)
    return {name: min(laps) for name, laps in found.items()}


async def run(times: int, turns: int) -> None:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        collector = stack.enter_context(OtlpServer())
        model = stack.enter_context(ModelServer(default=ANSWER))
        parts = {
            "policy-wrapped call": await of_policy(times),
            "event, two handlers": await of_event(times),
            "cache hit (memory)": await of_cache(times),
            "span, off": await of_span(times),
        }
        telemetry = start_telemetry(TelemetrySettings(otlp_endpoint=collector.url, metrics=False))
        parts["span, on"] = await of_span(times)
        await asyncio.to_thread(telemetry.stop)
        whole = await of_turns(model.url, home, collector.url, turns)
    report(parts, whole)


def report(parts: dict[str, float], turns: dict[str, float]) -> None:
    turn = turns["off"]
    print(f"{'':<24}{'us':>9}  share of a turn")
    for name, cost in parts.items():
        print(f"{name:<24}{cost:>9.1f}  {cost / turn / 10:.3f} %")
    print(f"\n{'turn, telemetry':<24}{'ms CPU':>9}  ratio")
    for name, cost in turns.items():
        print(f"{name:<24}{cost:>9.2f}  {cost / turn:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=3000, help="calls per round")
    parser.add_argument("--turns", type=int, default=30, help="turns per round")
    given = parser.parse_args()
    asyncio.run(run(given.times, given.turns))


if __name__ == "__main__":
    main()
