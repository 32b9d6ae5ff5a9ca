"""Why a server could not be opened, in words without paths or secrets."""

from __future__ import annotations

from pathlib import PurePath

from nodes.mcp_tools.naming import safe
from nodes.mcp_tools.settings import ServerEntry


def reason_of(error: BaseException, entry: ServerEntry, start_s: float) -> str:
    """One sentence part, for `last_error` and for people."""
    cause = _root(error)
    command = PurePath(entry.command or "").name
    if isinstance(cause, FileNotFoundError):
        return f"the command '{command}' or its folder was not found"
    if isinstance(cause, PermissionError):
        return f"the command '{command}' may not be run"
    if isinstance(cause, TimeoutError):
        return f"it did not start within {start_s:g} s"
    name = type(cause).__name__
    if "Connect" in name:
        return "nothing answers at its url"
    return f"its session failed ({safe(name)})"


def _root(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
