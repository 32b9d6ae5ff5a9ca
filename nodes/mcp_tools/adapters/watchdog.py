"""Ends process groups whose owner has died: a script for a process of its own, started by `process`.

Its standard input tells which there are: `+PID` for one that has begun, `-PID`
for one that has ended, a line each. The end of the input is the end of the
owner, whatever it died of.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Set

GRACE_SECONDS = 1.5
_LOOK_AGAIN_SECONDS = 0.05


def left_groups(lines: Iterable[bytes]) -> set[int]:
    """The groups that are left when the input ends."""
    left: set[int] = set()
    for line in lines:
        pid = int(line[1:])
        if line.startswith(b"+"):
            left.add(pid)
        else:
            left.discard(pid)
    return left


def end_groups(groups: Set[int]) -> None:
    """Wait for their own end, then SIGTERM, then SIGKILL; their standard input is closed already."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until:
            # They are nobody's children any more: nothing tells of their end.
            if not any(_signal(group, 0) for group in groups):
                return
            time.sleep(_LOOK_AGAIN_SECONDS)
        for group in groups:
            _signal(group, number)


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    end_groups(left_groups(sys.stdin.buffer))
