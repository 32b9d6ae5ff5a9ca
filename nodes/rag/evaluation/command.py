"""`waystation rag eval`: from a file of questions and options to figures, for each variant."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.access import Principal
from core.cli import progress_bar
from core.container import opened_service
from core.settings import Book, Context, Places
from nodes.rag.client import RAGClient
from nodes.rag.errors import BelowFloor, QuestionsInvalid
from nodes.rag.evaluation.figures import Figures, JudgedQuestion, grouped
from nodes.rag.evaluation.options import Floor, overrides, unknown
from nodes.rag.evaluation.questions import HALVES, Question, in_half, read_questions
from nodes.rag.evaluation.run import index, judge
from nodes.rag.evaluation.shown import print_figures, print_misses
from nodes.rag.module import MODULE
from nodes.rag.settings import RagSettings

AS_CONFIGURED = "as configured"
_CUTS = (1, 4)
_BY: dict[str, Callable[[Question], str]] = {
    "group": lambda item: item.group,
    "language": lambda item: item.language,
    "source": lambda item: ", ".join(item.source),
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is asked, in whose name, and how the figures are put together.

    Args:
        sources: Searched whatever the file says; none: as the file says.
        only: Groups of questions; none: all.
        half: "odd", "even" or "" for both.
        limit: Passages at most; None for the setting.
        variants: Settings of the section rag to compare; none: as configured.
        floors: `hit@4=0.8`; see `Floor`.
        by: What the figures are grouped by.
    """

    file: Path
    principal: Principal
    sources: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    half: str = ""
    limit: int | None = None
    variants: tuple[str, ...] = ()
    floors: tuple[str, ...] = ()
    by: str = "group"

    async def runs(self) -> list[Judged]:
        """Ask everything, once for each variant.

        Raises:
            QuestionsInvalid: The file or an option cannot be read, or no question is left.
            ConfigInvalid: A variant sets what there is not.
            SourceNotFound, SourceUnavailable, IndexBusy: A source cannot be judged.
        """
        if self.by not in _BY:
            raise QuestionsInvalid(unknown("way to group by", self.by, _BY))
        floors, questions = [Floor.read(text) for text in self.floors], self.questions()
        changed = [(variant, overrides(variant)) for variant in self.variants]
        if not changed:
            return [await self._judged(AS_CONFIGURED, Context.current(), questions, floors)]
        with _own_home() as places:
            return [
                await self._judged(name, Context.current(places, rag=rag), questions, floors)
                for name, rag in changed
            ]

    def questions(self) -> list[Question]:
        """Those of the file that are asked."""
        if self.half not in ("", *HALVES):
            raise QuestionsInvalid(unknown("half", self.half, HALVES))
        found = read_questions(self.file).all()
        groups = list(dict.fromkeys(item.group for item in found))
        for name in self.only:
            if name not in groups:
                raise QuestionsInvalid(unknown("group of questions", name, groups))
        kept = [
            item.model_copy(update={"source": list(self.sources)}) if self.sources else item
            for item in found
            if (not self.only or item.group in self.only)
            and (not self.half or in_half(item.question, self.half))
        ]
        if not kept:
            raise QuestionsInvalid(f"no question of {self.file.name} is left to ask; choose fewer options")
        return kept

    async def _judged(
        self, variant: str, context: Context, questions: Sequence[Question], floors: Sequence[Floor]
    ) -> Judged:
        async with opened(context) as (rag, settings):
            everything = [info.name for info in await rag.discover(self.principal)]
            named = [item if item.source else _asked_of(item, everything) for item in questions]
            with progress_bar("indexing") as progress:
                await index(rag, sorted({name for q in named for name in q.source}), progress=progress)
            with progress_bar("asking") as progress:
                outcomes = await judge(
                    rag, named, principal=self.principal, limit=self.limit, progress=progress
                )
        limit = self.limit or settings.limit
        cuts = tuple(sorted({*(k for k in _CUTS if k <= limit), limit}))
        return Judged(variant, tuple(outcomes), cuts, self.by, tuple(floors))


def _asked_of(item: Question, sources: list[str]) -> Question:
    if not sources:
        raise QuestionsInvalid("there is no source that this user may search; see `waystation rag stats`")
    return item.model_copy(update={"source": sources})


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcomes of one variant, and its figures."""

    variant: str
    outcomes: tuple[JudgedQuestion, ...]
    cuts: tuple[int, ...]
    by: str
    floors: tuple[Floor, ...] = ()

    def figures(self, by: str = "") -> dict[str, Figures]:
        """By group (or what was asked for), and over all under `all`."""
        return grouped(self.outcomes, _BY[by or self.by], cuts=self.cuts)

    def under(self, floors: Sequence[Floor]) -> list[str]:
        """What is below its floor, a sentence each; a floor may be for a group, a language or a source."""
        known = {name: found for by in reversed(_BY) for name, found in self.figures(by).items()}
        return [problem for floor in floors if (problem := floor.problem(known))]

    def as_json(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            **{f"by_{by}": {n: f.as_json() for n, f in self.figures(by).items()} for by in _BY},
            "questions": [outcome.as_json() for outcome in self.outcomes],
        }


def print_runs(runs: Sequence[Judged], *, misses: bool) -> None:
    """The figures of each variant, and with `misses` what was missed."""
    for run in runs:
        if len(runs) > 1 or run.variant != AS_CONFIGURED:
            print(f"{run.variant}:")
        print_figures(run.figures(), run.by)
        if misses:
            print_misses(run.outcomes)
        if run is not runs[-1]:
            print()


def raise_below(runs: Sequence[Judged]) -> None:
    """Raise BelowFloor where a figure of a run is below its floor."""
    several = len(runs) > 1
    found = [
        f"{problem} ({run.variant})" if several else problem
        for run in runs
        for problem in run.under(run.floors)
    ]
    if found:
        raise BelowFloor("\n".join(found))


@asynccontextmanager
async def opened(context: Context) -> AsyncIterator[tuple[RAGClient, RagSettings]]:
    async with opened_service(MODULE, RAGClient, context) as (rag, container):
        yield rag, (await container.get(Book))[RagSettings]


@contextmanager
def _own_home() -> Iterator[Places]:
    """The configuration that is here with a home of its own: a variant may change what an index holds."""
    with tempfile.TemporaryDirectory(prefix="waystation-eval-") as home:
        yield replace(Places.from_environ(), home=Path(home))
