"""What several sources found, in one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from nodes.rag.models import Passage


def interleave(answers: Sequence[Sequence[Passage]]) -> list[Passage]:
    """One ranking over all sources: their first passages, then their second ones, the better first.

    Scores of different services do not compare, so ranks decide; scores above
    1 are brought to at most 1 within their own source.
    """
    scaled = [_scaled(answer) for answer in answers]
    merged: list[Passage] = []
    for row in zip_longest(*scaled):
        merged += sorted((p for p in row if p is not None), key=lambda p: -p.score)
    return merged


def _scaled(answer: Sequence[Passage]) -> list[Passage]:
    top = max((p.score for p in answer), default=0.0)
    if top <= 1:
        return list(answer)
    return [replace(p, score=round(max(p.score, 0.0) / top, 4)) for p in answer]
