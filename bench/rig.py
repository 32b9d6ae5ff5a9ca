"""What every section of the yardstick works with: the model's pace, services, and rounds of slices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import fleet
from bench.fleet import Served, System
from bench.load import Slice
from bench.processes import Checkout
from bench.report import Round, Row
from waystation.testing.process import ServerProcess


@dataclass(slots=True)
class Bench:
    """A run of the yardstick.

    Args:
        folder: For what the systems store.
        model: The endpoint.
        checkouts: This one first, and one to hold it against.
        slices: Rounds.
        share: Of the turns that a slice has by itself.
        caps: The limits of services that are started from now on.
    """

    folder: Path
    model: ServerProcess
    checkouts: tuple[Checkout, ...]
    slices: int
    share: float
    caps: Mapping[str, str] = field(default_factory=lambda: fleet.CAPS)
    _names: int = field(default=0, init=False)

    def pace(self, first: float = 0.0, token: float = 0.0) -> None:
        """Set seconds to the model's first token, and between two."""
        self.model.ask("POST", "/control", {"first": first, "token": token})

    def room(self) -> Path:
        """A new folder."""
        made = self.folder / self.label()
        made.mkdir()
        return made

    def label(self) -> str:
        """The beginning of names that no thread has had."""
        self._names += 1
        return f"s{self._names}c"

    def turns(self, turns: int) -> int:
        """So many, or the share of them that is wanted."""
        return max(round(turns * self.share), 2)

    def service(
        self, stack: ExitStack, checkout: Checkout, name: str = "", *ways: str, **env: str
    ) -> list[Served]:
        """A service of a checkout with more settings, asked in these ways, by default `/agent/stream`."""
        folder = self.room() / "service"
        pid, port = stack.enter_context(
            fleet.waystation(checkout, self.model.url, folder, env, caps=self.caps)
        )
        found = fleet.waystation_ways(f"{checkout.name}{name}", pid, port)
        return [found[way] for way in ways or ("stream",)]

    def services(self, stack: ExitStack, name: str = "", *ways: str, **env: str) -> list[Served]:
        """The same of each checkout."""
        return [
            one for checkout in self.checkouts for one in self.service(stack, checkout, name, *ways, **env)
        ]

    async def rounds(
        self, systems: Sequence[System], at_once: int, turns: int, *, storage: int | None = None
    ) -> list[Round]:
        """The systems' slices in turn, after a round that is thrown away.

        Raises:
            AssertionError: An answer was wrong.
        """
        found: list[Round] = []
        for number in range(self.slices + 1):
            # The first round finds caches empty: a part of the turns will do.
            count = turns if number else max(turns // 3, 1)
            told: Round = {}
            for system in systems:
                told[system.name] = await self.slice(system, at_once, count, storage=storage)
            if number:
                found.append(told)
        return found

    async def slice(
        self, system: System, at_once: int, turns: int, label: str = "", *, storage: int | None = None
    ) -> Slice:
        """A slice of turns; those that were refused are told, and cost nothing.

        Raises:
            AssertionError: One was answered wrongly.
        """
        part = await fleet.measured(
            system, min(at_once, turns), turns, label or self.label(), storage=storage
        )
        assert not part.wrong, f"{system.name} answered wrongly: {part.wrong[0]}"
        if part.refused:
            print(f"  {system.name} refused of {turns} turns: {dict(part.refused)}", flush=True)
        return part


Section = Callable[[Bench, ExitStack], Awaitable[list[Row]]]
