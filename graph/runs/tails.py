"""What runs tell, from the process that executes them to one that answers for them, while it is told.

Whoever reads a run that goes on elsewhere asks all processes for it; the one that has it sends what it tells,
by mail. Nothing depends on it: a reader without mail finds the events in the database, a little later.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from core.signals import Signals
from core.signals.mail import EVERYBODY, Mail, pages
from graph.runs.events import TEXTS, EventLog, LoggedEvent, topic_of
from graph.runs.record import Run

# What is told leaves together, so long behind the first of it; the first token, and the last event, at once.
TOGETHER_S = 0.02
# Wishes to follow a run that has not begun here, and may never.
MOST_WISHES = 10_000
# A reader that hears nothing looks into the database: soon first, and less and less often.
FIRST_LOOK_S = 0.5
LONGEST_LOOK_S = 5.0
# Runs that were handed over here and have not been read.
MOST_FRESH = 10_000


class Mirror(EventLog):
    """A run's log as its process sends it.

    Up to `sure` the database has everything that there is; the number from which the sender began.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.begun = False
        self.sure = 0
        self._pause = FIRST_LOOK_S
        self._before = 0

    def take(self, start: int, entries: Sequence[LoggedEvent]) -> bool:
        """Add what came; False where something before it is missing.

        Args:
            start: The number behind which the sender's log begins.
        """
        if not self.begun or start > self.last:
            self._restart(start)
        self._pause = FIRST_LOOK_S
        # What is sent again, since somebody else has asked for it, is here already.
        for entry in entries:
            if entry.seq == self.last + 1:
                self.publish(entry)
            elif entry.seq > self.last:
                return False
        # Long ago in the database, as far as a reader goes that is so much behind.
        self.stored(self._before)
        self._before = self.last
        return True

    def _restart(self, start: int) -> None:
        """Another attempt of the run begins."""
        self._entries.clear()
        self._size = 0
        self.begun = True
        self.sure = self.floor = self._last = self._stored = self._before = start
        self._wake()

    def keeps(self, after: int) -> bool:
        return self.begun and super().keeps(after)

    async def more(self, after: int) -> Sequence[LoggedEvent]:
        """As `EventLog.more`; empty also when nothing has come for a while."""
        try:
            async with asyncio.timeout(self.patience()):
                return await super().more(after)
        except TimeoutError:
            return ()

    def patience(self) -> float:
        """Seconds until the database is looked at, where nothing comes; more with each time."""
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_LOOK_S)
        return pause


class Mirrors:
    """The logs of runs that go on elsewhere and are read here. One per process; use with `receiving`."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._mail = signals.mail
        self._logs: dict[str, Mirror] = {}
        self._readers: Counter[str] = Counter()
        self._parts: dict[str, list[str]] = {}
        self._fresh: OrderedDict[str, None] = OrderedDict()

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Takes mail for as long as the block runs."""
        if self._mail is None:
            yield
            return
        self._mail.open(self._received, lost=self.give_up)
        try:
            yield
        finally:
            self._mail.close(self._received)

    def handed_over(self, run_id: str) -> None:
        """The run was stored a moment ago: its reader need not look for what is not there."""
        if self._mail is not None:
            self._fresh[run_id] = None
            if len(self._fresh) > MOST_FRESH:
                self._fresh.popitem(last=False)

    def is_fresh(self, run_id: str) -> bool:
        """Whether it was handed over here and has not been read; asked once."""
        return self._fresh.pop(run_id, self) is None

    def has_ended(self, run_id: str) -> None:
        """The run was seen to have ended: whoever reads it from now on waits for no mail."""
        self._fresh.pop(run_id, None)

    def get(self, run_id: str) -> Mirror | None:
        """The run's log, where it is followed here."""
        return self._logs.get(run_id)

    def follow(self, run_id: str) -> Mirror | None:
        """Have the run's log sent here, by whoever has it or will have it; None where there is no mail."""
        if self._mail is None:
            return None
        found = self._logs.get(run_id)
        if found is None or found.abandoned:
            found = self._logs[run_id] = Mirror(run_id)
        if not found.begun:
            self._mail.send(EVERYBODY, f"follow\n{run_id}\n{self._mail.address}")
        return found

    @contextmanager
    def reading(self, run_id: str) -> Iterator[None]:
        """Somebody reads its log here as it is sent; when nobody does any more, nothing is sent."""
        self._readers[run_id] += 1
        try:
            yield
        finally:
            self._readers[run_id] -= 1
            if not self._readers[run_id]:
                del self._readers[run_id]
                self._forget(run_id)

    def _forget(self, run_id: str) -> None:
        self._parts.pop(run_id, None)
        mirror = self._logs.pop(run_id, None)
        if self._mail is not None and mirror is not None and not mirror.closed:
            self._mail.send(EVERYBODY, f"leave\n{run_id}\n{self._mail.address}")

    def _received(self, text: str) -> None:
        kind, _, rest = text.partition("\n")
        if kind != "tail":
            return
        run_id, start, more, part = rest.split("\n", 3)
        mirror = self._logs.get(run_id)
        if mirror is None or mirror.abandoned:
            return
        parts = self._parts.setdefault(run_id, [])
        parts.append(part)
        if more == "1":
            return
        lines = "".join(self._parts.pop(run_id)).encode().split(b"\n")
        is_whole = mirror.take(int(start), [LoggedEvent.of_line(line) for line in lines if line])
        if not is_whole:
            self._abandon(run_id)
        self._signals.wake(topic_of(run_id))

    def give_up(self) -> None:
        """All readers go by the database."""
        for run_id in list(self._logs):
            self._abandon(run_id)

    def _abandon(self, run_id: str) -> None:
        """Its readers go by the database, and ask for it again."""
        self._parts.pop(run_id, None)
        self._logs[run_id].abandon()


