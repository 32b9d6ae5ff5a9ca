"""How a person finds threads again: full-text search in one's own, and tags."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    cast,
    column,
    func,
    inspect,
    literal,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.access import Principal, owner_seen_by
from core.database.engine import is_sqlite
from core.errors import InvalidInput
from graph.db.tables import INDEXED_LETTERS, folded_tags, threads, transcript
from graph.flow.state import time_of
from graph.threads.history.terms import Term, snippet, terms

# The expression of the index of migration 0005, to the letter.
VECTOR = "array_to_tsvector(string_to_array(transcript.words, ' '))"
_INDEX = table("transcript_words", column("rowid"))


class Search:
    """Finds messages by their words."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._indexed: bool | None = None

    async def find(
        self, principal: Principal, query: str, *, limit: int, after: int | None = None
    ) -> list[dict[str, Any]]:
        """Messages of the principal's threads that have every word, the newest first.

        Args:
            query: Words; "in quotes" those that stand together, and berth* for every ending.
            after: `seq` of the last hit of the page before.

        Returns:
            Hits with `snippet` and `marks`, [start, end] of each found word in it.
        """
        wanted = terms(query)
        if not wanted:
            return []
        async with self._engine.connect() as db:
            statement = self._page(await self._matching(db, wanted), owner_seen_by(principal), after)
            rows = (await db.execute(statement.limit(limit))).mappings().all()
        # Finding the places in long messages takes a while, which other turns need not wait for.
        return await asyncio.to_thread(lambda: [_hit(row, wanted) for row in rows])

    def _page(self, found: Select[Any], owner: str, after: int | None) -> Select[Any]:
        mine = found.where(threads.c.owner == owner)
        if after is not None:
            mine = mine.where(transcript.c.seq < after)
        return mine.order_by(transcript.c.seq.desc())

    async def _matching(self, db: AsyncConnection, wanted: Sequence[Term]) -> Select[Any]:
        hits = _COLUMNS.join_from(transcript, threads, threads.c.id == transcript.c.thread_id)
        if not is_sqlite(db):
            return hits.where(_postgres(wanted))
        if self._indexed is None:
            self._indexed = await db.run_sync(lambda sync: inspect(sync).has_table("transcript_words"))
        if not self._indexed:
            return hits.where(and_(*map(_standing, wanted)))
        matching = text("transcript_words MATCH :words").bindparams(words=_sqlite(wanted))
        return hits.join(_INDEX, _INDEX.c.rowid == transcript.c.seq).where(matching)


_COLUMNS = select(
    transcript.c.seq,
    transcript.c.thread_id,
    transcript.c.message_id,
    transcript.c.role,
    transcript.c.created_at,
    func.substr(transcript.c.text, 1, INDEXED_LETTERS).label("text"),
    threads.c.title,
)


def _sqlite(wanted: Sequence[Term]) -> str:
    """For FTS5: strings in quotes, which hold letters and digits only."""
    return " AND ".join(f'"{" ".join(t.words)}"{"*" if t.prefix else ""}' for t in wanted)


def _postgres(wanted: Sequence[Term]) -> ColumnElement[bool]:
    """The index finds rows with all words; whether those of a term stand together is read in the row."""
    from sqlalchemy.dialects.postgresql import TSQUERY  # noqa: PLC0415 - slow, and not for SQLite

    lexemes = [f"'{word}'" for term in wanted for word in term.words[: -1 if term.prefix else None]]
    lexemes += [f"'{term.words[-1]}':*" for term in wanted if term.prefix]
    # Letters and digits only: nothing to escape within the quotes.
    query = cast(" & ".join(lexemes), TSQUERY)
    held: ColumnElement[bool] = literal_column(VECTOR).op("@@", is_comparison=True)(query)
    return and_(held, *(_standing(term) for term in wanted if len(term.words) > 1))


def _standing(term: Term) -> ColumnElement[bool]:
    """True for a message in which the words of the term stand one behind the other."""
    said = " ".join(term.words)
    text_of = literal(" ") + transcript.c.words + literal(" ")
    return text_of.contains(f" {said}" if term.prefix else f" {said} ")


def _hit(row: Any, wanted: Sequence[Term]) -> dict[str, Any]:
    shown, marks = snippet(row["text"], wanted)
    return {
        "seq": row["seq"],
        "thread_id": row["thread_id"],
        "title": row["title"],
        "message_id": row["message_id"],
        "role": row["role"],
        "created_at": time_of(row["created_at"]),
        "snippet": shown,
        "marks": marks,
    }


MOST_TAGS = 20
TAG_LETTERS = 40


def checked_tags(tags: Sequence[str]) -> list[str]:
    """The tags as a thread keeps them: trimmed, each once, in their order.

    Raises:
        InvalidInput: There are more than 20, or one is empty, too long or no text to show.
    """
    found = list(dict.fromkeys(tag.strip() for tag in tags))
    if len(found) > MOST_TAGS:
        raise InvalidInput(f"a thread has at most {MOST_TAGS} tags (got {len(found)})")
    for tag in found:
        if not 1 <= len(tag) <= TAG_LETTERS:
            raise InvalidInput(f"tag '{tag[:60]}' has {len(tag)} characters; use 1 to {TAG_LETTERS}")
        if not tag.isprintable():
            raise InvalidInput("a tag has a character that cannot be shown; remove it")
    return found


def tagged(tag: str) -> ColumnElement[bool]:
    """True for threads that have this tag."""
    return threads.c.tags_folded.contains(folded_tags([tag]), autoescape=True)
