"""A process that sends `pong` for every `ping`: `python -m tests.unit.core.signals.peer URL HOME`.

It says `ready` when it listens, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sqlalchemy.engine import make_url

from core.settings import Places
from core.signals import Listener, Signals, opened_signals


async def answer(signals: Signals, ear: Listener) -> None:
    while True:
        await ear.heard()
        signals.send("pong")


async def main(url: str, home: str) -> None:
    async with opened_signals(make_url(url), Places(Path(home), Path(home))) as signals:
        with signals.listen("ping") as ear:
            work = asyncio.create_task(answer(signals, ear))
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            work.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
