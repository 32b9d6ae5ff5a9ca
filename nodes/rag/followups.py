"""Questions that need what was said before: what is searched for instead of "and in winter?".

Whether a question stands alone is seen from its words, in no time; only one that
does not costs anything more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from core.access import Principal
from core.errors import WaystationError
from core.words import fold
from nodes.rag.ports import Exchange, Rewriter
from nodes.rag.settings import RagSettings
from nodes.rag.terms import asked
from nodes.rag.wording import matter

LOOK_BACK = 3  # exchanges that are shown to whoever rewrites
LONGEST = 400  # letters of a rewritten question; what is longer is an answer, or a lecture
_MOST_WORDS = 14
_SHOWN_LETTERS = 1500
# Of words that carry a meaning, so many may stand beside one that goes on, or that points back.
_AFTER_OPENER, _BESIDE_POINTER = 4, 2
_OPENERS = frozenset(
    str.split(
        "and but then also what_about how_about und aber oder dann was_ist_mit wie_ist_es_mit wie_sieht_es "
        "et mais alors qu'en_est y pero entonces que_tal ma allora mas maar dan och men"
    )
)
# No word that is an article, a form of address or an expletive as well: "den", "Sie", "there".
_POINTERS = frozenset(
    str.split(
        "it its they them their he him his she her this that these those ones "
        "er ihn ihm deren dessen dies diese dieser dieses diesen diesem davon dafur dazu darin damit dort "
        "il elle ils elles lui leur ca cela celui celle ceux ello eso esto ellos ellas esos esas su sus "
        "lei loro questo quello questi ele ela eles isso isto deze hij zij det"
    )
)
_POINTERS_UNSPACED = str.split("それ その これ この 彼 它 他 她 那 这 這 그것 그 이것")
_EXPLETIVE = ("time is it", "is it possible", "is it allowed", "is it true", "is it raining")
_LONGEST_UNSPACED = 24
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Searched:
    """What is searched for, and whether it is another text than the person's."""

    text: str
    rewritten: bool = False


class FollowUps:
    """Makes questions stand alone, where the settings want it.

    Args:
        rewriter: Whoever has a model.
    """

    def __init__(self, settings: RagSettings, rewriter: Rewriter) -> None:
        self._settings = settings
        self._rewriter = rewriter

    async def searched(self, messages: Sequence[AnyMessage], *, model: str, principal: Principal) -> Searched:
        """What to search for; the question as it is where it stands alone, or nobody knows better."""
        said = _said(messages)
        if not said:
            return Searched("")
        question = said[-1].question
        earlier = said[:-1][-LOOK_BACK:]
        if self._settings.rewrite == "off" or not earlier or not depends(matter(question)):
            return Searched(question)
        try:
            async with asyncio.timeout(self._settings.rewrite_timeout_s):
                found = await self._rewriter.rewrite(question, earlier, model=model, principal=principal)
        except (TimeoutError, WaystationError) as error:
            log.warning("question_not_rewritten", reason=getattr(error, "code", "timed_out"))
            return Searched(question)
        if found is None:
            return Searched(f"{question}\n{earlier[-1].question}"[: 2 * _SHOWN_LETTERS], rewritten=True)
        found = " ".join(found.strip().strip('"“”„').split())
        return Searched(found, rewritten=True) if 0 < len(found) <= LONGEST else Searched(question)


class NobodyRewrites:
    """Without a model: the question before is searched for too."""

    async def rewrite(
        self, question: str, earlier: Sequence[Exchange], *, model: str, principal: Principal
    ) -> str | None:
        return None


def depends(question: str) -> bool:
    """Whether a question needs what was said before it: it is short, and goes on or points back."""
    words = [word.strip("¿¡.,;:!?\"'()…") for word in fold(question[:_SHOWN_LETTERS]).split()]
    words = [word for word in words if word]
    if not words or len(words) > _MOST_WORDS:
        return False
    if len(words) < 3 and not question.isascii() and len(question) <= _LONGEST_UNSPACED:
        return any(pointer in question for pointer in _POINTERS_UNSPACED)
    meaning = len(asked(question))
    if _opens(words):
        return meaning <= _AFTER_OPENER
    if any(phrase in " ".join(words) for phrase in _EXPLETIVE):
        return False
    pieces = {piece for word in words for piece in word.replace("'", "-").replace("’", "-").split("-")}
    return not pieces.isdisjoint(_POINTERS) and meaning <= _BESIDE_POINTER


def _opens(words: Sequence[str]) -> bool:
    return any("_".join(words[:length]) in _OPENERS for length in (1, 2, 3, 4))


def _said(messages: Sequence[AnyMessage]) -> list[Exchange]:
    """What the person asked, each with the answer that came; the last is the question of now."""
    found: list[Exchange] = []
    for message in messages:
        text: Any = message.text
        if isinstance(message, HumanMessage):
            found.append(Exchange(str(text).strip()))
        elif isinstance(message, AIMessage) and found and str(text).strip():
            found[-1] = Exchange(found[-1].question, str(text).strip()[:_SHOWN_LETTERS])
    return found
