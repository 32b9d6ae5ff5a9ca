"""Our tables beside LangGraph's checkpoints, how rows come into them, and their words for searches."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import METADATA, ForeignText, is_sqlite
from core.foreign import as_json, clean_text
from core.words import fold, words

_UNFOLDED = text("words IS NULL")
_FOR_A_TIME = text("keep_minutes IS NOT NULL")

threads = Table(
    "threads",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("title", ForeignText, nullable=False, default=""),
    Column("status", String(16), nullable=False, default="idle"),
    Column("turns", Integer, nullable=False, default=0),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    # The run that holds the thread, the process it runs in, and until when that is believed.
    Column("run_id", String(64)),
    Column("holder", String(128)),
    Column("lease_until", Float),
    # True from the start of a turn to its clean end: the next turn repairs first.
    Column("dirty", Boolean, nullable=False, default=False),
    # Grows each time the thread is taken: who holds an older number may not write any more.
    Column("fence", Integer, nullable=False, default=0, server_default=text("0")),
    # The questions to a person that wait for an answer, as their events told them.
    Column("waiting", JSON(none_as_null=True)),
    Column("tags", JSON, nullable=False, default=list, server_default=text("'[]'")),
    Column("parent", String(64)),
    # What clients note about it, under names of theirs.
    Column("metadata", JSON, nullable=False, default=dict, server_default=text("'{}'")),
    # Title and tags as they are compared, see `named`.
    Column("title_folded", Text),
    Column("tags_folded", Text),
    # Deleted so long after its last use; None keeps it as long as the service keeps any.
    Column("keep_minutes", Float),
    Index("threads_by_owner", "owner", "updated_at", "id"),
    Index("threads_kept_for_a_time", "updated_at", sqlite_where=_FOR_A_TIME, postgresql_where=_FOR_A_TIME),
    Index("threads_by_holder", "holder"),
)

transcript = Table(
    "transcript",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("thread_id", String(64), nullable=False),
    Column("message_id", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("text", ForeignText, nullable=False),
    Column("extra", JSON, nullable=False, default=dict),
    Column("run_id", String(64)),
    Column("created_at", Float, nullable=False),
    # What full-text search indexes; None where an older release wrote the row.
    Column("words", Text),
    UniqueConstraint("thread_id", "message_id"),
    Index("transcript_unfolded", "seq", sqlite_where=_UNFOLDED, postgresql_where=_UNFOLDED),
)


# Before the time in an id. One in 4096 of the older ids, which are random, begins like this as well.
RUN_MARK = "r_fff"


def new_run_id(at: float) -> str:
    """A fresh id of a run that begins at `at` (epoch seconds): that second, and 84 random bits."""
    return f"{run_ids_from(at)}{secrets.token_hex(11)[:21]}"


def run_ids_from(at: float) -> str:
    """What the ids of runs that begin then begin with: partitions of events are cut there."""
    return f"{RUN_MARK}{int(at) & 0xFFFFFFFF:08x}"


def said(text: str) -> dict[str, str]:
    """What a message says, as values of a row of `transcript`: whoever inserts one takes them from here."""
    text = clean_text(text)
    return {"text": text, "words": indexed(text)}


def named(*, title: str | None = None, tags: Sequence[str] | None = None) -> dict[str, Any]:
    """Another title and other tags as values of a row of `threads`; None leaves one as it is."""
    values: dict[str, Any] = {}
    if title is not None:
        values |= {"title": title, "title_folded": folded_title(title)}
    if tags is not None:
        values |= {"tags": list(tags), "tags_folded": folded_tags(tags)}
    return values


# One execution on a thread, from the request to its end, over every attempt and pause.
runs = Table(
    "runs",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("thread_id", String(64), nullable=False),
    Column("owner", String(255), nullable=False),
    # The caller's rights when the run was asked for: another process may go on with it.
    Column("groups", JSON, nullable=False),
    Column("levels", JSON, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    # Why it is in that status, where the status alone does not say: drained, orphaned, superseded ...
    Column("reason", String(32), nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    Column("fence", Integer, nullable=False, default=0),
    Column("holder", String(128)),
    Column("request", JSON, nullable=False),
    Column("message_id", String(64)),
    Column("input_hash", String(64), nullable=False),
    Column("idempotency_key", String(128)),
    # What a client without threads had said when it asked for this, as a hash.
    Column("conversation", String(64)),
    # What becomes of it when its process dies: resume or end.
    Column("policy", String(8), nullable=False),
    # Its place among the runs that wait for the thread; the smallest is next.
    Column("place", Float, nullable=False),
    # cancel or supersede: the wish of somebody who is not its holder.
    Column("stop_requested", String(16)),
    # Event numbers up to here may have been told to somebody.
    Column("seq_limit", Integer, nullable=False),
    Column("webhook", Text),
    Column("request_id", String(128), nullable=False, default=""),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("output", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("model", String(200), nullable=False, default=""),
    Column("input_tokens", Integer, nullable=False, default=0),
    Column("output_tokens", Integer, nullable=False, default=0),
    # In the currency of the prices in models.yaml; None where no price is known.
    Column("cost", Float),
    # When each step worked: a list of {name, attempt, at, ms, end}.
    Column("steps", JSON(none_as_null=True)),
    # Which workers may take it up; None for those of no tag.
    Column("tag", String(32)),
    Index("runs_by_thread", "thread_id", "created_at"),
    Index("runs_by_status", "status", "created_at"),
    Index("runs_by_owner", "owner", "created_at"),
    Index("runs_by_conversation", "conversation"),
    UniqueConstraint("owner", "idempotency_key", name="runs_by_key"),
)

# Processes that execute runs. One that has not been seen for as long as a lease is gone.
workers = Table(
    "workers",
    METADATA,
    Column("holder", String(128), primary_key=True),
    # Tags of the runs that it takes up; an empty list for all.
    Column("tags", JSON, nullable=False),
    # 0 for a process of the service that executes none.
    Column("at_once", Integer, nullable=False),
    Column("going", Integer, nullable=False),
    Column("release", String(64), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)

# What runs told. Neighbouring tokens of a run are one row: `first` to `seq`, cut at `cuts`.
run_events = Table(
    "run_events",
    METADATA,
    Column("run_id", String(64), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("first", Integer, nullable=False),
    Column("thread_id", String(64), nullable=False),
    Column("type", String(16), nullable=False),
    Column("data", ForeignText, nullable=False),
    Column("cuts", JSON(none_as_null=True)),
    Column("created_at", Float, nullable=False),
    Index("run_events_by_thread", "thread_id"),
    Index("run_events_by_age", "created_at"),
)

# Runs that callers have planned by the clock, with the rights that they had then.
plans = Table(
    "plans",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("levels", JSON, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("thread_id", String(64)),
    Column("request", JSON, nullable=False),
    Column("webhook", Text),
    Column("schedule", String(128), nullable=False),
    Column("timezone", String(128)),
    Column("end_at", Float),
    Column("enabled", Boolean, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("next_at", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("plans_by_owner", "owner", "created_at"),
    Index("plans_by_time", "next_at"),
)

# What clients keep for a user, as JSON under names of theirs; the labels of a namespace stand between dots.
items = Table(
    "items",
    METADATA,
    Column("owner", String(255), primary_key=True),
    Column("namespace", String(512), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("value", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("keep_minutes", Float),
    Column("expires_at", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("items_by_age", "expires_at"),
)

# A tool call that was begun, and what it gave: it is never made a second time by itself.
receipts = Table(
    "receipts",
    METADATA,
    Column("run_id", String(64), primary_key=True),
    Column("call_id", String(128), primary_key=True),
    Column("thread_id", String(64), nullable=False),
    Column("outcome", JSON(none_as_null=True)),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Index("receipts_by_thread", "thread_id"),
)


# A tool's file has one thread in file storage. Here stand all that need it, so that it outlives each but
# the last. A file that no fork refers to has no row.
shared_files = Table(
    "shared_files",
    METADATA,
    Column("thread_id", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Index("shared_files_by_key", "key"),
)


@dataclass(frozen=True, slots=True)
class Inserting:
    """`INSERT` of whole rows of a table; with `new_only` one whose key is there stays as it is."""

    table: Table
    new_only: bool = False

    def into(
        self, engine: AsyncEngine, rows: Iterable[Mapping[str, Any]]
    ) -> tuple[str, Sequence[Sequence[Any]]]:
        """The statement and its rows, for `core.database.line.Unit`."""
        columns = [column for column in self.table.columns if column.autoincrement is not True]
        names = ", ".join(f'"{column.name}"' for column in columns)
        marks = ", ".join("?" * len(columns))
        known = " ON CONFLICT DO NOTHING" if self.new_only else ""
        sql = f"INSERT INTO {self.table.name} ({names}) VALUES ({marks}){known}"  # noqa: S608 - our own names
        return worded(engine, sql), [
            [_value(column.type, row.get(column.name)) for column in columns] for row in rows
        ]


def worded(engine: AsyncEngine, sql: str) -> str:
    """The statement, in which a question mark stands for each value, as the engine's driver wants it."""
    return sql if is_sqlite(engine) else sql.replace("?", "%s")


def _value(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, JSON):
        return as_json(value)
    return clean_text(value) if isinstance(kind, ForeignText) else value


# What is indexed of a message. PostgreSQL takes at most 1 MiB of words, and an insert would fail past it.
INDEXED_LETTERS = 100_000
INDEXED_BYTES = 1_000_000


def indexed(text: str) -> str:
    """The words of a message as the index holds them, one space between."""
    found = " ".join(words(text[:INDEXED_LETTERS]))
    if len(found) * 4 <= INDEXED_BYTES:
        return found
    whole = found.encode()[:INDEXED_BYTES].decode(errors="ignore")
    return whole if len(whole) == len(found) else whole.rpartition(" ")[0]


def folded_title(title: str) -> str:
    """A title as it is compared with a part of one."""
    return fold(" ".join(title.split()))


def folded_tags(tags: Sequence[str]) -> str:
    """Tags as they are compared, a line each."""
    return "\n".join(["", *(folded_title(tag) for tag in tags), ""])
