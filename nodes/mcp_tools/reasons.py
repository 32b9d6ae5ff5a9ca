"""Why a server could not be opened or refused a request, in words without paths or secrets."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import PurePath
from urllib.parse import urljoin, urlsplit

from core.errors import WaystationError
from core.foreign import clean_text
from nodes.mcp_tools.calls import safe
from nodes.mcp_tools.errors import ServerFailed, StatusRefused
from nodes.mcp_tools.settings import ServerEntry

CLOSED = "the connection was closed"
_HINTS = {
    401: "it wants a login; set auth_token or headers in its entry",
    403: "what its entry sends as auth_token or headers does not open it",
    404: "there is no MCP endpoint at its url; check the path",
    405: "its url takes no such request; check the path, and whether it wants transport sse or http",
    406: "its url does not answer in the way of MCP; check whether it wants transport sse or http",
    407: "a proxy on the way wants a login",
    413: "the request is too large for it; send less at once",
    429: "it is asked too often; try later",
    502: "the gateway before it cannot reach it",
    503: "it is not ready now; try later",
    504: "the gateway before it waited too long",
}
# The status itself says that nothing was begun.
_NOT_BEGUN = frozenset({429, 501, 503})
_SAID_CHARS = 300


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


def refusal(status: int, *, location: str = "", url: str = "", said: str = "") -> WaystationError:
    """The error for one request.

    Args:
        location: Of a redirect that was not followed, as it was sent.
        said: What the server wrote itself, where that is a message.
    """
    text = f"the server answered with HTTP status {status}{_phrase(status)}"
    hint = _moved(location, url) if 300 <= status < 400 else _HINTS.get(status, "")
    parts = [text, hint, clean_text(said[:_SAID_CHARS]).strip()]
    detail = ": ".join(part for part in parts if part)
    if status >= 500 or status == 429:
        return ServerFailed(detail, sent=status not in _NOT_BEGUN)
    return StatusRefused(detail, status=status)


def no_mcp(media_type: str) -> str:
    """Why an answer of this media type is none."""
    kind = media_type.partition(";")[0].strip().lower()[:80]
    if kind in ("text/html", "application/xhtml+xml"):
        return "a web page (HTML) answers at its url, no MCP endpoint; check the path, or log in first"
    return f"what answers at its url is no MCP ({kind or 'without a content type'}); check the path"


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def _moved(location: str, url: str) -> str:
    """Where a redirect leads, without what it may carry along."""
    try:
        target = urlsplit(urljoin(url, location))
        port = f":{target.port}" if target.port else ""
        shown = f"{target.scheme}://{target.hostname or ''}{port}{target.path}"
    except ValueError:
        return "it leads to an address that cannot be read"
    shown = clean_text(shown[:_SAID_CHARS])
    if not location or target.netloc == urlsplit(url).netloc:
        return f"it leads on to {shown} and from there to nowhere; check the path of its url"
    return f"it leads to {shown}, which is not followed; write that as the url if it is the server, or log in"
