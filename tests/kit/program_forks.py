"""Forks programs of ours from a process that has their imports: `python -m tests.kit.program_forks FD`.

Over the socket FD comes what to run, and its process id goes back. What is forked is a child of whoever
started this process, with arguments, environment, umask and streams of its own, as if it had been started.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import json
import os
import platform
import runpy
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

from tests.kit.migrated_file import are_copied
from tests.kit.tool_forks import asking, is_tool

STREAMS = (0, 1, 2)
LARGEST = 1 << 20
READY = b"ready"
# What takes long to import and starts no thread. LanceDB starts some, but not what takes longest in it.
IMPORTS = (
    "server.serve",
    "server.cli.main",
    "server.cli.ask",
    "server.cli.sessions",
    "nodes.llm.adapters.openai",
    "nodes.rag.adapters.lance",
    "graph.checkpoints.postgres",
    "alembic.config",
    "lance_namespace",
    "nodes.mcp_tools.adapters.host",
    "numpy",
    # What a service loads when it starts.
    "waystation",
    "nodes.config.provider",
    "nodes.file_storage.provider",
    "nodes.llm.offline.model",
    "nodes.llm.provider",
    "nodes.mcp_tools.provider",
    "nodes.rag.provider",
    "aiosqlite",
    "anyio._backends._asyncio",
    "uvloop",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_OWN_PATH = os.environ.get("PYTHONPATH")
CLONE_PARENT = 0x8000
CLONE = {"x86_64": 56, "aarch64": 220}


class Wanted(TypedDict):
    """A program: `module` and its `words`; -1 is no umask and no process group of its own.

    `ignored` are the signals that its parent ignores now: what is started inherits them.
    `tools` is the address that forked tool servers are asked from, see `tests.kit.tool_forks`;
    `migrated` the folder of what new databases are copied from, see `tests.kit.migrated_file`.
    """

    module: str
    words: list[str]
    environ: dict[str, str]
    umask: int
    session: bool
    group: int
    ignored: list[int]
    tools: str
    migrated: str


def main(descriptor: int) -> None:
    """Until the other end is closed."""
    # Read when numpy is imported, which starts a thread for each further core.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in IMPORTS:
        importlib.import_module(name)
    _warm()
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"a forked process keeps only the thread that forks, of {threads}"
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as line:
        line.send(READY)
        wanted = _wanted_of_a_fork(line)
    if wanted:
        run(wanted)


def _warm() -> None:
    """Libraries keep the classes that they make for an application: half a second of its first one."""
    from server.app import create_app

    create_app()


def _wanted_of_a_fork(line: socket.socket) -> Wanted | None:
    """What a fork shall become, in the fork; None here, at the end."""
    while True:
        asked, streams, _, _ = socket.recv_fds(line, LARGEST, len(STREAMS))
        if not asked:
            return None
        pid = fork_beside()
        if pid == 0:
            for given, stream in zip(streams, STREAMS, strict=True):
                os.dup2(given, stream)
            os.closerange(len(STREAMS), line.fileno())
            os.closerange(line.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
            wanted: Wanted = json.loads(asked)
            return wanted
        for stream in streams:
            os.close(stream)
        line.send(str(pid).encode())


def fork_beside() -> int:
    """As `os.fork`, but the new process is its parent's sibling; -1 where the system knows no such thing.

    So whoever started this process waits for what is forked as for any child, and nobody between them.
    """
    python = ctypes.pythonapi
    clone = ctypes.PyDLL(None, use_errno=True).syscall
    clone.restype = ctypes.c_long
    python.PyOS_BeforeFork()
    pid: int = clone(CLONE[platform.machine()], CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return pid


def run(wanted: Wanted) -> None:
    """As `python -m` would."""
    if wanted["umask"] >= 0:
        os.umask(wanted["umask"])
    if wanted["session"]:
        os.setsid()
    if wanted["group"] >= 0:
        os.setpgid(0, wanted["group"])
    _handle_signals(wanted["ignored"])
    os.environ.clear()
    os.environ.update(wanted["environ"])
    time.tzset()
    if "PYTHONPATH" in os.environ and not _OWN_PATH:
        sys.path[1:1] = [os.path.abspath(part) for part in os.environ["PYTHONPATH"].split(os.pathsep)]
    _fork_tools(wanted["tools"])
    are_copied(Path(wanted["migrated"]))
    sys.argv = ["-m", *wanted["words"]]
    # What runs as __main__ is not there under its name.
    sys.modules.pop(wanted["module"], None)
    runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)


def _handle_signals(ignored: list[int]) -> None:
    """As an interpreter that starts finds and handles them."""
    own: dict[int, Any] = dict.fromkeys(_IGNORED_BY_PYTHON, signal.SIG_IGN)
    own[signal.SIGINT] = signal.default_int_handler
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        handler = signal.SIG_IGN if number in ignored else own.get(number, signal.SIG_DFL)
        if handler != signal.getsignal(number):
            signal.signal(number, handler)


def _fork_tools(address: str) -> None:
    start = asyncio.create_subprocess_exec

    async def started(*argv: Any, **options: Any) -> asyncio.subprocess.Process:
        return await start(*(asking(argv, address) if is_tool(argv) else argv), **options)

    asyncio.create_subprocess_exec = started


if __name__ == "__main__":
    main(int(sys.argv[1]))
