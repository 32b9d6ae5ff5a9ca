"""What is written on the command line of `waystation rag eval`: floors and variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.settings import nearest
from nodes.rag.errors import QuestionsInvalid
from nodes.rag.evaluation.figures import ALL, Figures


@dataclass(frozen=True, slots=True)
class Floor:
    """The least that a figure of a group may be."""

    group: str
    figure: str
    least: float

    @classmethod
    def read(cls, text: str) -> Floor:
        """`hit@4=0.8`, or `german.hit@4=0.7` of a group, a language or a source.

        Raises:
            QuestionsInvalid: It is written otherwise.
        """
        name, _, number = text.partition("=")
        group, _, figure = name.strip().rpartition(".")
        try:
            least = float(number)
        except ValueError:
            least = -1
        if not figure or not 0 <= least <= 1:
            raise QuestionsInvalid(
                f"'{text}' is no floor; write FIGURE=SHARE with a share from 0 to 1, as hit@4=0.8 "
                "or german.hit@4=0.7"
            )
        return cls(group or ALL, figure, least)

    def problem(self, groups: Mapping[str, Figures]) -> str:
        """What is below it, in words; "" where nothing is.

        Raises:
            QuestionsInvalid: There is no such group or figure, or no question gives it.
        """
        if self.group not in groups:
            raise QuestionsInvalid(unknown("group", self.group, groups))
        found = groups[self.group].by_name()
        if self.figure not in found:
            raise QuestionsInvalid(unknown("figure", self.figure, found))
        reached = found[self.figure]
        if reached is None:
            raise QuestionsInvalid(f"no question of '{self.group}' gives the figure {self.figure}")
        if reached >= self.least:
            return ""
        return f"{self.figure} of {self.group} is {reached:.2f}, below {self.least:.2f}"


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Says that there is no such thing, and what was probably meant."""
    near = nearest(name, known)
    return f"there is no {what} '{name}'; " + (
        f"did you mean '{near}'?" if near else f"known: {', '.join(known)}"
    )


def overrides(variant: str) -> dict[str, Any]:
    """The settings of section `rag` that a variant changes: `min_score=0.5,limit=6`; a dot goes a level down.

    Raises:
        QuestionsInvalid: It is written otherwise; the values are judged where settings are.
    """
    found: dict[str, Any] = {}
    for part in variant.split(","):
        name, sign, value = part.partition("=")
        if not sign or not name.strip():
            raise QuestionsInvalid(
                f"'{variant}' is no variant; write settings of the section rag, as min_score=0.5,limit=6"
            )
        *above, last = name.strip().removeprefix("rag.").split(".")
        place = found
        for key in above:
            below = place.setdefault(key, {})
            if not isinstance(below, dict):
                raise QuestionsInvalid(f"'{variant}' sets {key} twice; name each setting once")
            place = below
        place[last] = value.strip()
    return found
