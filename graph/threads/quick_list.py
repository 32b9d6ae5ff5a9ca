"""The list of a person's threads, read from SQLite's file as it is: for a command that does nothing else.

The library of the database takes longer to import than the rows to read. Where anything is out of the
ordinary the answer is None, and `Threads.list` on an opened database gives the list or says what is wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from core.cursor import cursor
from core.words import fold
from graph.runs.names import renewed_question

COLUMNS = (
    *("id", "title", "status", "turns", "tags", "parent", "waiting", "metadata"),
    *("created_at", "updated_at"),
)
STATUSES = frozenset({"idle", "running", "interrupted", "failed"})
_WAIT_SECONDS = 5.0
_MIGRATIONS = Path(__file__).parents[1] / "db" / "migrations" / "versions"


def list_in(
    file: Path,
    owner: str,
    *,
    status: str | None = None,
    q: str | None = None,
    tag: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]] | None:
    """The same as `Threads.list`, or None.

    Args:
        file: The database; one that is not there, or at another revision, is left as it is.
    """
    if (status is not None and status not in STATUSES) or not _plain(q) or not _plain(tag):
        return None
    where, values = _conditions(owner, status, q, tag)
    query = (
        f"SELECT {', '.join(COLUMNS)} FROM threads WHERE {where} ORDER BY updated_at DESC, id DESC LIMIT ?"  # noqa: S608 - our own words
    )
    try:
        with closing(sqlite3.connect(_read_only(file), uri=True, timeout=_WAIT_SECONDS)) as db:
            if not _as_expected(db):
                return None
            found = db.execute(query, (*values, limit)).fetchall()
    except (sqlite3.Error, ValueError):
        return None
    return [_view(dict(zip(COLUMNS, row, strict=True))) for row in found]


def _read_only(file: Path) -> str:
    return f"file:{quote(str(file))}?mode=ro"


def _plain(text: str | None) -> bool:
    return text is None or text.isprintable()


def _as_expected(db: sqlite3.Connection) -> bool:
    """At the revision of this release, and with nothing left to be folded for searches."""
    newest = max(path.name[:4] for path in _MIGRATIONS.glob("[0-9]*.py"))
    found = db.execute("SELECT version_num FROM alembic_version").fetchall()
    unfolded = db.execute("SELECT 1 FROM threads WHERE title_folded IS NULL LIMIT 1").fetchone()
    return found == [(newest,)] and unfolded is None


def _conditions(owner: str, status: str | None, q: str | None, tag: str | None) -> tuple[str, list[str]]:
    asked = dict(_asked(owner, status, q, tag))
    return " AND ".join(asked), list(asked.values())


def _asked(owner: str, status: str | None, q: str | None, tag: str | None) -> Iterator[tuple[str, str]]:
    yield "owner = ?", owner
    if status is not None:
        yield "status = ?", status
    if q:
        yield "instr(title_folded, ?)", _folded(q)
    if tag:
        yield "instr(tags_folded, ?)", f"\n{_folded(tag)}\n"


def _folded(text: str) -> str:
    return fold(" ".join(text.split()))


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "tags": orjson.loads(row["tags"] or "[]") or [],
        "waiting": [renewed_question(each) for each in orjson.loads(row["waiting"] or "[]") or ()],
        "metadata": orjson.loads(row["metadata"] or "{}") or {},
        "created_at": _time_of(row["created_at"]),
        "updated_at": _time_of(row["updated_at"]),
        "cursor": cursor("thread", row["updated_at"], row["id"]),
    }


def _time_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
