"""Forks tool servers from a process that has the SDK imported: a script of two sides, no import of ours.

`serve SOCKET` imports the SDK and forks; `ask SOCKET SCRIPT ...` is what is started instead of the
script: it hands its pipes, folder and environment to a fork, which runs the script as the interpreter would.
The one that asked lives as long as its fork, and the fork no longer than it.
"""

from __future__ import annotations

import marshal
import os
import socket
import sys
from typing import Any, NoReturn

STREAMS = (0, 1, 2)
_LARGEST = 1 << 20


def is_tool(argv: tuple[Any, ...]) -> bool:
    """True for the script of a plugin, started by this interpreter."""
    return bool(argv[0] == sys.executable and os.path.basename(argv[1]) == "server.py")


def asking(argv: tuple[Any, ...], address: str) -> tuple[Any, ...]:
    """The command that asks for a fork instead of running `argv`."""
    return (sys.executable, "-I", "-S", __file__, "ask", address, *argv[1:])


def ask(address: str, argv: list[str]) -> None:
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked.connect(address)
    wanted = marshal.dumps((argv, dict(os.environ), os.getcwd()))
    socket.send_fds(asked, [wanted], STREAMS)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in STREAMS:  # only the fork holds the pipes
        os.dup2(nothing, stream)
    sys.exit((asked.recv(1) or b"\1")[0])


def serve(address: str) -> None:
    """Until standard input ends."""
    import gc
    import select

    import anyio._backends._asyncio  # noqa: F401 - what a server would import, done once
    import mcp.server.fastmcp
    import mcp.server.stdio  # noqa: F401 - likewise

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        asked, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _become(asked)
        asked.close()
        _reap()


def _become(asked: socket.socket) -> NoReturn:
    import contextlib
    import runpy
    import threading

    code = 1
    try:
        os.setsid()
        wanted, streams, _, _ = socket.recv_fds(asked, _LARGEST, len(STREAMS))
        sys.argv, environ, folder = marshal.loads(wanted)  # noqa: S302 - what `ask` wrote
        for given, stream in zip(streams, STREAMS, strict=True):
            os.dup2(given, stream)
            os.close(given)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        sys.path[0] = os.path.dirname(sys.argv[0])
        threading.Thread(target=_die_with, args=(asked,), daemon=True).start()
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            asked.send(bytes([code % 256]))
        os._exit(code)


def _die_with(asked: socket.socket) -> None:
    asked.recv(1)
    os._exit(1)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        ask(sys.argv[2], sys.argv[3:])
