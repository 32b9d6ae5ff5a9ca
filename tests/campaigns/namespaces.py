"""Hosts in network namespaces: a bridge in one of them, and a line from it to each of the others.

The bridge's namespace is the network itself, with the first address; nothing leads out of it. Its names carry
the process that made them: what one left behind that was killed is taken away by the next.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "waystation-"
NETWORK = "10.214.77"
HUB = f"{NETWORK}.1"
PROGRAMS = ("ip", "unshare", "nginx")
_CLONE_NEWNET = 0x40000000


def missing() -> str:
    """What is not here to make hosts with; "" when all is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


class Network:
    """Namespaces of these names, each with an address of its own."""

    def __init__(self, names: Sequence[str]) -> None:
        self.hub = _named("hub")
        self._names = {name: _named(name) for name in names}
        self._numbers = {name: number for number, name in enumerate(names, start=1)}

    def address(self, name: str) -> str:
        return f"{NETWORK}.{10 + self._numbers[name]}"

    def around(self, name: str) -> list[str]:
        """The command that runs another one on a host, under a name of its own."""
        script = f'hostname {name} && exec "$@"'
        return ["ip", "netns", "exec", self._names[name], "unshare", "--uts", "sh", "-c", script, name]

    def processes(self, name: str) -> list[int]:
        """What runs on a host."""
        return _processes(self._names[name])

    def cut(self, name: str) -> None:
        """Take its line down: what is sent to it vanishes."""
        _ip("-n", self.hub, "link", "set", self._line(name), "down")

    def mend(self, name: str) -> None:
        _ip("-n", self.hub, "link", "set", self._line(name), "up")

    def _line(self, name: str) -> str:
        return f"line{self._numbers[name]}"

    def make(self) -> None:
        for each in (self.hub, *self._names.values()):
            _ip("netns", "add", each)
            _ip("-n", each, "link", "set", "lo", "up")
        _ip("-n", self.hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self.hub, "addr", "add", f"{HUB}/24", "dev", "bridge")
        _ip("-n", self.hub, "link", "set", "bridge", "up")
        for name, space in self._names.items():
            line = self._line(name)
            _ip("-n", self.hub, "link", "add", line, "type", "veth", "peer", "name", "line", "netns", space)
            _ip("-n", self.hub, "link", "set", line, "master", "bridge", "up")
            _ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "line")
            _ip("-n", space, "link", "set", "line", "up")


@contextmanager
def opened(names: Sequence[str]) -> Iterator[Network]:
    """The network; this process, and what it starts from now on, is at its hub. Taken away at the end."""
    _sweep()
    network = Network(names)
    with Path("/proc/self/ns/net").open("rb") as outside:
        try:
            network.make()
            with Path(f"/run/netns/{network.hub}").open("rb") as hub:
                _enter(hub.fileno())
            yield network
        finally:
            _enter(outside.fileno())
            _take_away([name for name in _all() if name.startswith(_named(""))])


def _named(name: str) -> str:
    return f"{PREFIX}{os.getpid()}-{name}"


def _sweep() -> None:
    """Take away what killed campaigns left."""
    for name in _all():
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            _take_away([name])


def _all() -> list[str]:
    folder = Path("/run/netns")
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _take_away(names: Sequence[str]) -> None:
    for name in names:
        for pid in _processes(name):
            if pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        _ip("netns", "del", name)


def _processes(space: str) -> list[int]:
    return [int(pid) for pid in _ip("netns", "pids", space).split()]


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


def _enter(space: int) -> None:
    """Python knows it from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(space, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
