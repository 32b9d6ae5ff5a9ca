"""docs/reference/errors.md: every code that a user can meet."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from core.errors import WaystationError, known_errors
from docs.writers.markdown import code, document, first_line, table
from server.errors import status_of

PACKAGES = ("core", "graph", "nodes", "server")


def page() -> str:
    """Codes in alphabetical order."""
    rows = [
        (
            code(name),
            cls.title,
            str(status_of(cls)),
            "yes" if cls.retryable else "no",
            first_line(cls.__doc__),
        )
        for name, cls in ours().items()
    ]
    return document(
        "Errors",
        "An error has a stable `code`. Over HTTP it is a problem document (`application/problem+json`, "
        "RFC 9457) with the status below; in a stream it is the last event; on the command line it is one "
        "line `code: detail` and exit code 1. `detail` names the value and the remedy and may change "
        "between releases.",
        "A *retryable* error may go away by itself: the same request can be sent again.",
        table(("code", "title", "status", "retryable", "meaning"), rows),
    )


def ours() -> dict[str, type[WaystationError]]:
    """Every error class of this project by its code."""
    for name in _modules():
        importlib.import_module(name)
    return {name: cls for name, cls in known_errors().items() if cls.__module__.split(".")[0] in PACKAGES}


def _modules() -> Iterator[str]:
    for package in PACKAGES:
        root = importlib.import_module(package)
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
            # Alembic's scripts run only under Alembic.
            if "migrations" not in info.name and not info.name.endswith("__main__"):
                yield info.name
