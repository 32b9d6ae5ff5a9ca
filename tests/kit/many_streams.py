"""Many streams of a service at once, each read to its end."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from waystation.testing.service import Service

PATIENCE_SECONDS = 240.0


@dataclass
class Load:
    """What one round of streams gave and took.

    Args:
        whole: Streams whose answer came to its end, word for word.
        odd: What the others got instead.
        memory_mb: How much more memory the service had at the peak than before.
    """

    whole: int = 0
    odd: list[str] = field(default_factory=list)
    memory_mb: float = 0.0


def memory_of(pid: int) -> float:
    """Resident MiB of a process, from /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def loaded(service: Service, streams: int, wanted: str) -> Load:
    """Open `streams` streams at once and read each to its end; `wanted` is the answer of the model."""
    load = Load()
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        peak = before = memory_of(service.pid)
        reading = [asyncio.create_task(_read(http, service.url, wanted, load)) for _ in range(streams)]
        while reading:
            _, rest = await asyncio.wait(reading, timeout=0.1)
            peak, reading = max(peak, memory_of(service.pid)), list(rest)
        load.memory_mb = peak - before
    return load


async def _read(http: aiohttp.ClientSession, url: str, wanted: str, load: Load) -> None:
    try:
        async with http.post(f"{url}/agent/stream", json={"input": {"message": "hello"}}) as answer:
            if answer.status == 200:
                await _heard(answer, wanted, load)
            else:
                problem = await answer.json()
                load.odd.append(f"{answer.status} {problem['code']}: {problem['detail']}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        load.odd.append(type(error).__name__)


async def _heard(answer: aiohttp.ClientResponse, wanted: str, load: Load) -> None:
    lines = [line async for line in answer.content if line.startswith(b"data: ")]
    events = [orjson.loads(line[6:]) for line in lines] or [{}]
    last = events[-1]
    said = "".join(event.get("delta") or event["text"] for event in events if event["type"] == "token")
    if last.get("status") == "done" and said == last["answer"] == wanted:
        load.whole += 1
    else:
        load.odd.append(f"{last.get('type')} {last.get('code') or last.get('status')}")
