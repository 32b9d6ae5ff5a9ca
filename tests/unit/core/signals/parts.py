"""Relays whose hearing a test can wait for, and a second process that answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.engine import URL, make_url

from core.settings import Places
from core.signals.opening import relay_of
from core.signals.signals import Relay
from waystation.testing.process import ROOT

PATIENCE_S = 20.0
# How long a test waits for what shall not come.
SILENCE_S = 0.2


def sqlite(places: Places) -> URL:
    return make_url(f"sqlite+aiosqlite:///{places.home / 'waystation.db'}")


class Log:
    """What a relay reported."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.missed = 0
        self._news = asyncio.Event()

    def hear(self, topic: str) -> None:
        self.topics.append(topic)
        self._news.set()

    def miss(self) -> None:
        self.missed += 1
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns as soon as it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def hears(self, topic: str) -> None:
        await self.until(lambda: topic in self.topics)


@asynccontextmanager
async def opened_relay(url: URL, places: Places) -> AsyncIterator[tuple[Relay, Log]]:
    relay, log = relay_of(url, places), Log()
    async with relay.opened(log.hear, log.miss):
        yield relay, log


class Peer:
    """A process that sends `pong` for every `ping`; see `tests.unit.core.signals.peer`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def leave(self) -> int:
        """Let it end by itself; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self._process.wait()


@asynccontextmanager
async def peer(url: URL, places: Places) -> AsyncIterator[Peer]:
    """The process, listening."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.core.signals.peer"),
        *(url.render_as_string(hide_password=False), str(places.home)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            yield Peer(process)
    finally:
        if process.returncode is None:
            await Peer(process).kill()


async def eventually(holds: Callable[[], bool]) -> None:
    """Returns as soon as `holds` says yes; for what has no event."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
