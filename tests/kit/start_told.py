"""Tells what a program finds when it is started: `python -m tests.kit.start_told WORDS`.

A line of JSON goes to standard output, when standard input has ended. The word `fail`, `wait` or a number
says how it is to end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any


def told() -> dict[str, Any]:
    """All that a started process can tell itself from another by, but its own number."""
    umask = os.umask(0)
    return {
        "argv": sys.argv,
        "name": __name__,
        "main": sys.modules["__main__"].__dict__["told"] is told,
        "path": sys.path,
        "folder": os.getcwd(),
        "environ": dict(os.environ),
        "input": sys.stdin.read(),
        "streams": [[s.encoding, s.errors, s.line_buffering] for s in (sys.stdin, sys.stdout, sys.stderr)],
        "umask": umask,
        "parent": os.getppid(),
        "leads session": os.getsid(0) == os.getpid(),
        "leads group": os.getpgid(0) == os.getpid(),
        "open": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
        "handlers": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "threads": [thread.name for thread in threading.enumerate()],
        "native": len(os.listdir("/proc/self/task")),
        "here": [
            threading.get_native_id() == os.getpid(),
            threading.current_thread() is threading.main_thread(),
        ],
    }


if __name__ == "__main__":
    print(json.dumps(told()))
    print("beside", file=sys.stderr)
    match sys.argv[1:]:
        case ["fail"]:
            raise ValueError("as told")
        case ["wait"]:
            sys.stdout.flush()
            # Not `signal.pause`: what came just before it would be waited for for ever.
            while True:
                time.sleep(0.1)
        case [number]:
            sys.exit(int(number))
