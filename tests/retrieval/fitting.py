"""`python -m tests.retrieval.fitting`: fit what decides whether passages are shown, and say what that does.

Asks every question of the sets with nothing hidden, as it stands and in its other forms, keeps the measures
of `nodes/rag/likelihood.py`, and fits their weights on the odd halves: a logistic regression with a ridge.
What is printed is the weights, and for the even halves, which nothing is fitted on, what each bar shows and
hides: of the questions by source, and of each form.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from core.access import EVERY, Principal
from core.settings import Context
from nodes.rag.adapters.bundled import BundledEmbedder
from nodes.rag.evaluation.command import opened
from nodes.rag.evaluation.figures import JudgedQuestion
from nodes.rag.evaluation.questions import in_half
from nodes.rag.evaluation.run import index, judge
from nodes.rag.likelihood import CONSTANT, WEIGHTS, Measures
from nodes.rag.models import Chunk
from nodes.rag.ports import Signs
from tests.retrieval.corpora import SOURCES, prepare
from tests.retrieval.forms import AS_ASKED, FORMS, Form, as_asked, forms

ADA = Principal("ada", frozenset(), frozenset({EVERY}))
RIDGE, STEPS = 3.0, 30
BARS = (0.4, 0.5, 0.55, 0.6, 0.62, 0.65, 0.7)
# What is made of a question by rule says less than what somebody wrote.
COUNTS = {"shouted": 0.25, "plain": 0.5, "letter": 0.25}


@dataclass(frozen=True)
class Asked:
    """An outcome with nothing hidden; `measures` are None where no bar would be asked."""

    form: Form
    outcome: JudgedQuestion
    measures: Measures | None

    @property
    def answerable(self) -> bool:
        return self.outcome.question.answerable

    @property
    def german(self) -> bool:
        return self.outcome.question.language == "german"

    def shown(self, bar: float, likely: Sequence[float]) -> bool:
        if self.measures is None:
            return bool(self.outcome.passages)
        told = float(np.dot(likely[:-1], astuple(self.measures)) + likely[-1])
        return bool(1 / (1 + np.exp(-told)) >= bar)


class Watched(BundledEmbedder):
    """Shows everything, and knows what it measured last."""

    last: Measures | None = None

    async def likelihood(self, question: str, passages: Sequence[Chunk], signs: Signs) -> float:
        Watched.last = await self.measures(question, passages, signs)
        return 1.0


async def ask() -> list[Asked]:
    """Every question of every set, once in each form."""
    found = []
    setattr(BundledEmbedder, "likelihood", Watched.likelihood)  # noqa: B010 - for this process
    async with opened(Context.current()) as (rag, _):
        await index(rag, SOURCES)
        for form in [*as_asked(), *forms()]:
            Watched.last = None
            [outcome] = await judge(rag, [form.question], principal=ADA)
            found.append(Asked(form, outcome, Watched.last))
    return found


def fitted(asked: Sequence[Asked]) -> list[float]:
    """Weights and constant; an answerable question whose answer was not found teaches nothing."""
    known = [a for a in asked if a.measures and (a.outcome.rank or not a.answerable)]
    values: Any = np.array([astuple(a.measures) for a in known if a.measures], dtype=float)
    right = np.array([float(a.answerable) for a in known])
    counts = np.array([COUNTS.get(a.form.way, 1.0) for a in known])
    middle, spread = values.mean(0), values.std(0) + 1e-9
    rows = np.c_[(values - middle) / spread, np.ones(len(values))]
    ridge = np.diag([RIDGE] * values.shape[1] + [0.0])
    weights = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (counts * (likely - right)) + ridge @ weights
        weights -= np.linalg.solve((rows.T * (counts * likely * (1 - likely))) @ rows + ridge, slope)
    plain = weights[:-1] / spread
    return [*plain, weights[-1] - plain @ middle]


def told(asked: Sequence[Asked], bar: float, likely: Sequence[float]) -> str:
    """hit@1, hit@4, and for how many of the unanswerable nothing is shown."""
    good = [(a.outcome.rank, a.shown(bar, likely)) for a in asked if a.answerable] or [(0, False)]
    none = [not a.shown(bar, likely) for a in asked if not a.answerable]
    first, four = (sum(0 < rank <= k and shown for rank, shown in good) / len(good) for k in (1, 4))
    return f"{first:.2f} {four:.2f} {sum(none) / len(none) if none else 0:.2f}"


def main() -> None:
    """Print weights and figures."""
    options = argparse.ArgumentParser(prog="python -m tests.retrieval.fitting", description=__doc__)
    options.add_argument("--folder", type=Path, help="keep documents and index there")
    with tempfile.TemporaryDirectory() as made:
        folder = options.parse_args().folder or Path(made)
        prepare(folder)
        os.environ["WAYSTATION_CONFIG_DIR"] = str(folder / "config")
        os.environ["WAYSTATION_HOME"] = str(folder / "home")
        os.environ["WAYSTATION_RAG__TIMEOUT_S"] = "600"
        asked = asyncio.run(ask())
    halves = {half: [a for a in asked if in_half(a.form.of, half)] for half in ("odd", "even")}
    new = fitted(halves["odd"])
    for name, weight in zip([*(f.name for f in fields(Measures)), "constant"], new, strict=True):
        print(f"{name:9} {weight:6.2f}")
    for title, likely in (("fitted now", new), ("as shipped", [*WEIGHTS, CONSTANT])):
        for half, some in halves.items():
            print(f"{title}, {half} half: hit@1 hit@4 nothing shown")
            for bar in BARS:
                print(f"  {bar:.2f}", *(f"{name} {told(of, bar, likely)} " for name, of in parts(some)))


def parts(some: Sequence[Asked]) -> Iterator[tuple[str, list[Asked]]]:
    """The questions as they stand: all, by source, and the German ones; then each form."""
    plain = [a for a in some if a.form.way == AS_ASKED]
    yield "all", plain
    for name in sorted({name for a in plain for name in a.outcome.question.source}):
        yield name, [a for a in plain if name in a.outcome.question.source]
    yield "german", [a for a in plain if a.german]
    for way in FORMS:
        yield way, [a for a in some if a.form.way == way]


if __name__ == "__main__":
    main()
