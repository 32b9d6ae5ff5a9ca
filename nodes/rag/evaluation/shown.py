"""Figures and misses as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.cli import print_table, short
from nodes.rag.evaluation.figures import Figures, JudgedQuestion

_DOCUMENTS = 100
_QUESTION = 200


def print_figures(groups: Mapping[str, Figures], called: str) -> None:
    """A row for each group; "-" where no question of it gives a figure."""
    names = list(next(iter(groups.values())).by_name())
    columns = (called.upper(), "QUESTIONS", *(name.upper().replace("_", " ") for name in names))
    rows = [
        (name, found.questions, *map(_percent, found.by_name().values())) for name, found in groups.items()
    ]
    print_table(columns, rows)


def print_misses(outcomes: Iterable[JudgedQuestion]) -> None:
    """Each question that was missed: what is wrong, what would be right, and what came instead."""
    for outcome in outcomes:
        if not outcome.missed:
            continue
        item = outcome.question
        print(f"\n{short(item.question, _QUESTION)} [{item.group or '-'}]: {outcome.missed}")
        if item.expect:
            cells = f" with {' | '.join(item.cell)}" if item.cell else ""
            print(f"  expected: {', '.join(item.expect)}{cells}")
        for number, passage in enumerate(outcome.passages, start=1):
            where = short(f"{passage.document} ({passage.title}", _DOCUMENTS)
            print(f"  {number}. {where}, score {passage.score:.2f})")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
