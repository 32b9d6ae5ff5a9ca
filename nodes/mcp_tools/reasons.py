"""Why a server could not be opened, in words without paths or secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from core.errors import WaystationError
from nodes.mcp_tools.naming import safe
from nodes.mcp_tools.settings import ServerEntry

CLOSED = "the connection was closed"


def reason_of(error: BaseException, entry: ServerEntry, start_s: float) -> str:
    """One sentence part, for `last_error` and for people."""
    cause = root_of(error)
    command = PurePath(entry.command or "").name
    if isinstance(cause, WaystationError):
        return cause.detail
    if isinstance(cause, FileNotFoundError):
        return f"the command '{command}' or its folder was not found; install it, or write its full path"
    if isinstance(cause, PermissionError):
        return f"the command '{command}' may not be run"
    if isinstance(cause, TimeoutError):
        return not_started(start_s)
    name = type(cause).__name__
    if "Connect" in name:
        return "nothing answers at its url"
    return f"its session failed ({safe(name)})"


def not_started(seconds: float) -> str:
    return f"it did not start within {seconds:g} s; init_timeout_s in its entry gives it longer"


def root_of(error: BaseException) -> BaseException:
    """The error at the bottom of groups of them, ours before others: the rest follows from it."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, WaystationError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
