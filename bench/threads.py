"""Growth: bytes written and CPU per turn as a thread gets longer, against plain LangGraph in the same run.

    python -m bench.threads [--turns 500] [--streams 500]

Each turn brings two messages of 1 KB. Plain LangGraph is the smallest chat
graph there is: one node, `messages` with `add_messages`, the SQLite saver as
it comes. Ours is a whole turn of the agent, all five steps, with the ledger and
the transcript. The model answers at once from memory, so that it costs nothing.
The two take turns, so that a noisy machine disturbs both alike.

Bytes are what the process hands to the system to write (`wchar` of
/proc/self/io: the write-ahead log, and what is copied from it into the
database), CPU is that of the process with its database threads. Both are means
over 20 turns around turn 10, a fifth of all turns, and the last.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from core.access import Principal
from graph.runs.record import TurnRequest
from nodes.llm.fake import ScriptedModel
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes

KB = " ".join(["w" * 63] * 16)
SPAN = 20
# Turns of another thread before it begins: the log has been copied into the database once, caches are full.
WARM = 30
OPENINGS = 20
THREAD = "long"
USER = Principal("local")
Turn = Callable[..., Awaitable[object]]


class PlainState(TypedDict):
    """What a tutorial has."""

    messages: Annotated[list[AnyMessage], add_messages]


async def call_model(state: PlainState) -> dict[str, Any]:
    return {"messages": [AIMessage(KB)]}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one turn: bytes written and CPU seconds."""

    written: float
    cpu: float


def written() -> int:
    """Bytes that this process has given to write calls."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


async def costs(turn: Turn, number: int) -> Cost:
    bytes_before, cpu_before = written(), time.process_time()
    await turn(number)
    return Cost(written() - bytes_before, time.process_time() - cpu_before)


@asynccontextmanager
async def plain(folder: Path) -> AsyncIterator[tuple[Turn, Callable[[], Awaitable[object]]]]:
    """A turn of plain LangGraph, and a look at the thread."""

    graph = StateGraph(PlainState)
    graph.add_node("call_model", call_model)
    graph.add_edge(START, "call_model")
    graph.add_edge("call_model", END)

    def at(thread: str) -> Any:
        return {"configurable": {"thread_id": thread}}

    async with AsyncSqliteSaver.from_conn_string(str(folder / "plain.db")) as saver:
        compiled = graph.compile(checkpointer=saver)

        async def turn(number: int, thread: str = THREAD) -> None:
            message = HumanMessage(f"{number} {KB}")
            async for _ in compiled.astream({"messages": [message]}, at(thread)):
                pass

        async def look() -> None:
            await compiled.aget_state(at(THREAD))

        yield turn, look


def middle(turns: int) -> tuple[int, int, int]:
    """The turns around which costs are told."""
    return 10, max(turns // 5, 10), turns


def around(found: Sequence[Cost], point: int) -> Cost:
    """The mean over the turns around `point`."""
    end = min(max(point + SPAN // 2, SPAN), len(found))
    part = found[max(end - SPAN, 0) : end]
    return Cost(statistics.fmean(c.written for c in part), statistics.fmean(c.cpu for c in part))


async def grow(folder: Path, turns: int) -> dict[str, list[Cost]]:
    """The cost of each turn, both ways."""
    found: dict[str, list[Cost]] = {"plain LangGraph": [], "Waystation": []}
    async with (
        plain(folder) as (plain_turn, look),
        open_agent(folder, providers=[Fakes(model=ScriptedModel(KB))]) as agent,
    ):

        async def our_turn(number: int, thread: str = THREAD) -> None:
            async for _ in agent.stream(f"{number} {KB}", thread=thread):
                pass

        for number in range(WARM):
            await plain_turn(number, "warm")
            await our_turn(number, "warm")
        for number in range(1, turns + 1):
            found["plain LangGraph"].append(await costs(plain_turn, number))
            found["Waystation"].append(await costs(our_turn, number))
        print(f"\nopening the thread of {turns} turns, median of {OPENINGS}")
        print(f"  plain LangGraph, state               {await opening(look):8.1f} ms")
    return found


async def opening(look: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds that a look takes, the median."""
    took: list[float] = []
    for _ in range(OPENINGS):
        begun = time.perf_counter()
        await look()
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


