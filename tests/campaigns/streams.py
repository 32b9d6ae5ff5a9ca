"""Cut streams at every event and read on; many readers at once; readers that take nothing.

    python -m tests.campaigns.streams [--cuts 500] [--database sqlite|postgres] [--seed 1]

Two services share a database: a reader comes back to the one that runs the
turn or to the other, with Last-Event-ID or with ?after=, and must end up with
exactly what the reader has that was never cut.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx

from tests.campaigns.frozen import WATCH_SECONDS, FrozenReader, Memory, connected, whole_events
from tests.campaigns.model import PIECE_LETTERS, RuleServer
from tests.campaigns.reading import Event, data_of, differences, in_pieces, whole
from tests.campaigns.victims import Site, Victim, nursery, storage_of

KINDS = ("say 25", "two", "hi", "one", "say 60")
STALL_SECONDS = 1.0
DROPPED_SECONDS = 60.0
SUBSCRIBERS = 200
FROZEN = 60
POURED = 130
# What each reader that takes nothing may cost, and what an allocator keeps for itself.
READER_BYTES = 256 * 1024
SLACK_BYTES = 48 * 1024 * 1024
MEASURED_AT_MOST = 3
LIMITS = httpx.Limits(max_connections=None)


class Streams:
    """Two services on one database, and readers of their runs."""

    def __init__(self, one: Victim, other: Victim, *, seed: int) -> None:
        self.one = one
        self.other = other
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self._numbers = itertools.count(1)
        self.https = [
            httpx.AsyncClient(base_url=victim.url, timeout=120, trust_env=False, limits=LIMITS)
            for victim in (one, other)
        ]
        self.cuts = 0

    async def aclose(self) -> None:
        for http in self.https:
            await http.aclose()

    async def begin(self, kind: str, *, server: int = 0) -> str:
        """A run in the background on a thread of its own; its id."""
        name = f"s{next(self._numbers)}"
        body = {"input": {"message": f"{name} {kind}"}}
        answer = await self.https[server].post(f"/threads/{name}/runs", json=body)
        return str(answer.raise_for_status().json()["run_id"])

    async def cut_background(self, kind: str, *, server: int = 0) -> list[str]:
        """Readers of one run, cut after every event and at random, against one that is not."""
        run_id = await self.begin(kind, server=server)
        own = whole(self.https[server], run_id)
        sizes = (self._chance.randint(1, 6) for _ in itertools.count())
        wanted, (each, cuts), (some, more) = await asyncio.gather(
            own,
            in_pieces(self.https, run_id, itertools.repeat(1)),
            in_pieces(self.https[::-1], run_id, sizes),
        )
        late, late_cuts = await in_pieces(self.https, run_id, itertools.repeat(1))
        self.cuts += cuts + more + late_cuts
        return [
            *differences(each, wanted, f"{kind}, cut at every event"),
            *differences(some, wanted, f"{kind}, cut at random"),
            *differences(late, wanted, f"{kind}, replayed and cut"),
        ]

    async def cut_foreground(self, kind: str, at: int) -> list[str]:
        """A turn whose own stream is cut after event `at`, and gone on with by its number or by its key."""
        name = f"s{next(self._numbers)}"
        got = await self._own_stream(name, kind, at=at, known=[])
        run_id = got[0]["run_id"]
        self.cuts += 1
        if self._chance.random() < 0.5:  # the same request again: its key says which run
            got = await self._own_stream(name, kind, at=None, known=got)
        else:
            got, cuts = await in_pieces(self.https[::-1], run_id, itertools.repeat(3), known=got)
            self.cuts += cuts
        return differences(got, await whole(self.https[1], run_id), f"{kind}, own stream cut at {at}")

    async def _own_stream(self, name: str, kind: str, *, at: int | None, known: list[Event]) -> list[Event]:
        wishes = {"thread_id": name, "on_disconnect": "continue"}
        body = {"input": {"message": f"{name} {kind}"}, "config": {"configurable": wishes}}
        headers = {"Idempotency-Key": name}
        if known:
            headers["Last-Event-ID"] = str(known[-1]["seq"])
        got = list(known)
        async with self.https[0].stream("POST", "/agent/stream", json=body, headers=headers) as answer:
            answer.raise_for_status()
            async for event in data_of(answer):
                got.append(event)
                if len(got) == at:
                    break
        return got

    async def crowd(self, readers: int) -> list[str]:
        """Many readers of one run, half of them from the other process."""
        run_id = await self.begin("say 80")
        asked = [whole(self.https[number % 2], run_id) for number in range(readers)]
        wanted, *others = await asyncio.gather(*asked)
        return [w for n, got in enumerate(others, 1) for w in differences(got, wanted, f"reader {n}")]

    async def freeze(self, readers: int, pieces: int) -> list[str]:
        """Readers that take nothing are dropped, cost little, and can read on where they were."""
        wrong: list[str] = []
        costs: list[float] = []
        # A peak also has what the run itself had piled up. Readers that cost too much do so each time.
        allowed = readers * READER_BYTES + SLACK_BYTES
        while len(costs) < MEASURED_AT_MOST and min(costs, default=math.inf) > allowed:
            found, cost = await self._frozen(readers, pieces)
            wrong += found
            costs.append(cost)
            size = pieces * PIECE_LETTERS / 2**20
            print(f"{readers} frozen readers of {size:.1f} MiB cost {cost / 2**20:.1f} MiB", flush=True)
        if min(costs) > allowed:
            wrong.append(f"{readers} frozen readers cost {min(costs) / 2**20:.0f} MiB")
        return wrong

    async def _frozen(self, readers: int, pieces: int) -> tuple[list[str], float]:
        """What is wrong with what they got, and the memory that they cost, in bytes."""
        # Once more than is measured: what Python keeps for the next time is none of the readers' cost.
        for _ in range(2):
            run_id = await self.begin(f"pour {pieces}")
            with Memory(self.one.pid) as alone:
                await whole(self.https[0], run_id)
        run_id = await self.begin(f"pour {pieces}")
        with Memory(self.one.pid) as crowded:
            frozen = [await asyncio.to_thread(FrozenReader, self.one.port, run_id) for _ in range(readers)]
            wanted = await whole(self.https[0], run_id)
            await self._dropped(frozen)
        try:
            taken = [await asyncio.to_thread(reader.thaw) for reader in frozen]
        finally:
            for reader in frozen:
                reader.close()
        wrong = await self._go_on(run_id, taken[0], wanted)
        kept = sum(b"event: end" in stream for stream in taken)
        if kept:
            wrong.append(f"{kept} of {readers} frozen readers were not dropped")
        return wrong, max(crowded.peak - alone.peak, 0)

    async def _dropped(self, frozen: Sequence[FrozenReader]) -> None:
        """Returns when the service has let go of them: it does so by the clock, on a busy machine late."""
        ports = [reader.port for reader in frozen]
        until = time.monotonic() + DROPPED_SECONDS
        while connected(self.one.port, ports) and time.monotonic() < until:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(WATCH_SECONDS)

    async def _go_on(self, run_id: str, stream: bytes, wanted: list[Event]) -> list[str]:
        got = whole_events(stream)
        got, cuts = await in_pieces(self.https, run_id, itertools.repeat(10_000), known=got)
        self.cuts += cuts + 1
        return differences(got, wanted, "a frozen reader that came back")


@asynccontextmanager
async def opened(storage: str, *, seed: int) -> AsyncIterator[Streams]:
    """Two services in a folder of their own."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = stack.enter_context(RuleServer())
        parent = stack.enter_context(nursery(weighed=True))
        settings = {"WAYSTATION_SERVER__STREAM_STALL_SECONDS": str(STALL_SECONDS)}
        site = Site(folder, model.url, storage, settings=settings)
        victims = [Victim(parent, site) for _ in range(2)]
        for victim in victims:
            stack.callback(victim.kill)
            await asyncio.to_thread(victim.start)
        streams = Streams(*victims, seed=seed)
        stack.push_async_callback(streams.aclose)
        yield streams


async def campaign(cuts: int, kind: str, seed: int) -> int:
    """Cut streams and print what came of it; how much is wrong."""
    started, found, turns = time.monotonic(), list[str](), 0
    with storage_of(kind) as storage:
        async with opened(storage, seed=seed) as streams:
            while streams.cuts < cuts:
                what = KINDS[turns % len(KINDS)]
                wrong = await streams.cut_background(what, server=turns % 2)
                wrong += await streams.cut_foreground(what, 1 + turns % 12)
                turns += 1
                found += wrong
                print(f"{streams.cuts:>4} cuts  {what:<8} {'; '.join(wrong)[:2000] or 'ok'}", flush=True)
            found += await streams.crowd(SUBSCRIBERS)
            found += await streams.freeze(FROZEN, POURED)
            for wrong_thing in found:
                print(wrong_thing[:2000])
            print(
                f"{kind}: {streams.cuts} cuts in {2 * turns} turns, {SUBSCRIBERS} subscribers on one run,"
                f" {FROZEN} frozen readers: {len(found)} things wrong, {time.monotonic() - started:.0f} s"
            )
    return len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(1 if asyncio.run(campaign(given.cuts, given.database, given.seed)) else 0)


if __name__ == "__main__":
    main()
