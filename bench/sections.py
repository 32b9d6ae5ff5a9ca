"""What is held against what: the sections of the yardstick, and the targets of their figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import fleet
from bench.fleet import Served, System
from bench.load import Slice
from bench.processes import Checkout
from bench.report import Round, Row, of_each, ratio
from waystation.testing.process import ServerProcess

AT_ONCE = {"c1": 1, "c8": 8, "c32": 32, "real32": 32}
SLICE_TURNS = {"c1": 12, "c8": 40, "c32": 96, "real32": 64}
# Two model calls of 200 ms, and 49 tokens behind the first.
REALISTIC = {"first": 0.2, "token": 0.02}
AT_ONCE_IDEAL_MS = 1380.0


@dataclass(slots=True)
class Bench:
    """What every section needs.

    Args:
        folder: For what the systems store.
        model: The endpoint.
        checkouts: This one first, and one to hold it against.
        slices: Rounds.
        share: Of the turns that a slice has by itself.
    """

    folder: Path
    model: ServerProcess
    checkouts: tuple[Checkout, ...]
    slices: int
    share: float
    _labels: int = field(default=0, init=False)

    def pace(self, first: float = 0.0, token: float = 0.0) -> None:
        """Seconds to the model's first token, and between two."""
        self.model.ask("POST", "/control", {"first": first, "token": token})

    def room(self) -> Path:
        """A new folder."""
        self._labels += 1
        made = self.folder / f"room{self._labels}"
        made.mkdir()
        return made

    def label(self) -> str:
        """The beginning of names that no thread has had."""
        self._labels += 1
        return f"s{self._labels}c"

    def turns(self, turns: int) -> int:
        """So many, or the share of them that is wanted."""
        return max(round(turns * self.share), 2)

    def started(self, stack: ExitStack, checkout: Checkout, **env: str) -> tuple[int, int]:
        """A service: its process and port."""
        folder = self.room() / "service"
        return stack.enter_context(fleet.waystation(checkout, self.model.url, folder, env))

    def ways(self, stack: ExitStack, *ways: str) -> list[Served]:
        """A service of each checkout, asked in these ways."""
        found: list[Served] = []
        for checkout in self.checkouts:
            pid, port = self.started(stack, checkout)
            all_ways = fleet.waystation_ways(checkout.name, pid, port)
            found += [all_ways[way] for way in ways]
        return found

    async def rounds(
        self, systems: Sequence[System], at_once: int, turns: int, *, storage: int | None = None
    ) -> list[Round]:
        """The systems' slices in turn, after one that is thrown away.

        Raises:
            AssertionError: An answer was wrong or refused.
        """
        found: list[Round] = []
        for number in range(self.slices + 1):
            # The first round finds caches empty: a part of the turns will do.
            count = max(turns // 3, 1) if number == 0 else turns
            told: Round = {}
            for system in systems:
                told[system.name] = await self.checked(system, at_once, count, storage=storage)
            if number:
                found.append(told)
        return found

    async def checked(self, system: System, at_once: int, turns: int, *, storage: int | None = None) -> Slice:
        """A slice of which every turn was answered as it must be."""
        part = await fleet.measured(system, min(at_once, turns), turns, self.label(), storage=storage)
        assert not part.wrong, f"{system.name} answered wrongly: {part.wrong[0]}"
        assert not part.refused, f"{system.name} refused {part.refused} of {turns} turns"
        return part


Section = Callable[[Bench, ExitStack], Awaitable[list[Row]]]


def plain(name: str) -> Section:
    """All systems, with a model that answers at once."""

    async def section(bench: Bench, stack: ExitStack) -> list[Row]:
        bench.pace()
        systems: list[System] = [
            stack.enter_context(fleet.proxy(bench.model.url, bench.room())),
            stack.enter_context(fleet.bare(bench.model.url, bench.room())),
            stack.enter_context(fleet.naive(bench.model.url, bench.room())),
            *bench.ways(stack, "stream", "invoke", "runs"),
        ]
        rounds = await bench.rounds(systems, AT_ONCE[name], bench.turns(SLICE_TURNS[name]))
        return of_each(name, rounds) + against_peers(name, rounds)

    return section


def against_peers(name: str, rounds: list[Round]) -> list[Row]:
    """CPU and turns a second of `/agent/stream`, against each peer."""

    def cpu(other: str, target: float | None = None) -> Row:
        return Row(name, f"CPU against {other}", ratio(rounds, "now", other, Slice.cpu_ms), target=target)

    rate = ratio(rounds, "now", "naive LangServe", Slice.rate)
    rows = [
        cpu("proxy"),
        cpu("bare graph", 0.8),
        cpu("naive LangServe", 0.4),
        Row(
            name,
            "turns a second against naive LangServe",
            rate,
            target=2.5 if name == "c32" else None,
            least=True,
        ),
    ]
    return rows + ([cpu("before")] if "before" in rounds[0] else [])


async def real32(bench: Bench, stack: ExitStack) -> list[Row]:
    """Turns as they are with a model that takes its time."""
    bench.pace(**REALISTIC)
    systems = [
        stack.enter_context(fleet.proxy(bench.model.url, bench.room())),
        stack.enter_context(fleet.naive(bench.model.url, bench.room())),
        *bench.ways(stack, "stream"),
    ]
    name = "real32"
    rounds = await bench.rounds(systems, AT_ONCE[name], bench.turns(SLICE_TURNS[name]))
    rows = of_each(name, rounds)
    for each in (checkout.name for checkout in bench.checkouts):
        target = each == "now"
        rows += [
            Row(
                name,
                f"{each}: {what} against proxy",
                ratio(rounds, each, "proxy", figure),
                target=limit if target else None,
            )
            for what, figure, limit in (("CPU", Slice.cpu_ms, 3.0), ("first token p50", Slice.first_ms, 1.3))
        ]
        ideal = ratio(rounds, each, each, Slice.whole_ms, lambda _: AT_ONCE_IDEAL_MS)
        rows.append(
            Row(name, f"{each}: whole turn p50 against ideal", ideal, target=1.15 if target else None)
        )
    return rows


SECTIONS: dict[str, Section] = {
    "c1": plain("c1"),
    "c8": plain("c8"),
    "c32": plain("c32"),
    "real32": real32,
}
