"""Notifications of a server, as the SDK shall read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from core.foreign import clean_text

Params = dict[str, Any]
_CHARS = 4000
_LOG_CHARS = 65_536


def mended_notification(method: str, params: object) -> dict[str, Any] | None:
    """The notification as the SDK shall read it; None for one that says nothing here."""
    mend = _NOTES.get(method)
    found = mend(params if isinstance(params, dict) else {}) if mend else None
    return None if found is None else {"jsonrpc": "2.0", "method": method, "params": found}


def number(value: object) -> float | None:
    """A number that counts something, also one that is written as text."""
    if isinstance(value, bool):
        return None
    with suppress(ValueError, OverflowError):
        if isinstance(value, int | float) or (isinstance(value, str) and len(value) < 40):
            found = float(value)
            return found if math.isfinite(found) else None
    return None


def line(value: object, limit: int = _CHARS) -> str:
    """A text to show to people."""
    return clean_text(value[:limit]) if isinstance(value, str) else ""


def _progress(params: Params) -> Params | None:
    token, done = params.get("progressToken"), number(params.get("progress"))
    if isinstance(token, str) and token.isascii() and token.isdigit() and len(token) < 20:
        token = int(token)  # ours are numbers; some servers give them back as text
    if done is None or not isinstance(token, int) or isinstance(token, bool):
        return None
    total, message = number(params.get("total")), line(params.get("message"))
    found: Params = {"progressToken": token, "progress": done}
    return found | ({} if total is None else {"total": total}) | ({"message": message} if message else {})


def _log(params: Params) -> Params | None:
    data = params.get("data")
    if isinstance(data, dict):
        data = data.get("msg")
    return {"level": "info", "data": line(data, _LOG_CHARS)} if isinstance(data, str) else None


def _cancelled(params: Params) -> Params | None:
    request = params.get("requestId")
    known = isinstance(request, str | int) and not isinstance(request, bool)
    return {"requestId": request} if known else None


_NOTES: dict[str, Callable[[Params], Params | None]] = {
    "notifications/progress": _progress,
    "notifications/message": _log,
    "notifications/tools/list_changed": lambda _: {},
    "notifications/cancelled": _cancelled,
}