async def open_thread(folder: Path) -> None:
    """State and first page of the transcript, in a process that has not seen the thread."""
    async with open_agent(folder, providers=[Fakes(model=ScriptedModel(KB))]) as agent:

        async def look() -> None:
            await agent.threads.state(USER, THREAD)
            await agent.threads.transcript(USER, THREAD)

        begun = time.perf_counter()
        await look()
        first = (time.perf_counter() - begun) * 1000
        print(f"  Waystation, state and transcript page {await opening(look):7.1f} ms (first {first:.1f} ms)")


class Gated(ScriptedModel):
    """Says half of its answer, and the rest when the gate opens."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.gate = asyncio.Event()

    async def stream(self, messages: Sequence[BaseMessage], **options: Any) -> AsyncIterator[AIMessageChunk]:
        parts = [part async for part in super().stream(messages, **options)]
        for place, part in enumerate(parts):
            if place == len(parts) // 2:
                await self.gate.wait()
            yield part


async def streams(folder: Path, count: int) -> None:
    """What `count` readers of one run hold while it is going."""
    model = Gated(KB)
    async with open_agent(folder, providers=[Fakes(model=model)]) as agent:
        run = await agent.begin(TurnRequest(USER, "hello"))
        arrived = asyncio.Semaphore(0)
        # Not the memory of the process: that has room of its own to give away, and would show nothing.
        tracemalloc.start()
        readers = [asyncio.create_task(_read(run, arrived)) for _ in range(count)]
        for _ in readers:
            await arrived.acquire()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        model.gate.set()
        told = await asyncio.gather(*readers)
        assert len(set(told)) == 1, "every reader was told the same"
    each = held / 1024 / count
    print(f"\n{count} open streams on one run hold {held / 2**20:.1f} MiB, {each:.1f} KiB each")


async def _read(run: Any, arrived: asyncio.Semaphore) -> str:
    text: list[str] = []
    async for event in run.events():
        if event["type"] == "token":
            if not text:
                arrived.release()
            text.append(event["delta"])
    return "".join(text)


def show(found: dict[str, list[Cost]], turns: int) -> None:
    points = middle(turns)
    start = {name: around(each, points[0]) for name, each in found.items()}
    print(f"\n{'turn':>6} {'':<16} {'KB written':>11} {'x turn 10':>10} {'CPU ms':>8} {'x turn 10':>10}")
    for point in points:
        for name, each in found.items():
            cost = around(each, point)
            more, longer = cost.written / start[name].written, cost.cpu / start[name].cpu
            print(
                f"{point:>6} {name:<16} {cost.written / 1024:>11.1f} {more:>9.2f}x "
                f"{cost.cpu * 1000:>8.2f} {longer:>9.2f}x"
            )
        ours, theirs = around(found["Waystation"], point), around(found["plain LangGraph"], point)
        shares = f"{ours.written / theirs.written:>11.3f} {'':>10} {ours.cpu / theirs.cpu:>8.2f}"
        print(f"{'':>6} ours / plain     {shares}")
    for name, each in found.items():
        print(f"  {name}: {sum(c.written for c in each) / 2**20:.1f} MB written in all")


async def measure(folder: Path, turns: int, readers: int) -> None:
    found = await grow(folder, turns)
    await open_thread(folder)
    show(found, turns)
    await streams(folder, readers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=500, help="turns of the thread, at least 20")
    parser.add_argument("--streams", type=int, default=500, help="readers of one run")
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), max(given.turns, SPAN), given.streams))
    print(f"took {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
