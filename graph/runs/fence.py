"""Who may write to a thread: whoever took it last, and nobody that took it before.

A thread's `fence` grows each time the thread is taken. Whoever holds it works
inside of `fenced`; checkpoints, events, receipts and endings are written only
where the number is still the thread's, in the transaction that writes them. So
a holder that was believed dead and goes on after all changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from graph.errors import LeaseLost


@dataclass(frozen=True, slots=True)
class Hold:
    """A thread that this task has taken. `run_id` is that of the run it works for."""

    thread_id: str
    run_id: str
    fence: int


_hold: ContextVar[Hold | None] = ContextVar("waystation_hold", default=None)


def holding() -> Hold | None:
    """What this task has taken, if anything."""
    return _hold.get()


def hold_on(thread_id: str) -> Hold:
    """What this task has taken, when it is this thread.

    Raises:
        LeaseLost: It has not taken the thread.
    """
    hold = _hold.get()
    if hold is None or hold.thread_id != thread_id:
        raise LeaseLost(
            f"thread '{thread_id}' is not held by whoever wants to write to it; in Python"
            f" `async with agent.holding('{thread_id}') as config:` holds it for the block"
        )
    return hold


@contextmanager
def fenced(thread_id: str, number: int, *, run_id: str = "") -> Iterator[Hold]:
    """The block, and tasks made in it, write to the thread as the holder with this fencing number."""
    hold = Hold(thread_id, run_id, number)
    token = _hold.set(hold)
    try:
        yield hold
    finally:
        _hold.reset(token)
