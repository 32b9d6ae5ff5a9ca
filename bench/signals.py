"""What a signal costs, and how long it takes to another process, on both databases.

    python -m bench.signals [--times 300]

Cost is CPU time of the sender's process. A way is half of there and back
between two processes, both of which are on this machine; nothing else is sent
meanwhile. Bounded to a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from core.settings import Places
from core.signals import Listener, Signals, opened_signals
from core.signals.signals import NoRelay
from waystation.testing.postgres import PostgresServer

LONGEST_S = 60.0
SENDS = 20_000
ROUNDS = 5
IDLE_S = 2.0


async def echo(url: str, home: str) -> None:
    """The other process: it answers until its input ends."""
    async with opened_signals(make_url(url), Places(Path(home), Path(home))) as signals:
        with signals.listen("ping") as ear:
            work = asyncio.create_task(answer(signals, ear))
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            work.cancel()


async def answer(signals: Signals, ear: Listener) -> None:
    while True:
        await ear.heard()
        signals.send("pong")


@asynccontextmanager
async def other_process(url: URL, places: Places) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.signals", "--echo"),
        *(url.render_as_string(hide_password=False), str(places.home)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


def micros_of_send(signals: Signals, topic: Callable[[int], str]) -> float:
    """Of one call, the relay's later work not included; the least of a few rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for number in range(SENDS):
            signals.send(topic(number))
        rounds.append((time.perf_counter() - began) / SENDS * 1e6)
    return min(rounds)


async def micros_alone(signals: Signals, times: int) -> float:
    """CPU of one send that shares nothing with another: the call, and what the relay does for it."""
    began = time.process_time()
    for _ in range(times):
        signals.send("run:1")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return (time.process_time() - began) / times * 1e6


async def ways(signals: Signals, times: int) -> list[float]:
    """Milliseconds to the other process, sorted."""
    found = []
    with signals.listen("pong") as ear:
        for _ in range(times):
            began = time.perf_counter()
            signals.send("ping")
            assert await ear.heard(LONGEST_S)
            found.append((time.perf_counter() - began) * 1e3 / 2)
    return sorted(found)


async def cpu_of_idling(signals: Signals) -> float:
    """Microseconds of CPU in a second of listening while nothing happens."""
    with signals.listen("nothing") as ear:
        began = time.process_time()
        await ear.heard(IDLE_S)
        return (time.process_time() - began) / IDLE_S * 1e6


def row(name: str, value: float, unit: str) -> None:
    print(f"  {name:<44}{value:>10.2f} {unit}")


async def of_database(name: str, url: URL, places: Places, times: int) -> None:
    print(name)
    async with opened_signals(url, places) as signals:
        row("send, no listener, nobody else", await micros_alone(signals, times), "us CPU")
        async with other_process(url, places):
            found = await ways(signals, times)
            row("way to another process, median", statistics.median(found), "ms")
            row("way to another process, 99 of 100", found[len(found) * 99 // 100], "ms")
            began = time.process_time()
            await ways(signals, times)
            row("there and back", (time.process_time() - began) / times * 1e6, "us CPU, this side")
            row("idle for a second", await cpu_of_idling(signals), "us CPU")
            row("send, in a burst of one topic", micros_of_send(signals, lambda _: "run:1"), "us")
            row("send, in a burst of many topics", micros_of_send(signals, "run:{}".format), "us")


async def run(times: int) -> None:
    async with asyncio.timeout(LONGEST_S):
        print("within a process")
        alone = Signals(NoRelay("bench"))
        row("send, no listener", micros_of_send(alone, lambda _: "run:1"), "us")
        with alone.listen("run:1"):
            row("send, a listener", micros_of_send(alone, lambda _: "run:1"), "us")
        with tempfile.TemporaryDirectory() as folder:
            places = Places(Path(folder), Path(folder))
            await of_database("SQLite: datagrams", make_url(f"sqlite:///{folder}/w.db"), places, times)
            with PostgresServer() as server:
                await of_database("PostgreSQL: NOTIFY", server.create_database(), places, times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=300, help="signals there and back")
    parser.add_argument("--echo", nargs=2, metavar=("URL", "HOME"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    asyncio.run(echo(*given.echo) if given.echo else run(given.times))


if __name__ == "__main__":
    main()
