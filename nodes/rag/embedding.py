"""The vector of a question, from an endpoint that may be slow or gone.

A question can be answered by words, so it does not wait for its vector as long as an indexing
does. What the endpoint did last is remembered, so that health can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import TypeAdapter

from core.cache import Cache
from core.errors import TimedOut, WaystationError
from core.resilience import Policy
from core.resilience.errors import BreakerOpen, TooBusy
from nodes.rag.errors import SourceTimedOut
from nodes.rag.ports import Embedder

_VECTORS = TypeAdapter(list[list[float]])
# Two of these and the search by words end within the time of a source.
_SHARE = 0.45


def at_most(seconds: float, *, of: float) -> float:
    """How long one of a search's calls may take, where the whole search has `of` seconds."""
    return min(seconds, _SHARE * of)


class QuestionEmbedder:
    """Asks `embedder` for the vectors of questions.

    Args:
        policy: How it is called; its breaker is that of the source.
        seconds: How long a question waits.
        cache: Knows vectors from before, by `key`, which has to change with the model and with the index.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        policy: Policy,
        seconds: float,
        cache: Cache | None = None,
        key: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._embedder = embedder
        self._policy = policy
        self._seconds = seconds
        self._cache = cache
        self._key = key
        self._problem: tuple[str, datetime] | None = None

    @property
    def problem(self) -> tuple[str, datetime] | None:
        """Why the last question got no vector, and since when none does; None where it got one."""
        return self._problem

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text.

        Raises:
            BreakerOpen, TooBusy: It is not asked now.
            SourceTimedOut: No vector in time.
            SourceUnavailable, SourceRejected, SourceRefused: It answered, and not with vectors.
        """

        async def asked() -> list[list[float]]:
            return await self._asked(texts)

        if self._cache is None:
            return await asked()
        # Nobody's rights are in it: the same text has the same vector for everyone.
        key = [*self._key(), *texts]
        return await self._cache.get("retrieval", key, asked, who=None, as_type=_VECTORS)

    async def probe(self) -> None:
        """Ask once, whatever is known: whether it works again. Raises what `embed` raises."""
        await self._asked(["health"], retry=False)

    async def _asked(self, texts: Sequence[str], *, retry: bool = True) -> list[list[float]]:
        try:
            vectors = await self._policy.call(
                lambda: self._embedder.embed(texts), timeout_s=self._seconds, retry=retry, late=_late
            )
        except (BreakerOpen, TooBusy):
            raise
        except WaystationError as error:
            since = self._problem[1] if self._problem else datetime.now(UTC)
            self._problem = (error.detail.rstrip("."), since)
            raise
        self._problem = None
        return vectors


def _late(seconds: float) -> TimedOut:
    return SourceTimedOut(f"no answer within {seconds:g} s")
