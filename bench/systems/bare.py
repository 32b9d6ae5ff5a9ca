"""The graph alone, in this process: no server, no checkpoints.

    python -m bench.systems.bare MODEL_URL

Each line of its input is `{"at_once": N, "turns": N}`; each line that it prints
has, for every turn, the seconds to the first token, the seconds of the whole,
and what was said.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from bench.systems.graph import tutorial

Took = tuple[float, float, str]


async def one_turn(graph: Any) -> Took:
    """A turn, timed."""
    begun = time.perf_counter()
    first, said = 0.0, []
    start = {"messages": [{"role": "user", "content": "What is 19 + 23?"}]}
    async for piece, _ in graph.astream(start, stream_mode="messages"):
        if piece.type == "AIMessageChunk" and piece.content:
            first = first or time.perf_counter() - begun
            said.append(piece.content)
    return first, time.perf_counter() - begun, "".join(said)


async def many(graph: Any, at_once: int, turns: int) -> list[Took]:
    """So many turns, so many at a time."""
    left = iter(range(turns))

    async def worker() -> list[Took]:
        return [await one_turn(graph) for _ in left]

    done = await asyncio.gather(*(worker() for _ in range(at_once)))
    return [turn for part in done for turn in part]


async def main(model_url: str) -> None:
    """Until its input ends."""
    graph = tutorial(model_url)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await many(graph, **json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
