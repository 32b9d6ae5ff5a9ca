"""What clients keep for a user beside threads and files: small JSON values under a namespace and a key.

The values are the user's own: nobody else reads them, and the graph does not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, RowMapping, Select, delete, func, or_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from core.access import Principal, owner_seen_by
from core.database.engine import insert_new, now_of
from core.database.outage import uninterrupted
from core.errors import InvalidInput, WaystationError
from core.foreign import as_bytes, fault_in
from core.settings.book import Editions
from core.settings.platform import LimitSettings
from core.task_queue import Task, TaskContext
from core.task_queue.task import NoArguments
from core.words import words
from graph.db.tables import items
from graph.flow.state import time_of

MOST_BYTES = 65_536
MOST_MINUTES = 5_256_000
_BATCH = 200
_LABEL = re.compile(r"[^.\x00-\x1f\x7f]{1,64}")
_KEY = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_MOST_LABELS = 8

Test = Callable[[Mapping[str, Any]], bool]
Scored = tuple[float | None, RowMapping]


class ItemsTotalReached(WaystationError):
    """This user keeps as many items, or bytes in them, as the limit allows."""

    code = "items_total_reached"
    title = "Too many items are kept"


class Items:
    """Users' items in the database at `engine`."""

    def __init__(self, engine: AsyncEngine, editions: Editions) -> None:
        self._engine = engine
        self._editions = editions

    @uninterrupted
    async def put(
        self,
        principal: Principal,
        namespace: Sequence[str],
        key: str,
        value: Mapping[str, Any],
        *,
        minutes: float | None = None,
    ) -> None:
        """Keep the value, in place of what is there.

        Args:
            minutes: For how long, counted again whenever it is read; None for ever.

        Raises:
            InvalidInput: A name or the value cannot be kept.
            ItemsTotalReached: The user has too much.
        """
        data, now = _data(value), now_of(self._engine)
        if minutes is not None and not 0 < minutes <= MOST_MINUTES:
            raise InvalidInput(f"ttl: minutes, more than 0 and at most {MOST_MINUTES}")
        names = {"owner": principal.id, "namespace": _joined(namespace), "key": _checked_key(key)}
        values = {
            "value": data.decode(),
            "size": len(data),
            "keep_minutes": minutes,
            "expires_at": None if minutes is None else now + minutes * 60,
            "updated_at": now,
        }
        async with self._engine.begin() as db:
            if not await insert_new(db, items, {**names, **values, "created_at": now}):
                same = [items.c[name] == value for name, value in names.items()]
                await db.execute(update(items).where(*same).values(values))
            await self._check_total(db, principal.id)

    async def get(
        self, principal: Principal, namespace: Sequence[str], key: str, *, refresh: bool = True
    ) -> dict[str, Any] | None:
        """The item; None where there is none.

        Args:
            refresh: Reading counts its time from now.
        """
        wanted = [*self._seen(principal), items.c.namespace == _joined(namespace)]
        query = select(items).where(*wanted, items.c.key == _checked_key(key))
        async with self._engine.connect() as db:
            row = (await db.execute(query)).mappings().first()
        if row is None:
            return None
        if refresh:
            await self._refresh([row])
        return _view(row)

    @uninterrupted
    async def delete(self, principal: Principal, namespace: Sequence[str], key: str) -> None:
        """Remove the item, where there is one."""
        mine = items.c.owner == owner_seen_by(principal)
        same = (items.c.namespace == _joined(namespace)) & (items.c.key == _checked_key(key))
        async with self._engine.begin() as db:
            await db.execute(delete(items).where(mine, same))

    async def search(
        self,
        principal: Principal,
        prefix: Sequence[str] = (),
        *,
        fitting: Mapping[str, Any] | None = None,
        query: str = "",
        limit: int = 10,
        offset: int = 0,
        refresh: bool = True,
    ) -> list[dict[str, Any]]:
        """The items below a namespace, the last changed first; each with its `score`.

        Args:
            fitting: By key of the value: what it is, or `{"$gt": ...}` with `$eq`, `$ne`, `$gt`, `$gte`,
                `$lt` and `$lte`, all of which must hold.
            query: Those that have a word of it, and those with more of them first.

        Raises:
            InvalidInput: A name or a condition cannot be understood.
        """
        tests, sought = _tests(fitting or {}), frozenset(words(query))
        wanted = select(items).where(*self._seen(principal), *_below(prefix))
        wanted = wanted.order_by(items.c.updated_at.desc(), items.c.namespace, items.c.key)
        found: list[Scored] = []
        async with self._engine.connect() as db:
            async for rows in _portions(db, wanted):
                # Reading a portion may take long enough for others to notice.
                found += await asyncio.to_thread(_fitting, rows, tests, sought)
                if not sought and len(found) >= offset + limit:
                    break
        found.sort(key=lambda each: -(each[0] or 0))
        page = found[offset : offset + limit]
        if refresh:
            await self._refresh([row for _, row in page])
        return [{**_view(row), "score": score} for score, row in page]

    async def namespaces(
        self,
        principal: Principal,
        *,
        prefix: Sequence[str] = (),
        suffix: Sequence[str] = (),
        depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[list[str]]:
        """Namespaces with items, in their order; `*` in prefix and suffix is any label.

        Args:
            depth: Cut them to so many labels.
        """
        query = select(items.c.namespace).where(*self._seen(principal)).distinct()
        async with self._engine.connect() as db:
            known = [tuple(name.split(".")) for name in (await db.execute(query)).scalars()]
        fitting = [name for name in known if _begins(name, prefix) and _begins(name[::-1], suffix[::-1])]
        return [list(name) for name in sorted({name[:depth] for name in fitting})[offset : offset + limit]]

    @uninterrupted
    async def forget_expired(self) -> None:
        """Remove those whose time is over; nobody sees them before either."""
        async with self._engine.begin() as db:
            await db.execute(delete(items).where(items.c.expires_at < now_of(db)))

    def _seen(self, principal: Principal) -> list[ColumnElement[bool]]:
        lives = or_(items.c.expires_at.is_(None), items.c.expires_at >= now_of(self._engine))
        return [items.c.owner == owner_seen_by(principal), lives]

    @uninterrupted
    async def _refresh(self, rows: Sequence[RowMapping]) -> None:
        for row in rows:
            if row["keep_minutes"] is not None:
                same = [items.c[name] == row[name] for name in ("owner", "namespace", "key")]
                async with self._engine.begin() as db:
                    until = now_of(db) + row["keep_minutes"] * 60
                    await db.execute(update(items).where(*same).values(expires_at=until))

    async def _check_total(self, db: AsyncConnection, owner: str) -> None:
        limits = self._editions.now().book[LimitSettings]
        sums = select(func.count(), func.coalesce(func.sum(items.c.size), 0)).where(items.c.owner == owner)
        count, size = (await db.execute(sums)).one()
        if count > limits.items_per_user:
            raise ItemsTotalReached(f"you keep {limits.items_per_user} items, the limit; delete some")
        if size > limits.items_bytes_per_user:
            raise ItemsTotalReached(
                f"your items have {limits.items_bytes_per_user} bytes, the limit; delete some"
            )


async def _portions(db: AsyncConnection, query: Select[Any]) -> AsyncIterator[Sequence[RowMapping]]:
    """A user's items together may be large."""
    at = 0
    while rows := (await db.execute(query.limit(_BATCH).offset(at))).mappings().all():
        yield rows
        at += len(rows)


def _fitting(rows: Sequence[RowMapping], tests: Sequence[Test], sought: frozenset[str]) -> list[Scored]:
    found: list[Scored] = []
    for row in rows:
        value = orjson.loads(row["value"])
        score = _score(sought, value) if sought else None
        if score != 0 and all(test(value) for test in tests):
            found.append((score, row))
    return found


def _data(value: Any) -> bytes:
    if not isinstance(value, Mapping):
        raise InvalidInput('value: must be an object, such as {"text": "..."}')
    if fault := fault_in(value, "value"):
        raise InvalidInput(f"{fault}; send JSON that can be kept")
    data = as_bytes(value)
    if len(data) > MOST_BYTES:
        raise InvalidInput(
            f"value: {len(data)} bytes; an item has at most {MOST_BYTES}. Larger ones are files"
        )
    return data


def _joined(namespace: Sequence[str]) -> str:
    _labels(namespace, "namespace", least=1)
    return ".".join(namespace)


def _labels(given: Sequence[str], name: str, *, least: int = 0) -> None:
    good = all(_LABEL.fullmatch(label) for label in given)
    if not good or not least <= len(given) <= _MOST_LABELS or len(".".join(given)) > 512:
        raise InvalidInput(
            f"{name}: must be {least} to {_MOST_LABELS} labels of 1 to 64 characters without a full stop"
        )
    if fault := fault_in(list(given), name):
        raise InvalidInput(f"{fault}; send text that can be kept")


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key) or fault_in(key, "key"):
        raise InvalidInput("key: must be 1 to 256 characters of text")
    return key


