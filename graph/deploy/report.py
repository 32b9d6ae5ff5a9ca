"""The deploy check as a report: what a graph would make of the threads of a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import URL

from graph.checkpoints.fingerprint import fingerprint
from graph.db.database import HEAD
from graph.deploy.check import Compiled, check
from graph.deploy.reading import reading, revision_of, tables_of, threads_as_left


async def report(
    url: URL,
    graph: Compiled,
    *,
    idle: int | None,
    told: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> dict[str, Any]:
    """On every live and waiting thread, and on the `idle` last used others (None: all)."""
    found: list[dict[str, Any]] = []
    async with reading(url) as (engine, saver):
        revision = await revision_of(engine)
        threads, left_out = await threads_as_left(engine, idle=idle)
        if "checkpoints" in await tables_of(engine):
            async for verdict in check(graph, saver, threads):
                found.append(verdict.as_json())
                told(len(found), len(threads), "")
    return {
        "fingerprint": fingerprint(graph),
        "revision": revision,
        "head": HEAD,
        "note": _note(revision, HEAD),
        "checked": len(found),
        "left_out": left_out,
        "breaks": sum(bool(verdict["breaks"]) for verdict in found),
        "threads": found,
    }


def _note(revision: str | None, head: str) -> str:
    if revision == head:
        return ""
    if revision is None:
        return "the database has no tables of ours yet"
    if revision > head:
        return (
            f"the database is at revision {revision}, newer than this release's {head}: read as far as known"
        )
    return f"the database is at revision {revision}; this release migrates it to {head} when it starts"
