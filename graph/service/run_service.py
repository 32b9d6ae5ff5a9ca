"""Runs of this process, and a door to those of every other: begin, follow, wait, cancel, go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from core.access import Principal
from core.database.outage import DatabaseUnavailable, Endurance
from core.errors import WaystationError
from core.settings.book import Editions
from core.signals import Signals
from graph.errors import Draining, RunEnded, RunNotFound, ThreadBusy
from graph.runs.claims import Claims
from graph.runs.events import topic_of, topic_of_thread
from graph.runs.lease import BEAT_SECONDS
from graph.runs.ledger import AT_MOST_ATTEMPTS, RunLedger
from graph.runs.lookup import LiveRuns, RunLookup
from graph.runs.record import Policy, Run, RunRecord
from graph.runs.rows import Claim, NewRun, delivery_of
from graph.runs.streams import LOOK_AGAIN_SECONDS, Follower, Handle
from graph.runs.tails import Tails
from graph.service.stops import STOP_SECONDS, STOPS, Stops, give_up, tried
from graph.service.waiting import sent_after, until_over
from graph.turn.driver import TurnDriver

log = structlog.get_logger()

QUEUE = "runs"
# What begins later than in so many seconds is found by the supervisor's rounds alone.
AWAITED_S = 60.0
# How long a run may take to its next checkpoint at a shutdown, behind the time that it had to end by itself.
DRAIN_GRACE_SECONDS = 1.0
# How long a run that its reader has left is tried to be cancelled while the database is away.
LEFT_S = 60.0


class RunService:
    """One per process; use with `running`. Rights: whatever takes a principal asks for its own runs only.

    `get`, `list`, `count`, `going_of`, `of_conversation` and `interrupted_on` are those of `RunLookup`,
    `follow` is `Follower.read`.

    Args:
        tails: Sends what runs tell to processes that answer for them.
        deliver: Called with each webhook delivery that the end of a run has left in the database.
    """

    def __init__(  # noqa: PLR0917 - the container gives them by type
        self,
        ledger: RunLedger,
        claims: Claims,
        lookup: RunLookup,
        live: LiveRuns,
        driver: TurnDriver,
        follower: Follower,
        signals: Signals,
        editions: Editions,
        *,
        tails: Tails | None = None,
        deliver: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:
        self._ledger = ledger
        self._claims = claims
        self._lookup = lookup
        self.live = live
        self._driver = driver
        self.follower = follower
        self._signals = signals
        self._editions = editions
        self._stops = Stops(live, lookup, signals)
        self._tails = tails
        self._deliver = deliver
        self.get, self.list, self.interrupted_on = lookup.get, lookup.list, lookup.interrupted_on
        self.of_conversation, self.count = lookup.of_conversation, lookup.count
        self.going_of = lookup.going_of
        self.follow, self.draining = follower.read, False
        # What waits was not taken up, for want of room.
        self.is_full = False
        # Runs that wait for a worker or go on there, with whose they are; looked at when it matters.
        self.handed_over: dict[str, str] = {}
        # Queued runs that somebody in this process waits for, with their threads.
        self._awaited: dict[str, str] = {}
        self._failures: dict[str, WaystationError] = {}
        self._chores: set[asyncio.Task[Any]] = set()

    # -- for callers ------------------------------------------------------------------------------

    async def open(self, new: NewRun) -> Handle:
        """Begin a run, or let it wait for its thread.

        Raises:
            WaystationError: What `RunLedger.open` raises; nothing was stored.
        """
        return await self._begun(self._open(new))

    async def _open(self, new: NewRun) -> Handle:
        try:
            claim = await self._ledger.open(new)
        except ThreadBusy:
            if self._ledger.supervised or not await self._finish_left_over(new.thread_id):
                raise
            claim = await self._ledger.open(new)
        if claim.asked_to_stop:
            self._signals.send(STOPS)
        if claim.delivery:
            self._chore(tried(self._deliver(claim.delivery)))
        far = self._ledger.supervised and new.request.delay > AWAITED_S
        if self._ledger.hands_over:
            self._hand_over(claim)
        elif claim.hold is None and not claim.repeated and not far:
            self._awaited[claim.record.id] = claim.record.thread_id
            self._signals.send(QUEUE)
        if new.request.delay and not far:
            self._chore(sent_after(new.request.delay, self._signals, QUEUE))
        self._launch(claim)
        return Handle(self, claim.record, mine=not claim.repeated)

    def _hand_over(self, claim: Claim) -> None:
        """Tell workers that there is something to do."""
        if claim.repeated:
            return
        self.handed_over[claim.record.id] = claim.record.request.principal.id
        self.follower.mirrors.handed_over(claim.record.id)
        self._signals.send(QUEUE)

    async def refresh(self) -> None:
        """Forget of what was handed over the runs that are over."""
        active = await self._lookup.active_of(self.handed_over)
        for run_id in self.handed_over.keys() - active:
            self.handed_over.pop(run_id, None)

    async def _finish_left_over(self, thread_id: str) -> bool:
        """Execute runs that wait for a free thread; where no service looks after them, nobody else would."""
        found = False
        while (claim := await self._claims.next_of(thread_id)) is not None:
            found = True
            self._launch(claim)
            await self.settled(claim.record.id)
        return found

    async def reopen(
        self,
        principal: Principal,
        run_id: str,
        answers: dict[str, Any] | None,
        *,
        policy: Policy | None = None,
        seen: int | None = None,
    ) -> Handle:
        """Go on with an interrupted run. Takes and raises what `RunLedger.reopen` does."""

        async def reopened() -> Handle:
            claim = await self._ledger.reopen(principal, run_id, answers, policy=policy, seen=seen)
            if not self._launch(claim):
                self._hand_over(claim)
            return Handle(self, claim.record, mine=True, since=claim.floor)

        return await self._begun(reopened())

    async def _begun(self, beginning: Coroutine[Any, Any, Handle]) -> Handle:
        """The handle. A caller that goes away meanwhile leaves a run behind, and so leaves it."""
        task = asyncio.create_task(beginning)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.exception():
                task.result().leave()
            raise

    async def handle(self, principal: Principal, run_id: str) -> Handle:
        """The run, to be followed. Raises RunNotFound."""
        return Handle(self, await self.live.known(self._lookup, principal, run_id), mine=False)

    async def events(
        self, principal: Principal, run_id: str, after: int = 0
    ) -> AsyncIterator[dict[str, Any]]:
        """The run's events above number `after`. Raises RunNotFound."""
        handle = await self.handle(principal, run_id)
        async for event in handle.events(after):
            yield event

    async def wait(self, principal: Principal, run_id: str, *, timeout: float) -> RunRecord:
        """The run when it has ended or waits for a person, or as it is after `timeout` seconds.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
        """
        await self.live.known(self._lookup, principal, run_id)
        return await self.settled(run_id, timeout=timeout)

    async def gone_on(self, principal: Principal, run_id: str, *, seen: int) -> Handle:
        """The run of this caller, once it goes on behind attempt number `seen`, which waits for a person.

        Wherever the answer comes in, and also where the run is ended instead.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            Draining: The service stops; the question stays.
        """
        with self._signals.listen(topic_of(run_id)) as ear:
            while True:
                record = await self.get(principal, run_id)
                if record.attempts > seen or record.status != "interrupted":
                    return Handle(self, record, mine=True)
                if self.follower.closing:
                    raise Draining(f"the service stops; run '{run_id}' still waits for its answer")
                await ear.heard(LOOK_AGAIN_SECONDS)

    async def cancel(self, principal: Principal, run_id: str) -> RunRecord:
        """End the run, wherever it goes on, and give it as it is then; the end may still be on its way.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            RunEnded: It is over.
        """
        record = await self._ledger.ask_to_stop(principal, run_id)
        if record.active:
            self._stops.at_once(run_id)
            self._signals.send(STOPS)
        else:
            if record.request.webhook:
                await self._deliver(delivery_of(record.id, record.attempts, record.status))
            self._signals.send(QUEUE)  # it may have been what its thread waited for
        self._signals.send(topic_of(run_id))
        return record

    # -- for handles ------------------------------------------------------------------------------

    def failure_of(self, run_id: str) -> WaystationError | None:
        """The error itself, with its cause, where the run failed in this process."""
        return self._failures.get(run_id)

    def abandon(self, record: RunRecord) -> None:
        """Nobody reads the run any more, and it shall not go on for nobody."""
        live = self.live.get(record.id)
        if live is not None:
            live.stop("cancel")
        elif not (self.draining and self._ledger.hands_over):
            # Where this process stops, the reader comes back to another one.
            self._chore(self._cancel_quietly(record))

    async def settled(self, run_id: str, *, timeout: float | None = None, hurried: bool = False) -> RunRecord:
        """The run when it is not active any more, or at the timeout, or when the service stops.

        Raises:
            DatabaseUnavailable: It is away, and the caller is `hurried`: the run may go on when it is back.
        """
        until = None if timeout is None else asyncio.get_running_loop().time() + timeout
        with self._signals.listen(topic_of(run_id)) as ear:
            while True:
                await until_over(self.live.get(run_id), until, hurried=hurried)
                record = await self._lookup.find(run_id)
                if record is None:
                    raise RunNotFound(run_id)
                if not record.active:
                    self.follower.mirrors.has_ended(run_id)
                    return record
                if self.follower.closing or self._is_stuck(run_id):
                    return record
                left = LOOK_AGAIN_SECONDS if until is None else until - asyncio.get_running_loop().time()
                if left <= 0:
                    return record
                await ear.heard(min(left, LOOK_AGAIN_SECONDS))

    def _is_stuck(self, run_id: str) -> bool:
        """True when its end could not be stored, and nobody has taken it up since."""
        return run_id in self._failures and run_id not in self.live

    # -- for whoever looks after runs ---------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listens for wishes of other processes for as long as the block runs."""
        tasks = [asyncio.create_task(self._stops.obeyed()), asyncio.create_task(self._queue())]
        try:
            yield
        finally:
            for task in [*tasks, *self._chores]:
                task.cancel()
            await asyncio.gather(*tasks, *self._chores, return_exceptions=True)

    async def go_on_with(self, thread_id: str) -> bool:
        """Begin the first run that waits for the thread; False when there is none or it cannot."""
        if self.draining:
            return False
        claim = await self._claims.next_of(thread_id, only=None if self._ledger.supervised else self._awaited)
        return claim is not None and self._launch(claim)

    def go_on(self, claims: Sequence[Claim]) -> None:
        """Execute runs that were taken for this process."""
        _ = [self._launch(claim) for claim in claims]

    async def adopt(self, thread_id: str) -> bool:
        """Take over the run of a thread whose process is gone: go on with it or end it, by its policy."""
        if self.draining:
            return False
        claim = await self._claims.orphan_of(thread_id)
        if claim is None:
            return False
        record = claim.record
        log.info("orphan_adopted", run_id=record.id, policy=record.policy, attempt=record.attempts)
        return self._launch(claim, only_end=record.policy == "end" or record.tries > AT_MOST_ATTEMPTS)

    async def drain(self, *, seconds: float) -> None:
        """Begin nothing new; let what runs end, and stop it at a checkpoint after `seconds`."""
        self.draining = self.follower.draining = True
        clock = asyncio.get_running_loop().time
        until = clock() + seconds + 2 * DRAIN_GRACE_SECONDS
        tasks = [run.task for run in self.live.values() if run.task]
        if tasks and seconds:
            await asyncio.wait(tasks, timeout=seconds)
        for run in list(self.live.values()):
            run.stop("drain", grace_s=DRAIN_GRACE_SECONDS if seconds else 0)
        self._driver.close()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            give_up(self.live, self._ledger, stuck)
        if seconds:  # readers of runs that drain in other processes
            await self.follower.left(seconds=until - clock())
        # What is read now goes on elsewhere, or later: its readers come back with their last number.
        self.follower.close()
        self._signals.wake_all()

    # -- inside -----------------------------------------------------------------------------------

    def _launch(self, claim: Claim, *, only_end: bool = False) -> bool:
        """Execute the run, whose thread was taken for it; False where it waits or goes on elsewhere."""
        if claim.hold is None:
            return False
        run = Run(claim.record, claim.hold, floor=claim.floor)
        run.only_end = only_end
        self._awaited.pop(run.id, None)
        self.live[run.id] = run
        is_followed = self._tails is not None and self._tails.begin(run)
        # In a context of its own: LangServe's callbacks must not follow the turn.
        run.task = self._editions.task(self._driver.drive(run), name=run.id)
        run.task.add_done_callback(lambda _: self._ended(run))
        if not is_followed:  # whoever follows it knows
            self._signals.send(topic_of(run.id))
        self._signals.send(topic_of_thread(run.thread_id))
        if self.draining:
            run.stop("drain")
        return True

    def _ended(self, run: Run) -> None:
        if self.live.get(run.id) is run:
            del self.live[run.id]
        if self._tails is not None:
            self._tails.end(run)
        if run.error is not None:
            self._failures[run.id] = run.error
            # Long enough for who waits for it here; the rest reads what is stored.
            asyncio.get_running_loop().call_later(60, self._failures.pop, run.id, None)
        if run.delivery:
            self._chore(tried(self._deliver(run.delivery)))
        if run.more_wait:
            self._chore(self._next(run.thread_id))
        if self.is_full:
            self.is_full = False
            self._signals.wake(QUEUE)
        self._signals.send(topic_of(run.id))

    async def _next(self, thread_id: str) -> None:
        try:
            # Where this process may not take all, the supervisor looks which it may.
            gone_on = self._lookup.tags is None and await self.go_on_with(thread_id)
        except DatabaseUnavailable:
            return  # the run stands in line, and is looked for again when the database is back
        if not gone_on:
            self._signals.send(QUEUE)

    def _chore(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _cancel_quietly(self, record: RunRecord) -> None:
        async def cancelled() -> None:
            now = await self.get(record.request.principal, record.id)
            if now.active:  # a question to a person stays, although nobody reads any more
                await self.cancel(record.request.principal, record.id)

        # A database that is away soon comes back: the run is not to go on for nobody then.
        with suppress(RunEnded, RunNotFound, DatabaseUnavailable):
            await Endurance(LEFT_S).through(cancelled)

    async def _queue(self) -> None:
        """Begin runs that somebody in this process waits for, when their threads are free."""
        with self._signals.listen(QUEUE) as ear:
            while True:
                await ear.heard(BEAT_SECONDS if self._awaited else None)
                for thread_id in set(self._awaited.values()):
                    await tried(self.go_on_with(thread_id))
