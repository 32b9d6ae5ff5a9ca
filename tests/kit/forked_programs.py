"""Forks the programs of ours that tests start, `python -m waystation serve` say: imports are most of a start.

A test that is about the start itself asks for the fixture `started_anew`. So does, by itself, whatever a fork
could not be true to: another interpreter or folder, further open files, environment that imports read.
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.forked_tools import Forks
from tests.kit.migrated_file import Migrated
from tests.kit.program_forks import CLONE, READY, Wanted
from waystation.testing.service import ROOT

_PROGRAM = re.compile(
    r"waystation|server\.cli\.main|nodes\.\w+\.cli|waystation\.testing\.\w+|tests\.campaigns\.nursery"
    r"|tests\.kit\.(task_worker|start_told|dying)"
)
# Read when a program runs. Whatever else differs may have been read when its modules were imported.
# The last one is for OpenMP, and a search by meaning leaves it behind (threadpoolctl sets it).
_READ_LATE = re.compile(
    r"WAYSTATION_\w+|AWS_\w+|LANCEDB_LOG|OPENAI_(BASE_URL|API_KEY)|PYTEST_CURRENT_TEST|LANG(UAGE)?"
    r"|KMP_DUPLICATE_LIB_OK"
)
# No test has these of the machine's, see conftest.py.
_CLEARED = ("OPENAI_", "LANGCHAIN_", "LANGSMITH_")


class Start(NamedTuple):
    """What `subprocess` hands to the function that starts a process, by position."""

    args: Sequence[Any]
    executables: Sequence[bytes]
    close_fds: bool
    kept: Sequence[int]
    cwd: Any
    env: Sequence[bytes] | None
    stdin: int
    stdin_end: int
    stdout_end: int
    stdout: int
    stderr_end: int
    stderr: int
    fault_end: int
    fault: int
    restore_signals: bool
    session: bool
    group: int
    gid: Any
    gids: Any
    uid: Any
    umask: int
    before: Any
    vfork: bool = False

    @property
    def words(self) -> list[str]:
        return [os.fsdecode(word) for word in self.args]

    @property
    def environ(self) -> dict[str, str]:
        pairs = (os.fsdecode(pair).partition("=") for pair in self.env or ())
        return dict(os.environ) if self.env is None else {name: value for name, _, value in pairs}

    @property
    def is_plain(self) -> bool:
        """True where nothing is asked for that a fork would have to be made to have."""
        own = (self.before, self.gid, self.gids, self.uid)
        return self.close_fds and set(self.kept) == {self.fault} and all(part is None for part in own)

    @property
    def streams(self) -> list[int]:
        """Standard input, output and errors of the new process, as they are open here."""
        given = (self.stdin, self.stdout, self.stderr)
        return [own if found < 0 else found for own, found in enumerate(given)]


class Programs:
    """Called as what `subprocess` starts processes with, it asks for a fork; else `start` starts one."""

    def __init__(self, stack: ExitStack, start: Callable[..., int], tools: Forks, migrated: Migrated) -> None:
        self._stack = stack
        self._start = start
        self._tools = tools
        self._migrated = migrated
        self._turn = threading.Lock()
        self._line: socket.socket | None = None
        early = _read_early(os.environ).items()
        self._environ = {name: value for name, value in early if not name.startswith(_CLEARED)}

    def __call__(self, *given: Any) -> int:
        asked = Start(*given)
        if not self._forks(asked):
            return self._start(*given)
        _, _, module, *words = asked.words
        wanted: Wanted = {
            "module": module,
            "words": words,
            "environ": asked.environ,
            "umask": asked.umask if asked.umask >= 0 else _umask(),
            "session": asked.session,
            "group": asked.group,
            "ignored": _ignored(),
            "tools": self._tools.address,
            "migrated": str(self._migrated.folder),
        }
        with self._turn:
            self._line = self._line or self._opened()
            socket.send_fds(self._line, [json.dumps(wanted).encode()], asked.streams)
            return int(self._line.recv(32))

    def _forks(self, asked: Start) -> bool:
        words = asked.words
        if words[:2] != [sys.executable, "-m"] or not _PROGRAM.fullmatch(words[2]):
            return False
        here = Path(os.fsdecode(asked.cwd or ".")).resolve() == ROOT
        early = _read_early(asked.environ)
        if "PYTHONPATH" not in self._environ:
            early.pop("PYTHONPATH", None)  # a fork makes up for it
        return asked.is_plain and here and early == self._environ

    def _opened(self) -> socket.socket:
        """A process that has imported what programs import, at the other end."""
        line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.kit.program_forks", str(other.fileno())]
        with other:
            process = self._stack.enter_context(
                # Under its old name: this is called where the new one stands in its place.
                subprocess.Popen(command, cwd=ROOT, env=self._environ, pass_fds=[other.fileno()])
            )
        self._stack.enter_context(line)
        assert line.recv(len(READY)) == READY, f"it did not start: {process.poll()}"
        return line


def _read_early(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not _READ_LATE.fullmatch(name)}


def _ignored() -> list[int]:
    """Signals that are ignored here, now: an event loop that handled them may have changed them."""
    return [int(number) for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]


def _umask() -> int:
    # Asked for with `os.umask`, it would be another one for a moment, for all threads.
    told = re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert told
    return int(told[1], 8)


@pytest.fixture(scope="session", autouse=True)
def _programs_are_forked(tool_forks: Forks, migrated: Migrated) -> Iterator[None]:
    if sys.platform != "linux" or platform.machine() not in CLONE:
        yield
        return
    name = "_fork_exec"
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            subprocess,
            name,
            Programs(stack, getattr(subprocess, name), tool_forks, migrated),
        )
        yield


@contextmanager
def anew() -> Iterator[None]:
    """In the block, programs start as they do for everybody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.kit.forked_programs._PROGRAM", re.compile("none"))
        yield


@pytest.fixture
def started_anew() -> Iterator[None]:
    """In the test, programs start as they do for everybody."""
    with anew():
        yield
