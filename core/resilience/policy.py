"""How one target is called: retry(breaker(timeout(call))), within a bounded number of calls.

A service has one target per kind and name, whose breaker outlives its settings.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import structlog

from core.errors import NotFound, TimedOut, Unavailable
from core.events.subscription import Event
from core.resilience.errors import BreakerOpen, PolicyTimeout, TooBusy
from core.resilience.events import BreakerClosed, BreakerOpened
from core.resilience.settings import Kind, PolicySettings, ResilienceSettings
from core.resilience.status import StatusFile, TargetStatus
from core.resilience.target import Slot, State, Target, outcome_of

T = TypeVar("T")

Late = Callable[[float], TimedOut]
Again = Callable[[Unavailable], bool]

# Who timed out has taken the caller's time; who is open or full would only say so again.
_SAID_ENOUGH = (TimedOut, BreakerOpen, TooBusy)


class _Deadline(NamedTuple):
    """The loop's time up to which a caller waits, and the error for then."""

    until: float
    late: Callable[[], TimedOut]


@dataclass(frozen=True, slots=True)
class StartedStream(Generic[T]):
    """A stream with what came up to its first content; `ended` when nothing more will."""

    items: list[T]
    rest: AsyncIterator[T]
    ended: bool


class Policy:
    """The way to call one target. Get one from `Policies.of`; it may be kept.

    A client that has retries of its own switches them off: a call has one owner.
    """

    def __init__(self, target: Target, settings: PolicySettings) -> None:
        self._target = target
        self.settings = settings

    async def call(
        self,
        fn: Callable[[], Awaitable[T]],
        *,
        timeout_s: float | None = None,
        retry: bool | Again = True,
        late: Late | None = None,
    ) -> T:
        """The result of `fn`, tried again where it fails and that may help.

        Args:
            fn: Makes one try. Its `Unavailable` errors count as failures of the target,
                other errors of ours as answers. `retry_after` of an error, in seconds, is honoured.
            timeout_s: Longest wait for it all, in seconds, the pauses too; the settings' by default.
            retry: Whether a failed try may be made again, or a function that says so of an error:
                False for what must not happen twice.
            late: Makes the error for a call that took too long from its seconds.

        Raises:
            BreakerOpen: The target failed too often and is left alone.
            TooBusy: Too many calls to it are going and waiting.
            PolicyTimeout: No result in time, unless `late` makes another error.
        """
        deadline = self._deadline(timeout_s, late)
        with Slot(self._target) as place:
            return await self._tried(fn, deadline, retry, place)

    async def stream(
        self,
        opened: Callable[[], AsyncIterator[T]],
        *,
        content: Callable[[T], bool],
        timeout_s: float | None = None,
        retry: bool | Again = True,
        late: Late | None = None,
    ) -> AsyncIterator[T]:
        """The items of a stream, which is opened again where it fails before its first content.

        Its begin and its end are two outcomes for the breaker, so that a
        target that always breaks off later is found out too. The silence and
        length of the rest are the business of whoever makes the stream. Only
        its opening takes a place: a stream that is open waits for a model, not
        for us, and must keep nobody from beginning.

        Args:
            opened: Makes the stream. Its first item, with or without content, says that it is open.
            content: Whether an item is something that a reader could have seen.
            timeout_s: Longest wait for the first content, in seconds.
            retry, late: As for `call`.

        Raises:
            BreakerOpen, TooBusy, PolicyTimeout: As `call`, before the first item.
        """
        deadline = self._deadline(timeout_s, late)
        with Slot(self._target) as place:
            begun = await self._tried(
                lambda: begin(opened, content, is_open=place.leave), deadline, retry, place
            )
        async with aclosing(self._rest(begun)) as items:
            async for item in items:
                yield item

    def _deadline(self, timeout_s: float | None, late: Late | None) -> _Deadline:
        limit = self.settings.timeout_s if timeout_s is None else timeout_s
        until = asyncio.get_running_loop().time() + limit

        def too_late() -> TimedOut:
            if late is not None:
                return late(limit)
            return PolicyTimeout(f"{self._target.label} did not answer within {limit:g} s")

        return _Deadline(until, too_late)

    async def _tried(
        self, fn: Callable[[], Awaitable[T]], deadline: _Deadline, retry: bool | Again, place: Slot
    ) -> T:
        """`fn`, until it works or trying again is no use; with a place each time."""

        failures = 0
        while True:
            await place.enter(deadline.until)
            try:
                return await self._target.attempt(fn, until=deadline.until, late=deadline.late)
            except Unavailable as error:
                failures += 1
                pause = self._pause(error, failures, deadline.until, retry)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            self._target.count_retry()

    def _pause(self, error: Unavailable, failures: int, until: float, retry: bool | Again) -> float | None:
        """Seconds before the next try; None when there is none."""
        settings = self.settings
        if failures >= settings.attempts or isinstance(error, _SAID_ENOUGH) or not error.retryable:
            return None
        if self._target.breaker.state == "open" or not (retry(error) if callable(retry) else retry):
            return None
        pause: float | None = getattr(error, "retry_after", None)
        if pause is None:
            # Callers that failed together do not come back together.
            jitter = random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret about it
            pause = min(settings.backoff_s * 2.0 ** (failures - 1), settings.longest_backoff_s) * jitter
        late = asyncio.get_running_loop().time() + pause >= until
        return None if late or pause > settings.longest_backoff_s else pause

    async def _rest(self, begun: StartedStream[T]) -> AsyncGenerator[T, None]:
        """What has come, then what comes; how that ends is the stream's second outcome."""
        breaker = self._target.breaker
        era = breaker.era
        try:
            for item in begun.items:
                yield item
            if begun.ended:
                return
            async for item in begun.rest:
                yield item
        except Exception as error:
            breaker.ended(error, era=era)
            if outcome_of(error) == "failed":
                self._target.count("cut")
            raise
        else:
            breaker.ended(None, era=era)
        finally:
            await close(begun.rest)


