"""Places in a service where it dies: the process that has them set kills itself there with signal 9.

The product knows nothing of this. `set_traps` wraps methods of it in a process
of a campaign; a file says which trap is armed now, so that whoever drives the
campaign can look at a thread in peace before the next kill.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

NAMED = (
    "before the message is stored",
    "message stored, not acknowledged",
    "before the input checkpoint",
    "after the input checkpoint",
    "in the model stream",
    "before the tool-call checkpoint",
    "after the tool-call checkpoint",
    "call noted, not made",
    "in tool 1 of 2",
    "after the tool's write",
    "tool done, not stored",
    "receipt handed over, answer not",
    "before the last checkpoint",
    "after the last checkpoint, before the reply",
    "ending stored, before the reply",
    "during a drain",
    "before a group is committed",
    "within a group",
    "group committed, nobody told",
)
# Passed so often that the first time is hardly ever in a turn.
OFTEN = frozenset(
    {"in the model stream", "before a group is committed", "within a group", "group committed, nobody told"}
)
# A death there leaves a turn to be settled.
IN_A_TURN = (
    "in the model stream",
    "after the tool-call checkpoint",
    "in tool 1 of 2",
    "tool done, not stored",
)
# Reached only while a thread is made whole after such a death.
AT_REPAIR = "while a thread is settled"
# A trap that kills nobody: from it on, checkpoints are as late as they ever get.
LATE = "a tool at work before its call is stored"


class Trap:
    """The trap that is armed in a file, and the ways to step into it."""

    def __init__(self, armed: Path) -> None:
        self._armed = armed
        self._passed = 0

    def at(self, place: str) -> None:
        """Die here, when this is the armed place and was passed as often as it says."""
        found = armed_in(self._armed)
        if found is None or found["place"] != place:
            return
        if self._passed >= found["after"]:
            os.kill(os.getpid(), signal.SIGKILL)
        self._passed += 1

    def is_armed(self, place: str) -> bool:
        found = armed_in(self._armed)
        return found is not None and found["place"] == place


def armed_in(path: Path) -> dict[str, Any] | None:
    """What the file arms, if anything."""
    with suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    return None


def arm(path: Path, place: str, *, after: int = 0) -> None:
    """Arm a trap: the process dies when it comes there for the time `after` + 1."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"place": place, "after": after}))
    draft.replace(path)


def around(
    owner: type,
    name: str,
    *,
    before: Callable[..., Any] | None = None,
    after: Callable[..., Any] | None = None,
) -> None:
    """Call `before` and `after` with the arguments of an asynchronous method whenever it runs."""
    inner: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @wraps(inner)
    async def outer(*args: Any, **kwargs: Any) -> Any:
        if before:
            late = before(*args, **kwargs)
            if late is not None:
                await late
        result = await inner(*args, **kwargs)
        if after:
            after(*args, **kwargs)
        return result

    setattr(owner, name, outer)
