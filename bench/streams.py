"""Many streams at once through `waystation serve`: CPU per turn, memory, and who was let down.

    python -m bench.streams [--streams 512] [--tokens 40] [--every 0.25] [--beside CHECKOUT]

Each turn is one streamed answer on a thread of its own, read to its end. The
model stub says its tokens as slowly as a model does, in a process of its own.
With `--beside` the same load goes to a service of another checkout, in turn with
this one, so that a noisy machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from waystation.testing.model_server import ModelServer
from waystation.testing.service import ROOT, Service

PATIENCE_SECONDS = 240.0
WARMING = 8


@dataclass
class Load:
    """What one round of streams cost and gave.

    Args:
        whole: Streams whose answer came to its end, word for word.
        first: Seconds to the first token of each stream.
        took: Seconds of each whole turn.
        cpu_ms: CPU of the service's process for each turn.
        memory_mb: How much its memory grew above what it was before.
        odd: What the others got instead.
    """

    whole: int = 0
    first: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    memory_mb: float = 0.0
    odd: list[str] = field(default_factory=list)


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    """Resident MiB of a process, from /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def loaded(service: Service, streams: int, wanted: str) -> Load:
    """Open `streams` streams at once and read each to its end; `wanted` is the answer of the model."""
    load = Load()
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        before, memory = cpu_of(service.pid), memory_of(service.pid)
        reading = [asyncio.create_task(_read(http, service.url, wanted, load)) for _ in range(streams)]
        peak = memory
        while reading:
            _, rest = await asyncio.wait(reading, timeout=0.1)
            peak, reading = max(peak, memory_of(service.pid)), list(rest)
        load.cpu_ms = (cpu_of(service.pid) - before) * 1000 / streams
        load.memory_mb = peak - memory
    return load


async def _read(http: aiohttp.ClientSession, url: str, wanted: str, load: Load) -> None:
    began = time.monotonic()
    try:
        async with http.post(f"{url}/agent/stream", json={"input": {"message": "hello"}}) as answer:
            if answer.status != 200:
                problem = await answer.json()
                load.odd.append(f"{answer.status} {problem['code']}: {problem['detail']}")
                return
            load.first.append(await _spoken(answer, wanted, load, began))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        load.odd.append(type(error).__name__)
    else:
        load.took.append(time.monotonic() - began)


async def _spoken(answer: aiohttp.ClientResponse, wanted: str, load: Load, began: float) -> float:
    first, said, event = 0.0, [], {}
    async for line in answer.content:
        if line.startswith(b"data: "):
            event = orjson.loads(line[6:])
            if event["type"] == "token":
                first = first or time.monotonic() - began
                said.append(event.get("delta") or event["text"])
    if event.get("status") == "done" and "".join(said) == event["answer"] == wanted:
        load.whole += 1
    else:
        load.odd.append(f"{event.get('type')} {event.get('code') or event.get('status')}")
    return first


def service_in(checkout: Path, home: Path, model_url: str, *, limit: bool) -> Service:
    """A service as it comes, from a checkout; `limit` lifts the turns of one user where that is needed."""
    env = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "bench"}
    if limit:
        env |= {"WAYSTATION_LIMITS__STREAMS_PER_USER": "10000"}
    return Service(home, config_dir=checkout / "config", env=env, root=checkout)


async def compare(given: argparse.Namespace, services: dict[str, Service], wanted: str) -> None:
    found: dict[str, list[Load]] = {name: [] for name in services}
    for service in services.values():
        await loaded(service, WARMING, wanted)
    for _ in range(given.rounds):
        for name, service in services.items():
            found[name].append(await loaded(service, given.streams, wanted))
    for name, loads in found.items():
        tell(name, loads, given.streams)


def tell(name: str, loads: list[Load], streams: int) -> None:
    """Print what rounds came to; CPU and times by their median."""
    odd = sorted({f"{load.odd.count(one)}x {one}" for load in loads for one in load.odd})
    first = statistics.median([one for load in loads for one in load.first] or [0])
    took = statistics.median([one for load in loads for one in load.took] or [0])
    cpu = statistics.median(load.cpu_ms for load in loads)
    memory = max(load.memory_mb for load in loads)
    whole = "+".join(str(load.whole) for load in loads)
    print(
        f"{name:<8} whole {whole} of {streams}  cpu {cpu:6.1f} ms/turn  memory +{memory:.0f} MB"
        f"  first token p50 {first:.2f} s  turn p50 {took:.2f} s  {'; '.join(odd)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--streams", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--every", type=float, default=0.25, help="seconds between two tokens")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--beside", type=Path, help="another checkout, to compare with")
    given = parser.parse_args()
    wanted = "word " * (given.tokens - 1) + "word"
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = stack.enter_context(ModelServer(default=wanted))
        model.configure(delay=given.every)
        checkouts = {"here": ROOT, **({"beside": given.beside} if given.beside else {})}
        services = {
            name: stack.enter_context(service_in(checkout, home / name, model.url, limit=name == "beside"))
            for name, checkout in checkouts.items()
        }
        asyncio.run(compare(given, services, wanted))


if __name__ == "__main__":
    main()
