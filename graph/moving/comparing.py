"""A target read again behind a copy: in a process of its own where there is much to read.

Reading a row back and hashing it takes about as long as copying it. In one process the two take turns at one
core.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Protocol

from core.errors import Unavailable
from graph.moving.end import End
from graph.moving.rows import Part, Tally, tallies

# From so many rows on the second that a process takes to begin is worth it.
APART_ROWS = 50_000
_END_S = 10.0
# So often one who waits for that process asks whether to wait on.
_LOOK_S = 0.25
_GONE = (
    "the process that compares has ended, for want of memory perhaps; the same command goes on where it was"
)
Opened = Callable[[], End]
Heed = Callable[[], None]


class Reader(Protocol):
    """Who reads the target again."""

    def portions(self, part: Part, heed: Heed) -> Generator[Tally, None, None]:
        """All rows of the part as they stand there now, a tally for every portion.

        Args:
            heed: Called in between and while nothing comes; what it raises ends the reading.
        """

    def close(self) -> None:
        """Let go of the database."""


def reader_of(target: End, rows: int) -> Reader:
    """A reader for so many rows."""
    apart = target.reads_beside and rows >= APART_ROWS
    return ProcessReader(target.opening()) if apart else LocalReader(target.again())


class LocalReader:
    """Reads in this process."""

    def __init__(self, end: End) -> None:
        self._end = end

    def portions(self, part: Part, heed: Heed = lambda: None) -> Generator[Tally, None, None]:
        with self._end.snapshot(), closing(self._end.compared(part)) as rows:
            for more in tallies(rows):
                heed()
                yield more

    def close(self) -> None:
        self._end.close()


class ProcessReader:
    """Reads in a process of its own. What goes wrong there is raised here.

    Args:
        opened: Opens the database; it is handed over, so it can be pickled.
    """

    def __init__(self, opened: Opened) -> None:
        # One that is forked would have locks that other threads held at that moment.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_read, args=(theirs, opened), daemon=True)
        with _no_interrupt():
            self._process.start()
        theirs.close()

    def portions(self, part: Part, heed: Heed = lambda: None) -> Generator[Tally, None, None]:
        try:
            self._pipe.send(part)
            while (said := self._said(heed)) is not None:
                if isinstance(said, Exception):
                    raise said
                yield said
        except (EOFError, ConnectionError):
            raise Unavailable(_GONE) from None

    def _said(self, heed: Heed) -> Tally | Exception | None:
        """The next word of that process; it may be frozen, or its server, and say none for ever."""
        while not self._pipe.poll(_LOOK_S):
            heed()
        heed()
        said: Tally | Exception | None = self._pipe.recv()
        return said

    def close(self) -> None:
        """Also in the middle of a part that nobody waits for any more; frozen, it hears nothing else."""
        self._process.kill()
        self._process.join(_END_S)
        self._pipe.close()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Ctrl-C goes to every process of a terminal. One that is begun here never hears it, from its first
    import on: its mask is the one of this thread. Who began it ends it.
    """
    resource_tracker.ensure_running()  # its start, which belongs to that of the process, would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _read(pipe: Connection, opened: Opened) -> None:
    """What that process does, until nobody listens."""
    with suppress(EOFError, ConnectionError):
        try:
            with closing(LocalReader(opened())) as here:
                while True:
                    _tell(pipe, here, pipe.recv())
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - raised again where somebody can act
            pipe.send(error)


def _tell(pipe: Connection, here: LocalReader, part: Part) -> None:
    with closing(here.portions(part)) as portions:
        for more in portions:
            pipe.send(more)
    pipe.send(None)
