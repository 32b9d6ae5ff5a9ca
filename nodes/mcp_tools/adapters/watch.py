"""Child processes that do not outlive us, also where we are killed and can end nothing ourselves."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_WARDEN = Path(__file__).with_name("warden.py")


class Watch:
    """Keeps one `warden` at work for as long as there is something to watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # loops of several threads may start servers
        self._groups: set[int] = set()
        self._warden: subprocess.Popen[bytes] | None = None

    @contextmanager
    def over(self, group: int) -> Iterator[None]:
        """Within the block: when this process dies, the process group is ended some seconds later.

        Raises:
            OSError: The warden cannot be started.
        """
        with self._lock:
            self._begin(group)
        try:
            yield
        finally:
            with self._lock:
                self._end(group)

    def _begin(self, group: int) -> None:
        if not self._tell("+", [group]):
            self._dismiss()
            self._warden = _started()
            self._tell("+", [*self._groups, group])
        self._groups.add(group)

    def _end(self, group: int) -> None:
        self._groups.discard(group)
        self._tell("-", [group])
        if not self._groups:
            self._dismiss()

    def _tell(self, sign: str, groups: Iterable[int]) -> bool:
        """False when there is no warden, or somebody has killed it."""
        if self._warden is None or self._warden.stdin is None:
            return False
        try:
            self._warden.stdin.write("".join(f"{sign}{group}\n" for group in groups).encode())
        except OSError:
            return False
        return True

    def _dismiss(self) -> None:
        warden, self._warden = self._warden, None
        if warden is not None:
            # It has nothing left to end, and is gone in no time.
            warden.communicate()


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-I", "-S", str(_WARDEN)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd="/",
        # What is sent to our group, such as Ctrl-C, is not for it.
        start_new_session=True,
    )


WATCH = Watch()
"""Of this process."""
