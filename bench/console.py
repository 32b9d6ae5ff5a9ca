"""Pages of the console on a full service: 10,000 threads and runs of one person, and a run of 5,000 events.

    python -m bench.console [--runs 10000] [--events 5000] [--times 7]

What each page asks the API for is asked in this process, without a network: the time until the whole answer
is there, and the CPU of the process meanwhile, which other programs on the machine do not change. A page
should have its answers within 300 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.foreign import as_json
from graph.agent import Agent
from graph.db.tables import named, run_events, runs, said, threads, transcript
from graph.runs.record import TurnRequest
from graph.runs.rows import reply
from server.app import create_app
from waystation.testing.agents import open_agent

TARGET_MS = 300.0
USER = Principal("local")
LONG = "r-with-many-events"
STEPS = ("lookup_config", "retrieve", "call_model", "execute_tools", "call_model", "store_files")
# Rows of one statement.
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds of one request: the median and the slowest, and the CPU of the median."""

    path: str
    median: float
    slowest: float
    cpu: float
    size: int

    def line(self) -> str:
        met = "" if self.median <= TARGET_MS else "  above 300 ms"
        kb = self.size / 1000
        return f"{self.path:<52} {self.median:8.1f} {self.slowest:8.1f} {self.cpu:8.1f} {kb:8.1f}{met}"


async def fill(engine: AsyncEngine, *, count: int, events: int) -> None:
    """Threads with a run each, over 30 days, and the one with many events."""
    now = time.time()
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, count))
        rows = [_rows(n, now - (count - n) * 30 * 86_400 / count) for n in numbers]
        async with engine.begin() as db:
            for table, place in ((threads, 0), (transcript, 1), (runs, 2)):
                await db.execute(insert(table), [each[place] for each in rows])
    async with engine.begin() as db:
        await db.execute(insert(runs), [_run(LONG, "t-0", now, "count to five thousand")])
        told = [_event(seq, now - 60 + seq * 0.01) for seq in range(1, events + 1)]
        for start in range(0, events, AT_ONCE):
            await db.execute(insert(run_events), told[start : start + AT_ONCE])


def _rows(n: int, at: float) -> tuple[dict[str, Any], ...]:
    text = f"What does order {n} of customer {n % 97} cost, and when was it sent?"
    thread = {
        "id": f"t-{n}",
        "owner": USER.id,
        "status": "idle",
        "turns": 1,
        "created_at": at,
        "updated_at": at,
        "dirty": False,
        "fence": 1,
        **named(title=text, tags=[]),
    }
    message = {
        "thread_id": f"t-{n}",
        "message_id": f"m-{n}",
        "role": "user",
        **said(text),
        "extra": {},
        "run_id": f"r-{n}",
        "created_at": at,
    }
    return thread, message, _run(f"r-{n}", f"t-{n}", at, text, message=f"m-{n}")


def _run(run_id: str, thread: str, at: float, text: str, *, message: str | None = None) -> dict[str, Any]:
    steps = [
        {"name": name, "attempt": 1, "at": at + place * 0.1, "ms": 80.0, "end": "ok"}
        for place, name in enumerate(STEPS)
    ]
    return {
        "id": run_id,
        "thread_id": thread,
        "owner": USER.id,
        **{key: [] for key in ("groups", "levels", "scopes")},
        "status": "failed" if run_id.endswith("7") else "done",
        "reason": "",
        "attempts": 1,
        "fence": 1,
        "request": TurnRequest(USER, text).as_json(),
        "message_id": message,
        "input_hash": "0" * 64,
        "policy": "end",
        "place": at,
        "seq_limit": 10,
        "request_id": "",
        "created_at": at,
        "started_at": at,
        "ended_at": at + 1,
        "output": reply(thread, run_id, status="done", answer=text * 5),
        "model": f"model-{run_id[-1]}",
        "input_tokens": 500,
        "output_tokens": 100,
        "cost": 0.002,
        "steps": steps,
    }


def _event(seq: int, at: float) -> dict[str, Any]:
    kinds = ("tool_call", "tool_progress", "tool_progress", "tool_progress", "tool_result")
    kind = "run_started" if seq == 1 else kinds[seq % 5]
    event: dict[str, Any] = {"seq": seq, "run_id": LONG, "type": kind, "id": f"c{seq // 5}", "attempt": 1}
    if kind == "tool_result":
        event |= {"status": "ok", "content": "x" * 200, "duration_ms": 40, "files": []}
    elif kind == "tool_call":
        event |= {"server": "s", "tool": "t", "arguments": {"n": seq}}
    else:
        event |= {"progress": seq, "total": 5000, "message": "on its way"}
    data = as_json(event)
    row = {"run_id": LONG, "seq": seq, "first": seq, "thread_id": "t-0", "type": kind, "data": data}
    return {**row, "created_at": at}


PATHS: Sequence[str] = (
    "/console/runs",
    "/runs?limit=50",
    "/runs?limit=50&q=customer%2042",
    "/runs?limit=50&status=failed",
    "/runs?limit=50&user=*",
    "/runs/counts",
    f"/runs/{LONG}",
    f"/runs/{LONG}/spans",
    f"/runs/{LONG}/events/page?limit=200",
    f"/runs/{LONG}/events/page?limit=200&after=4000",
    f"/runs/{LONG}/log",
    "/costs?by=day",
    "/costs?by=model",
    "/costs?by=user&user=*",
    "/graph",
    "/threads?limit=100",
    "/sources",
    "/servers",
    "/files?limit=100",
    "/health",
    "/tasks?limit=50",
    "/tasks/known",
    "/storage/top",
    "/settings",
    "/keys",
    "/audit",
)


@asynccontextmanager
async def _client(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(agent)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        yield client


async def measured(client: httpx.AsyncClient, path: str, *, times: int) -> Figure:
    """The path, asked some times; the first is not counted."""
    walls, cpus, size = [], [], 0
    for _ in range(times + 1):
        began, spent = time.perf_counter(), time.process_time()
        answer = await client.get(path)
        walls.append((time.perf_counter() - began) * 1000)
        cpus.append((time.process_time() - spent) * 1000)
        answer.raise_for_status()
        size = len(answer.content)
    walls, cpus = walls[1:], cpus[1:]
    return Figure(path, statistics.median(walls), max(walls), statistics.median(cpus), size)


async def run(*, count: int, events: int, times: int) -> list[Figure]:
    """Every path of the pages, on a service that is full."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_agent(Path(folder)) as agent:
            await fill(agent.engine, count=count, events=events)
            async with _client(agent) as client:
                return [await measured(client, path, times=times) for path in PATHS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--times", type=int, default=7)
    given = parser.parse_args()
    print(f"{'asked for':<52} {'median':>8} {'slowest':>8} {'CPU ms':>8} {'kB':>8}")
    for figure in asyncio.run(run(count=given.runs, events=given.events, times=given.times)):
        print(figure.line())


if __name__ == "__main__":
    main()
