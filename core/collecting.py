"""When Python's garbage collector looks: hardly while a process loads, and never again at what it loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# A process of ours has some 300,000 objects when all is loaded, and nearly all of them stay: with Python's
# own 700 the collector looks among them hundreds of times, and finds next to nothing.
_LOADING = 400_000
# Behind it: it would look eight times as often at what turns just now hold, for next to nothing.
_THRESHOLDS = (10_000, 10, 10)


def load() -> None:
    """To be called first in a process that will load much."""
    gc.set_threshold(_LOADING)


def settle() -> None:
    """To be called when what stays is loaded: it is not looked at again.

    The few thousand objects among it that nobody needs stay too, some hundred kilobytes. To find them takes
    as long as a tenth of all imports.
    """
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
    give_back()


def give_back() -> None:
    """Give the system the memory that the C library has of what is freed; not every one has a way to."""
    try:
        import ctypes  # noqa: PLC0415 - only where something is given back

        trim = ctypes.CDLL(None).malloc_trim
    except (
        ImportError,
        OSError,
        AttributeError,
        TypeError,
    ):  # the last: Windows has no library without a name
        return
    trim(0)


@contextmanager
def loading() -> Iterator[None]:
    """`load`, and in the end as before: for what may be called in a process of somebody else."""
    before = gc.get_threshold()
    load()
    try:
        yield
    finally:
        gc.set_threshold(*before)
