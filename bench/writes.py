"""What a turn writes: commits, bytes and round trips, with several turns at once.

    python -m bench.writes [--clients 8] [--turns 5] [--database sqlite|postgres]

A turn is: look-up, one call of a tool, an answer, from the model that needs no key, on a thread that
goes on. Commits are counted at the connections, bytes are what the process gave to the disk, round trips
are counted by a proxy before PostgreSQL: each time that the client spoke again after the server had.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.database import engine, groups
from core.database.engine import RollingBack
from graph.checkpoints import saver
from waystation.testing.agents import open_agent
from waystation.testing.postgres import PostgresServer


class Counted(RollingBack):
    """Counts what is committed."""

    commits = 0

    def commit(self) -> None:
        if self.in_transaction:
            Counted.commits += 1
        super().commit()

    def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
        if sql == "COMMIT":
            Counted.commits += 1
        return super().execute(sql, *args)  # type: ignore[arg-type]


def written() -> int:
    """Bytes that this process has given to the disk."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


class Proxy:
    """Passes bytes on to a server and counts round trips."""

    def __init__(self, port: int) -> None:
        self._server = port
        self.trips = 0

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_connection("127.0.0.1", self._server)
        answered = [True]

        async def there() -> None:
            while data := await reader.read(65536):
                self.trips += answered[0]
                answered[0] = False
                outward.write(data)
            outward.close()

        async def back() -> None:
            while data := await inward.read(65536):
                answered[0] = True
                writer.write(data)
            writer.close()

        await asyncio.gather(there(), back(), return_exceptions=True)

    @contextmanager
    def running(self) -> Iterator[int]:
        """The port to connect to."""
        loop = asyncio.new_event_loop()
        opened = loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0))
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        yield opened.sockets[0].getsockname()[1]
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def turns(folder: Path, url: str, clients: int, each: int, proxy: Proxy | None) -> str:
    async with open_agent(folder, storage={"url": url}) as agent:

        async def talk(number: int, count: int) -> None:
            for _ in range(count):
                await agent.ask("What is 5 + 3?", thread=f"t{number}", user=f"u{number}")

        await asyncio.gather(*(talk(number, 1) for number in range(clients)))
        before = (
            Counted.commits,
            written(),
            proxy.trips if proxy else 0,
            time.process_time(),
            time.monotonic(),
        )
        await asyncio.gather(*(talk(number, each) for number in range(clients)))
        done = clients * each
        after = Counted.commits, written(), proxy.trips if proxy else 0, time.process_time(), time.monotonic()
        commits, size, trips, cpu, took = (b - a for a, b in zip(before, after, strict=True))
    counted = (
        f"{trips / done:.1f} round trips"
        if proxy
        else f"{commits / done:.1f} commits, {size / done / 1000:.0f} KB"
    )
    spent = f"{cpu / done * 1000:.0f} ms of CPU, {took / done * clients * 1000:.0f} ms"
    return f"a turn: {counted}, {spent} ({done} turns)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--turns", type=int, default=5, help="for each client")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.database == "sqlite":
            # Whoever opens a connection takes the class from there.
            for module in (engine, groups, saver):
                vars(module)["RollingBack"] = Counted
            print(asyncio.run(turns(Path(folder), "", given.clients, given.turns, None)))
            return
        with PostgresServer() as server:
            url = server.create_database()
            proxy = Proxy(int(url.port or 0))
            with proxy.running() as port:
                plain = url.set(drivername="postgresql", port=port).render_as_string(hide_password=False)
                print(asyncio.run(turns(Path(folder), plain, given.clients, given.turns, proxy)))


if __name__ == "__main__":
    main()
