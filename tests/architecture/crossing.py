"""Count the files of ours that one message crosses on its way through the service, and one tool call.

    python -m tests.architecture.crossing [--list]

The service of an empty folder answers each request once to warm up, then
again with every call of a function noted, some times: what is counted are the
files in which one was called between request and answer, in any thread, each
time. What beats by the clock is left out by that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx

from core.observability import quiet_logging
from core.settings import Context, Places
from server.app import create_app

ROOT = Path(__file__).parents[2]
HOUSE = tuple(str(ROOT / name) + "/" for name in ("core", "graph", "nodes", "server"))
ASKED = {"message": "Say hello.", "tool_call": "What is 5 + 3?"}
SAME = 8
"""Rounds in a row that find no file fewer: then those that are left belong to the request."""
MOST_ROUNDS = 60
STORED = 0.2
"""Seconds after an answer in which what is written behind it still counts."""


class Crossed:
    """Which files are entered while `noting`."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._on = False
        # A thread that exists before cannot be watched from outside: this stands before anything is opened.
        threading.setprofile(self._called)
        sys.setprofile(self._called)

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if self._on and event == "call" and frame.f_code.co_filename.startswith(HOUSE):
            self.files.add(str(Path(frame.f_code.co_filename).relative_to(ROOT)))

    @contextmanager
    def noting(self) -> Iterator[None]:
        self.files, self._on = set(), True
        try:
            yield
        finally:
            self._on = False


async def crossings(folder: Path) -> dict[str, list[str]]:
    """The files that each kind of request crosses, sorted."""
    crossed, found = Crossed(), {}
    app = create_app(context=Context.current(Places(ROOT / "config", folder)), worker=True)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
        for name, message in ASKED.items():
            await _answered(client, message)
            found[name] = sorted(await _always(crossed, client, message))
    return found


async def _always(crossed: Crossed, client: httpx.AsyncClient, message: str) -> set[str]:
    """The files that are crossed each time, until rounds tell nothing new."""
    left: set[str] = set()
    same = 0
    for number in range(MOST_ROUNDS):
        with crossed.noting():
            await _answered(client, message)
            await asyncio.sleep(STORED)
        fewer = crossed.files if number == 0 else left & crossed.files
        same = same + 1 if fewer == left else 0
        left = fewer
        if same == SAME:
            break
    return left


async def _answered(client: httpx.AsyncClient, message: str) -> None:
    body = {"input": {"message": message}}
    answer = await client.post("http://127.0.0.1/agent/stream", json=body, timeout=60)
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    if not told or told[-1].get("status") != "done":
        raise RuntimeError(f"no whole answer to {message!r}: {answer.status_code} {answer.text[-400:]}")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--list", action="store_true", help="print the files, as JSON")
    wanted = options.parse_args()
    quiet_logging()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(crossings(Path(folder)))
    if wanted.list:
        print(json.dumps(found, indent=1))
        return
    for name, files in found.items():
        tops = Counter(file.split("/")[0] for file in files)
        print(f"{name}: {len(files)} files ({', '.join(f'{top} {tops[top]}' for top in sorted(tops))})")


if __name__ == "__main__":
    main()