def _below(prefix: Sequence[str]) -> list[ColumnElement[bool]]:
    if not prefix:
        return []
    _labels(prefix, "namespace_prefix")
    name = ".".join(prefix)
    return [or_(items.c.namespace == name, items.c.namespace.startswith(f"{name}.", autoescape=True))]


def _begins(name: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(name) >= len(wanted) and all(
        label in ("*", own) for own, label in zip(name, wanted, strict=False)
    )


_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda own, other: own == other,
    "$ne": lambda own, other: own != other,
    "$gt": lambda own, other: own > other,
    "$gte": lambda own, other: own >= other,
    "$lt": lambda own, other: own < other,
    "$lte": lambda own, other: own <= other,
}
_ORDERED = frozenset(_COMPARED) - {"$eq", "$ne"}


def _tests(fitting: Mapping[str, Any]) -> list[Test]:
    return [test for name, wanted in fitting.items() for test in _tests_of(name, wanted)]


def _tests_of(name: str, wanted: Any) -> Iterator[Test]:
    asked = wanted if isinstance(wanted, Mapping) and any(str(k).startswith("$") for k in wanted) else None
    for how, other in (asked or {"$eq": wanted}).items():
        if how not in _COMPARED:
            raise InvalidInput(f"filter.{name[:80]}: no '{how[:40]}'; use one of {', '.join(_COMPARED)}")
        yield _test(name, how, other)


