"""Conditions on rows, as the library's SQL has them."""

from __future__ import annotations

from collections.abc import Iterable

from nodes.rag.ports import View


def any_of(column: str, values: Iterable[str]) -> str:
    """Rows with one of `values`; none where there is no value."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})" if quoted else "false"


def among(view: View | None) -> str | None:
    """Rows of the documents of a view; None where these are all."""
    if view is None or view.everything:
        return None
    named = any_of("document", sorted(view.documents))
    return named if view.only else f"NOT ({named})"
