"""What came of each question, and the figures over many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from nodes.rag.evaluation.questions import Question
from nodes.rag.models import Passage

ALL = "all"


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question with the passages that were shown for it.

    Args:
        rank: Place of the first passage of an expected document, from 1; 0 where none was shown.
        quoted, celled: Whether the quote, or the row of the cell, is in a shown passage of an expected
            document; None: not asked for.
    """

    question: Question
    passages: tuple[Passage, ...]
    rank: int = 0
    quoted: bool | None = None
    celled: bool | None = None

    @classmethod
    def of(cls, question: Question, passages: Sequence[Passage]) -> JudgedQuestion:
        """Judge what was shown."""
        good = [number for number, p in enumerate(passages, start=1) if answers(p.document, question.expect)]
        texts = [passages[number - 1].text for number in good]
        return cls(
            question,
            tuple(passages),
            good[0] if good else 0,
            any(_flat(q) in _flat(t) for q in question.quote for t in texts) if question.quote else None,
            any(in_a_row(question.cell, t) for t in texts) if question.cell else None,
        )

    @property
    def missed(self) -> str:
        """What is wrong with it, in words; "" where nothing is."""
        if not self.question.answerable:
            return "nothing answers it, and passages were shown" if self.passages else ""
        if not self.passages:
            return "nothing was shown"
        if not self.rank:
            return "none of its documents was shown"
        if self.celled is False:
            return "its document was shown, and not the row with the cell"
        return "its document was shown, and not the quote" if self.quoted is False else ""

    def as_json(self) -> dict[str, Any]:
        shown = [{"document": p.document, "title": p.title, "score": p.score} for p in self.passages]
        return {
            **self.question.model_dump(),
            "rank": self.rank or None,
            "quoted": self.quoted,
            "celled": self.celled,
            "missed": self.missed,
            "shown": shown,
        }


def answers(document: str, expected: Iterable[str]) -> bool:
    """True for a document that one of the names or globs means."""
    return any(document == name or fnmatchcase(document, name) for name in expected)


def in_a_row(cells: Sequence[str], text: str) -> bool:
    """True where one line of the text, as a row of a table is one, holds all of `cells`."""
    return any(all(_flat(cell) in row for cell in cells) for row in map(_flat, text.split("\n")))


def _flat(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares from 0 to 1 over some questions; None where no question asks for it.

    Args:
        hits: By k, the share of answerable questions with an expected document among the first k.
        mrr: Mean of 1 / rank, 0 where none was shown.
        no_answer: Of the questions without an answer, those for which nothing was shown.
        cell, quote: Of the questions that name one, those that show it.
    """

    questions: int
    hits: Mapping[int, float | None]
    mrr: float | None
    no_answer: float | None
    cell: float | None
    quote: float | None

    def by_name(self) -> dict[str, float | None]:
        """Each figure under the name that people and `--floor` know it by."""
        hits = {f"hit@{k}": share for k, share in self.hits.items()}
        return {
            **hits,
            "mrr": self.mrr,
            "no_answer": self.no_answer,
            "cell": self.cell,
            "quote": self.quote,
        }

    def as_json(self) -> dict[str, Any]:
        return {"questions": self.questions, **self.by_name()}


def figures(outcomes: Sequence[JudgedQuestion], *, cuts: Sequence[int] = (1, 4)) -> Figures:
    """The figures over `outcomes`, with hit@k for each of `cuts`."""
    asked = [o for o in outcomes if o.question.answerable]
    return Figures(
        questions=len(outcomes),
        hits={k: _share([0 < o.rank <= k for o in asked]) for k in cuts},
        mrr=_share([1 / o.rank if o.rank else 0 for o in asked]),
        no_answer=_share([not o.passages for o in outcomes if not o.question.answerable]),
        cell=_share([o.celled for o in outcomes if o.celled is not None]),
        quote=_share([o.quoted for o in outcomes if o.quoted is not None]),
    )


def grouped(
    outcomes: Sequence[JudgedQuestion], by: Callable[[Question], str], *, cuts: Sequence[int] = (1, 4)
) -> dict[str, Figures]:
    """The figures of each group, in the order of the file, and of all under `all`."""
    groups: dict[str, list[JudgedQuestion]] = {}
    for outcome in outcomes:
        groups.setdefault(by(outcome.question) or "-", []).append(outcome)
    found = {name: figures(members, cuts=cuts) for name, members in groups.items()}
    return {**found, ALL: figures(outcomes, cuts=cuts)}


def _share(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
