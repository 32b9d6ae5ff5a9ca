"""The service, looked at while it works: whose code has the CPU.

Run by `bench.profiled` with the Python of a checkout, with a file for the result
and what to count by before the words of `waystation`. SIGUSR1 begins the sampling, SIGUSR2 ends it
and writes the file: CPU seconds of the main thread by package, and those of all
other threads.

A timer of CPU time interrupts the main thread; what it has used since the last
time goes to where it stands. Code of the standard library counts for who called
it, but for asyncio, which is the event loop's.
"""

from __future__ import annotations

import json
import signal
import sys
import sysconfig
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

EVERY_SECONDS = 0.002
LOOP = "event loop"
THREADS = "other threads"

_STANDARD = sysconfig.get_path("stdlib")
_INSTALLED = f"{sysconfig.get_path('purelib')}/"
_LOOPS = (f"{_STANDARD}/asyncio/", f"{_STANDARD}/selectors.py")


def owner(file: str, root: str) -> str | None:
    """Whose code a file is: a library, a room of ours, the loop; None for the standard library."""
    if file.startswith(_LOOPS):
        return LOOP
    if file.startswith(_INSTALLED):
        return file.removeprefix(_INSTALLED).split("/")[0].removesuffix(".py")
    if file.startswith(root):
        return "/".join(file.removeprefix(root).split("/")[:2]).removesuffix(".py")
    return None


class Sampler:
    """Counts CPU seconds by owner between two signals.

    Args:
        root: The folder of the checkout, with a slash.
        result: Where they are written.
        by: `owner`, or `function`: the innermost one that has an owner.
    """

    def __init__(self, root: str, result: Path, *, by: str = "owner") -> None:
        self._root = root
        self._by = by
        self._result = result
        self._found: defaultdict[str, float] = defaultdict(float)
        self._main = self._all = 0.0

    def install(self) -> None:
        """Wait for the signals."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._begin)
        signal.signal(signal.SIGUSR2, self._end)

    def _begin(self, _: int, __: FrameType | None) -> None:
        self._found.clear()
        self._main, self._all = time.thread_time(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        self._found[self._owner_of(frame)] += now - self._main
        self._main = time.thread_time()

    def _owner_of(self, frame: FrameType | None) -> str:
        while frame is not None:
            if found := owner(frame.f_code.co_filename, self._root):
                return found if self._by == "owner" else f"{found}: {frame.f_code.co_qualname}"
            frame = frame.f_back
        return "Python"

    def _end(self, _: int, __: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        everything = time.process_time() - self._all
        self._found[THREADS] = max(everything - sum(self._found.values()), 0.0)
        unfinished = self._result.with_suffix(".part")
        unfinished.write_text(json.dumps(self._found))
        unfinished.rename(self._result)


def main() -> None:
    """`FILE BY WORDS...`: the command `waystation WORDS...`, sampled."""
    from waystation.__main__ import main as waystation  # noqa: PLC0415 - of the checkout

    result, by, *words = sys.argv[1:]
    Sampler(f"{Path.cwd()}/", Path(result), by=by).install()
    sys.argv = ["waystation", *words]
    waystation()