async def begin(
    opened: Callable[[], AsyncIterator[T]],
    content: Callable[[T], bool],
    *,
    is_open: Callable[[], None] = lambda: None,
) -> StartedStream[T]:
    """Open a stream and read on until `content` says that a reader could have seen something.

    Args:
        is_open: Called at each item up to there.
    """
    stream, items = opened(), []
    try:
        async for item in stream:
            is_open()
            items.append(item)
            if content(item):
                return StartedStream(items, stream, ended=False)
    except BaseException:
        await close(stream)
        raise
    return StartedStream(items, stream, ended=True)


async def close(stream: AsyncIterator[T]) -> None:
    """Close a stream that can be closed; not every iterator can."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()


class Policies:
    """Hands out policies. All of one target share its breaker and its bound on calls.

    Args:
        publish: Told of breakers that open and close.
        resets: Folder for the states of this process and the requests of
            others (`breakers_folder`); None keeps them to itself.
    """

    def __init__(
        self,
        settings: ResilienceSettings,
        *,
        publish: Callable[[Event], None] = lambda _: None,
        resets: Path | None = None,
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._file = StatusFile(resets) if resets else None
        self._targets: dict[str, Target] = {}
        self._policies: dict[tuple[str, float, int], Policy] = {}
        self._asked: dict[tuple[Kind, str, float | None, int | None], Policy] = {}

    def of(
        self, kind: Kind, name: str, *, timeout_s: float | None = None, attempts: int | None = None
    ) -> Policy:
        """The policy for a target; the same object each time for the same numbers.

        Args:
            timeout_s: What the target's own entry says of the longest call, in seconds.
            attempts: What it says of the number of tries.
        """
        asked = (kind, name, timeout_s, attempts)
        known = self._asked.get(asked)
        if known is None:
            known = self._asked[asked] = self._of(kind, name, timeout_s, attempts)
        return known

    def _of(self, kind: Kind, name: str, timeout_s: float | None, attempts: int | None) -> Policy:
        settings = self._settings.of(kind, name, timeout_s=timeout_s, attempts=attempts)
        target = self._target(kind, name, settings)
        key = (target.key, settings.timeout_s, settings.attempts)
        if key not in self._policies:
            self._policies[key] = Policy(target, settings)
        return self._policies[key]

    def status(self) -> list[TargetStatus]:
        """Every target that was asked for, by kind and name."""
        return [self._targets[key].status() for key in sorted(self._targets)]

    async def reset(self, kind: Kind, name: str) -> None:
        """Close a target's breaker and forget its calls.

        Raises:
            NotFound: No call was made to such a target.
        """
        target = self._targets.get(f"{kind}:{name}")
        if target is None:
            raise NotFound(
                f"no target '{kind}:{name}'; known: {', '.join(sorted(self._targets)) or 'none yet'}"
            )
        target.breaker.reset()

    def hurry(self, kind: Kind, name: str) -> None:
        """Let the next call try a target whose breaker is open: it was started anew, or put right."""
        target = self._targets.get(f"{kind}:{name}")
        if target is not None:
            target.breaker.hurry()

    def retain(self, kind: Kind, names: Collection[str]) -> None:
        """Forget the targets of a kind that are none of `names`: nobody can call them any more.

        An open breaker would otherwise stay open for ever in health and metrics.
        """
        gone = [t for t in self._targets.values() if t.kind == kind and t.name not in names]
        for target in gone:
            del self._targets[target.key]
            self._policies = {key: kept for key, kept in self._policies.items() if key[0] != target.key}
            self._asked = {
                asked: kept for asked, kept in self._asked.items() if asked[:2] != (target.kind, target.name)
            }
            if target.forget():
                self._publish(BreakerClosed(kind=target.kind, name=target.name))
        if gone and self._file:
            self._file.write(self.status())

    def close(self) -> None:
        """Take this process's states away from the folder."""
        if self._file:
            self._file.remove()

    def _target(self, kind: Kind, name: str, settings: PolicySettings) -> Target:
        key = f"{kind}:{name}"
        if key not in self._targets:
            self._targets[key] = Target(
                kind, name, settings, changed=self._changed, reset_asked=self._reset_asked
            )
        return self._targets[key]

    def _reset_asked(self, target: str, since: float) -> bool:
        return self._file is not None and self._file.reset_asked(target, since)

    def _changed(self, target: Target, before: State) -> None:
        now, reason = target.breaker.state, target.breaker.reason
        log = structlog.get_logger(__name__)
        if now == "open" and before == "closed":
            log.warning("breaker_opened", target=target.key, reason=reason)
            self._publish(BreakerOpened(kind=target.kind, name=target.name, reason=reason))
        elif now == "closed":
            log.info("breaker_closed", target=target.key)
            self._publish(BreakerClosed(kind=target.kind, name=target.name))
        if self._file:
            self._file.write(self.status())