class Tails:
    """Sends what runs of this process tell to those that follow them. One per process; use with `sending`."""

    def __init__(self, mail: Mail | None) -> None:
        self._mail = mail
        # Run id -> who follows it, and up to which number it was sent to them.
        self._wishes: OrderedDict[str, set[str]] = OrderedDict()
        self._going: dict[str, Run] = {}
        self._sent: dict[str, int] = {}
        self._texts: set[str] = set()
        self._behind: set[str] = set()
        self._timer: asyncio.Handle | None = None
        self._hurried = False

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Takes wishes for as long as the block runs."""
        if self._mail is None:
            yield
            return
        self._mail.open(self._received)
        try:
            yield
        finally:
            self._mail.close(self._received)
            if self._timer is not None:
                self._timer.cancel()

    def begin(self, run: Run) -> bool:
        """The run goes on here from now on; whether somebody follows it, who knows by what it tells first."""
        if self._mail is None:
            return False
        self._going[run.id] = run
        self._sent[run.id] = run.log.floor
        return self.is_followed(run.id)

    def is_followed(self, run_id: str) -> bool:
        """Whether somebody has what the run tells by mail; whoever reads it elsewhere has asked for that."""
        return run_id in self._wishes

    def stored(self, run_id: str, signals: Signals) -> Callable[[str], None]:
        """The database has what the run told: how to tell of that."""
        self.news(run_id)
        # Readers elsewhere that have it by mail need no signal, which costs each of them and the database
        # as much as a step of the turn.
        return signals.wake if self.is_followed(run_id) else signals.send

    def news(self, run_id: str) -> None:
        """The run has told something, or may tell more than before; never waits."""
        if run_id not in self._wishes or (run := self._going.get(run_id)) is None:
            return
        self._behind.add(run_id)
        is_text = run.log.last_kind in TEXTS
        self._flush_soon(hurried=is_text and run_id not in self._texts)
        (self._texts.add if is_text else self._texts.discard)(run_id)

    def end(self, run: Run) -> None:
        """The attempt is over: send what is left, and forget it."""
        if self._going.get(run.id) is not run:
            return
        if run.id in self._wishes and not run.log.abandoned:
            self._send_news(run)
        del self._going[run.id], self._sent[run.id]
        self._texts.discard(run.id)
        if run.log.closed:
            self._wishes.pop(run.id, None)

    def _received(self, text: str) -> None:
        kind, _, rest = text.partition("\n")
        run_id, _, address = rest.partition("\n")
        if kind == "follow":
            self._follow(run_id, address)
        elif kind == "leave" and run_id in self._wishes:
            self._wishes[run_id].discard(address)
            if not self._wishes[run_id]:
                del self._wishes[run_id]

    def _follow(self, run_id: str, address: str) -> None:
        self._wishes.setdefault(run_id, set()).add(address)
        if len(self._wishes) > MOST_WISHES:
            self._wishes.popitem(last=False)
        if run := self._going.get(run_id):
            sent = [entry for entry in self._unsent(run, run.log.floor) if entry.seq <= self._sent[run_id]]
            self._send(run, address, sent)
            self.news(run_id)

    def _flush_soon(self, *, hurried: bool) -> None:
        if self._timer is not None and (self._hurried or not hurried):
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._hurried = hurried
        self._timer = loop.call_soon(self._flush) if hurried else loop.call_later(TOGETHER_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        behind, self._behind = self._behind, set()
        for run_id in behind:
            if run := self._going.get(run_id):
                self._send_news(run)

    def _send_news(self, run: Run) -> None:
        if not (found := self._unsent(run, self._sent[run.id])):
            return
        self._sent[run.id] = found[-1].seq
        for address in self._wishes.get(run.id, ()):
            self._send(run, address, found)

    def _unsent(self, run: Run, place: int) -> list[LoggedEvent]:
        found: list[LoggedEvent] = []
        while page := run.log.ahead(place):
            found += page
            place = page[-1].seq
        return found

    def _send(self, run: Run, address: str, found: Sequence[LoggedEvent]) -> None:
        assert self._mail is not None  # noqa: S101 - nobody follows without mail
        text = b"\n".join(entry.line for entry in found).decode()
        parts = list(pages(text))
        start = run.log.floor
        for place, part in enumerate(parts, start=1):
            more = int(place < len(parts))
            self._mail.send(address, f"tail\n{run.id}\n{start}\n{more}\n{part}")
