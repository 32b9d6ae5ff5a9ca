"""A host whose clock is wrong: a few lines of C that every program of the host loads.

Not libfaketime: with release 0.9.10 `time.sleep` of Python 3.11 fails, whose clock is not to be changed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

MISSING = "every clock was right: there is no C compiler (Debian: apt-get install gcc libc6-dev)"
# Seconds are counted by CLOCK_MONOTONIC, which is right on every machine.
_SOURCE = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += OFF;
    return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    now->tv_sec = told.tv_sec;
    now->tv_usec = told.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    if (now) *now = told.tv_sec;
    return told.tv_sec;
}
"""


def wrong_clock(folder: Path, seconds: int) -> dict[str, str]:
    """The environment of a program whose time of day is so many seconds off; empty without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(_SOURCE)
    words = [compiler, "-shared", "-fPIC", "-O2", f"-DOFF={seconds}", "-o", str(library), str(source)]
    subprocess.run(words, check=True, capture_output=True)
    return {"LD_PRELOAD": str(library)}
