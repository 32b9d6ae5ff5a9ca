"""The one writer of a process: what is handed over to it is committed in groups, in order, and fenced.

Whoever needs a promise calls `write` and gets the result when the commit that carries it is on disk. What
needs none of its own is handed over by `later`: it goes in front of the next promise of its holder, in the
same savepoint, or by itself a moment later. A group takes what came while the one before was committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from core.database.outage import PING_S, DatabaseUnavailable, answer_seconds, log_failure
from core.database.units import Fence, Unit, given_up

T = TypeVar("T")

log = structlog.get_logger(__name__)

# The largest group: who comes last in it waits for all of it.
AT_MOST = 50
# Of what begins something new, so much goes with a group. Where hundreds come at once, those under way would
# else stand behind all of them at each of their steps, and the first would be done no sooner than the last.
BEGUN_AT_ONCE = 8
# While the event loop is busy, others are about to hand something over too, and one commit carries all of it:
# they are waited for, for so long at most, until it has gone round a few times with next to nothing to do.
GATHER_S = 0.02
_QUIET_ROUNDS = 3
_QUIET_S = 0.0002
# What was handed over without a promise stands in the database this much later, where the line is short.
LATER_S = 0.05
# Where the line is long, each takes that along with its own next step; so often it is then put off.
_PUT_OFF = 20
# After a database that is locked or full for a moment.
AGAIN_S = 0.5
# The reason that the database gives comes a little after the patience of whoever asks.
_SLACK_S = 0.3
# A timer that comes so much later says that this process stood still: frozen, or without a processor.
_STALLED_S = 0.5


class Entry:
    """A unit in the line, with what was handed over before it; its outcome comes into `done`."""

    def __init__(self, unit: Unit, done: asyncio.Future[Any], earlier: list[Unit]) -> None:
        self.unit = unit
        self.done = done
        self.earlier = earlier
        self.is_promise = True
        # Whoever waited has been told that it is not stored: it is not begun any more.
        self.given_up = False

    @property
    def units(self) -> list[Unit]:
        """In the order in which they are written."""
        return [*self.earlier, self.unit]


class Line:
    """Entries that wait: those that hurry, those under way in the order of their coming, those that begin."""

    def __init__(self) -> None:
        self._hurrying: list[Entry] = []
        self._under_way: list[Entry] = []
        self._beginning: list[Entry] = []

    def __len__(self) -> int:
        return len(self._hurrying) + len(self._under_way) + len(self._beginning)

    @property
    def is_full(self) -> bool:
        """Whether a group would have no room for more of one kind or the other."""
        return len(self._beginning) >= BEGUN_AT_ONCE or len(self) >= AT_MOST

    def add(self, entry: Entry) -> None:
        if entry.unit.hurries:
            # What its holder has in the line stays before it.
            before = [each for each in self._under_way if _same_holder(each, entry)]
            self._under_way = [each for each in self._under_way if each not in before]
            self._hurrying += [*before, entry]
        else:
            (self._beginning if entry.unit.begins else self._under_way).append(entry)

    def group(self) -> list[Entry]:
        """The next group, which leaves the line. Some of those that begin are always in it."""
        few = self._beginning[:BEGUN_AT_ONCE]
        room = AT_MOST - len(few)
        first = self._hurrying[:room]
        many = self._under_way[: room - len(first)]
        del self._hurrying[: len(first)], self._under_way[: len(many)], self._beginning[: len(few)]
        return first + many + few

    def without(self, entry: Entry) -> bool:
        """Whether the entry stood here; it does not any more."""
        for entries in (self._hurrying, self._under_way, self._beginning):
            if entry in entries:
                entries.remove(entry)
                return True
        return False

    def next_of(self, fence: Fence) -> Entry | None:
        """The next entry of this holder."""
        going = self._hurrying + self._under_way
        return next((entry for entry in going if entry.unit.fence == fence), None)

    def left(self) -> list[Entry]:
        """All of them, which leave the line."""
        entries = self._hurrying + self._under_way + self._beginning
        self._hurrying, self._under_way, self._beginning = [], [], []
        return entries


def _same_holder(one: Entry, other: Entry) -> bool:
    return one.unit.fence is not None and one.unit.fence == other.unit.fence


class Group(Protocol):
    """A connection that commits a group. Called from one thread, which is not the event loop's.

    Args:
        connections: How many it has opened, one behind the other.
    """

    connections: int

    def commit(self, entries: Sequence[Entry]) -> list[Any]:
        """Write each entry whole or not at all; its result, or its error, in their order."""
        ...

    def close(self) -> None:
        """Give the connection back; the next commit opens one."""
        ...


class Writer:
    """Hands what comes to the database, a group at a time. One per process and database.

    It needs no opening, and may be used again after `aclose`.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._thread: ThreadPoolExecutor | None = None
        self._line = Line()
        self._later: dict[Fence, list[Unit]] = {}
        # Keys of what was handed over and is not known to be stored.
        self._open: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        # How often what was handed over has waited for a shorter line.
        self._put_off = 0
        self._task: asyncio.Task[None] | None = None
        # When the last group was committed, by the loop's clock.
        self._moved = 0.0

    @property
    def connections(self) -> int:
        """Of how many connections it has had; behind a fail-over, what was committed over one may be gone."""
        return self._group.connections

    async def write(self, unit: Unit, *, alone: bool = False) -> Any:
        """The unit's result, once it is committed; a cancelled caller waits for that too.

        Args:
            alone: What its holder handed over does not stand or fall with it.

        Raises:
            DatabaseUnavailable: It is not known to be stored within the patience of this task.
            Exception: What the unit raised, or its fence.
        """
        entry = self._enter(unit, alone=alone)
        try:
            return await self._done(entry)
        except asyncio.CancelledError:
            if not entry.done.done():
                await asyncio.wait([entry.done], timeout=answer_seconds() + _SLACK_S)
            raise

    async def _done(self, entry: Entry) -> Any:
        """The entry's outcome; a line that moves is no outage, however long it is."""
        patience, loop = answer_seconds() + _SLACK_S, asyncio.get_running_loop()
        came = loop.time()
        while True:
            until = max(came, self._moved) + patience
            try:
                async with asyncio.timeout_at(until):
                    return await asyncio.shield(entry.done)
            except TimeoutError:
                if entry.done.done():
                    return entry.done.result()  # what the unit came to, be it this very error
                late = loop.time() - until
                if late > _STALLED_S:
                    # A process that stood still has not waited: whoever writes for it stood still as well.
                    came = loop.time() - patience + PING_S
                elif max(came, self._moved) + patience <= loop.time():
                    raise self._given_up(entry) from None

    async def talk(
        self,
        work: Callable[[AsyncConnection], Coroutine[Any, Any, T]],
        *,
        fence: Fence | None = None,
        begins: bool = False,
        hurries: bool = False,
    ) -> T:
        """The result of `work` in a transaction; it waits for nothing but its connection."""
        result: T = await self.write(Unit(fence, work=work, begins=begins, hurries=hurries))
        return result

    def later(self, unit: Unit) -> None:
        """Hand over what needs no promise; never waits. It has a fence."""
        assert unit.fence is not None, "what is written later belongs to a holder"  # noqa: S101 - an invariant
        self._later.setdefault(unit.fence, []).append(unit)
        self._count(unit.fence.key, 1)
        self._flush_in(LATER_S)

    async def stored(self, key: str) -> None:
        """Returns when everything that was handed over for this key is stored, or refused.

        Raises:
            DatabaseUnavailable: It is away.
        """
        while self._open.get(key):
            fences = [fence for fence in self._later if fence.key == key]
            if not fences:
                await self._passed()
            for fence in fences:
                try:
                    await self.write(Unit(fence))
                except DatabaseUnavailable:
                    raise
                except Exception as error:  # noqa: BLE001 - whoever handed it over hears it, or nobody
                    log.info("handed_over_refused", reason=str(error))

    async def aclose(self) -> None:
        """Write what was handed over, then let go of connection and thread."""
        self._flush()
        while self._task is not None:
            await asyncio.wait([self._task])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._later:
            log.error("handed_over_not_stored", units=sum(map(len, self._later.values())))
            self._later.clear()
            self._open.clear()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._group.close)
            thread.shutdown()

    # -- inside -----------------------------------------------------------------------------------

    def _enter(self, unit: Unit, *, is_promise: bool = True, alone: bool = False) -> Entry:
        earlier = self._later.pop(unit.fence, []) if unit.fence is not None and not alone else []
        entry = Entry(unit, asyncio.get_running_loop().create_future(), earlier)
        entry.is_promise = is_promise
        # Whoever waited may have gone: nobody else asks for its error.
        entry.done.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)
        self._line.add(entry)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="database writer")
            self._task.add_done_callback(self._ended)
        return entry

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Where the event loop has ended it, perhaps before it began, nobody waits for the rest."""
        if task.cancelled():
            self._task = None if self._task is task else self._task
            self._all_told(self._line.left(), DatabaseUnavailable("is not waited for any more"))

    def _given_up(self, entry: Entry) -> DatabaseUnavailable:
        entry.given_up = True
        if self._line.without(entry):
            self._put_back(entry)
            return given_up()
        return DatabaseUnavailable("does not answer")

    async def _passed(self) -> None:
        """Returns when everything that is in the line, or on its way, has been tried."""
        await self.write(Unit())

    def _count(self, key: str, more: int) -> None:
        left = self._open.get(key, 0) + more
        if left > 0:
            self._open[key] = left
        else:
            self._open.pop(key, None)

    def _flush_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._flush_when_calm)

    def _flush_when_calm(self) -> None:
        self._timer = None
        if self._line.is_full and self._put_off < _PUT_OFF:
            self._put_off += 1
            self._flush_in(LATER_S)
        else:
            self._put_off = 0
            self._flush()

    def _flush(self) -> None:
        """Send what nobody took along."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for fence in list(self._later):
            self._enter(Unit(fence), is_promise=False)

    async def _run(self) -> None:
        try:
            while self._line:
                await self._gather()
                entries = self._line.group()
                try:
                    outcomes = await self._committed(entries)
                except asyncio.CancelledError:
                    # The event loop ends: it is not known what became of them, and nobody may wait for that.
                    self._all_told(entries, DatabaseUnavailable("is not waited for any more"))
                    raise
                if not all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes):
                    self._moved = asyncio.get_running_loop().time()
                for entry, outcome in zip(entries, outcomes, strict=True):
                    self._settle(entry, outcome)
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Let everybody in this process come who is about to, as long as nobody waits for anything else."""
        loop, quiet = asyncio.get_running_loop(), 0
        until = loop.time() + GATHER_S
        while quiet < _QUIET_ROUNDS and not self._line.is_full and (began := loop.time()) < until:
            came = len(self._line)
            await asyncio.sleep(0)
            is_quiet = len(self._line) == came and loop.time() - began < _QUIET_S
            quiet = quiet + 1 if is_quiet else 0

    async def _committed(self, entries: Sequence[Entry]) -> Sequence[Any]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="database writer")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._group.commit, entries)
        except Exception as error:  # noqa: BLE001 - each of the group is told
            return [error] * len(entries)

    def _all_told(self, entries: Sequence[Entry], error: DatabaseUnavailable) -> None:
        for entry in entries:
            self._settle(entry, error)

    def _settle(self, entry: Entry, outcome: Any) -> None:
        away = isinstance(outcome, DatabaseUnavailable)
        if away:
            self._put_back(entry)
        else:
            for unit in entry.earlier:
                assert unit.fence is not None  # noqa: S101 - an invariant
                self._count(unit.fence.key, -1)
        if not entry.is_promise and isinstance(outcome, Exception):
            _tell(entry.unit.fence, outcome)
        if isinstance(outcome, Exception):
            entry.done.set_exception(outcome)
        else:
            entry.done.set_result(outcome)

    def _put_back(self, entry: Entry) -> None:
        """What the entry took along stands in front of what its holder handed over since."""
        fence = entry.unit.fence
        if fence is None or not entry.earlier:
            return
        following = self._line.next_of(fence)
        if following is not None:
            following.earlier[:0] = entry.earlier
        else:
            self._later.setdefault(fence, [])[:0] = entry.earlier
            self._flush_in(AGAIN_S)


def _tell(fence: Fence | None, outcome: Exception) -> None:
    """Say of what nobody waits for that it was not stored."""
    if fence is not None and isinstance(outcome, type(fence.lost())):
        # Another holder goes on from what is there: nothing is missing, and nothing is wrong.
        log.info("handed_over_refused", reason=str(outcome))
    else:
        away = isinstance(outcome, DatabaseUnavailable)
        log_failure(log, "handed_over_not_stored_yet" if away else "handed_over_refused", outcome)