def _test(name: str, how: str, other: Any) -> Test:
    def holds(value: Mapping[str, Any]) -> bool:
        own = value.get(name)
        if how in _ORDERED and not _comparable(own, other):
            return False
        return _COMPARED[how](own, other)

    return holds


def _comparable(own: Any, other: Any) -> bool:
    return any(isinstance(own, kind) and isinstance(other, kind) for kind in (str, (int, float)))


def _score(sought: frozenset[str], value: Any) -> float:
    """The part of the words that the value has."""
    return len(sought.intersection(words(" ".join(_texts(value))))) / len(sought)


def _texts(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, Mapping):
            left += item.values()
        elif isinstance(item, list):
            left += item
        elif isinstance(item, str | int | float) and not isinstance(item, bool):
            yield str(item)


def _view(row: RowMapping) -> dict[str, Any]:
    return {
        "namespace": row["namespace"].split("."),
        "key": row["key"],
        "value": orjson.loads(row["value"]),
        "created_at": time_of(row["created_at"]),
        "updated_at": time_of(row["updated_at"]),
    }


async def forget_items(_: NoArguments, context: TaskContext) -> None:
    """Forget items whose time is over."""
    await (await context.container.get(Items)).forget_expired()


TASKS: tuple[Task[Any], ...] = (Task("forget_items", NoArguments, forget_items, cron="*/5 * * * *"),)
