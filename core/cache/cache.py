"""The cache that modules ask; what it cannot find it loads, once for all who ask at the time."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog
from prometheus_client import Counter
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from core.access import Principal
from core.cache.entry import StoredAnswer, StoreDown, adapter_of, key_of, packed, prefix_of, unpacked
from core.cache.flights import Flights
from core.cache.settings import KINDS, CacheSettings, Kind
from core.correlation import notice
from core.health import Health, HealthState, healthy
from core.observability import REGISTRY

if TYPE_CHECKING:
    from core.cache.store import Store

T = TypeVar("T")
log = structlog.get_logger()

LOOKUPS = Counter(
    "waystation_cache_total",
    "Look-ups in the cache: hit, miss, shared (with a load under way), bypass (switched off), "
    "error (the store does not answer).",
    ["kind", "result"],
    registry=REGISTRY,
)
NOTICE = "cache_status"


@dataclass(frozen=True, slots=True)
class _Ask:
    """One question: under which key its answer stands, and who knows it otherwise."""

    kind: Kind
    place: str
    cleared: int
    load: Callable[[], Awaitable[Any]]
    adapter: TypeAdapter[Any]


@dataclass(frozen=True, slots=True)
class _Answer:
    result: str
    value: Any
    ttl: int | None = None


class Cache:
    """Keeps answers of `load` under what was asked and who asked. Close it with `async with`."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._secret = settings.secret.get_secret_value().encode()
        self._flights = Flights()
        self._opening = asyncio.Lock()
        self._store: Store | None = None
        # Counts clearings: a load that began before one stores nothing after it.
        self._cleared = dict.fromkeys(KINDS, 0)

    async def get(
        self,
        kind: Kind,
        key: Sequence[Any],
        load: Callable[[], Awaitable[T]],
        *,
        who: Principal | None,
        as_type: TypeAdapter[T] | type[T],
    ) -> T:
        """The answer to `key` for `who`: kept from before, or by `load`.

        Everybody gets a value of their own. Callers that ask for the same at
        the same time share one load. An error of the load is raised to each of
        them and not kept.

        Args:
            key: JSON-able parts that, with `who`, say all that the answer depends on.
            who: Whose rights the answer follows; None only where it is the same for everyone.
            as_type: Type of the answer; it is stored as JSON and read back as this.
        """
        if not self._settings.kind(kind).enabled:
            _count(kind, "bypass")
            return await load()
        ask = self._ask(kind, key, load, who, as_type)
        place = ask.place
        landed = await self._flights.join((place, ask.cleared), lambda: self._answer(ask))
        found: _Answer = landed.value
        shared = not landed.first and found.result != "hit"
        _count(kind, "shared" if shared else found.result, found.ttl)
        answer: T = found.value if landed.last else copy.deepcopy(found.value)
        return answer

    async def put(
        self,
        kind: Kind,
        key: Sequence[Any],
        value: T,
        *,
        who: Principal | None,
        as_type: TypeAdapter[T] | type[T],
    ) -> None:
        """Keep `value` as the answer to `key` from now on: for who was known of it without asking."""
        if not self._settings.kind(kind).enabled:
            return

        async def known() -> T:
            return value

        await self._keep(self._ask(kind, key, known, who, as_type), value)

    async def clear(self, kind: Kind | None = None) -> bool:
        """Forget the answers of one kind, or all.

        Returns:
            False when Redis does not answer: what stands there ends by its age.
        """
        store = await self._opened()
        cleared = True
        for each in (kind,) if kind else KINDS:
            self._cleared[each] += 1
            try:
                await store.clear(prefix_of(self._settings.namespace, each))
            except StoreDown:
                cleared = False
        return cleared

    async def check(self) -> Health:
        """Degraded while Redis does not answer: everything works, and is loaded anew each time."""
        if not self._settings.remote:
            return healthy(store="memory")
        store = await self._opened()
        try:
            await store.ping()
        except StoreDown as error:
            reason = f"{error}; answers are loaded anew each time"
            return Health(HealthState.DEGRADED, reason, store.down_since, {"store": "redis"})
        return healthy(store="redis")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._flights.close()
        if self._store is not None:
            await self._store.close()

    def _ask(
        self,
        kind: Kind,
        key: Sequence[Any],
        load: Callable[[], Awaitable[Any]],
        who: Principal | None,
        as_type: Any,
    ) -> _Ask:
        place = key_of(self._settings.namespace, kind, key, who)
        return _Ask(kind, place, self._cleared[kind], load, adapter_of(as_type))

    async def _answer(self, ask: _Ask) -> _Answer:
        found, result = await self._look_up(ask)
        if found is not None:
            return _Answer("hit", found.value, found.ttl)
        value = await ask.load()
        if ask.cleared == self._cleared[ask.kind]:
            await self._keep(ask, value)
        return _Answer(result, value)

    async def _look_up(self, ask: _Ask) -> tuple[StoredAnswer | None, str]:
        store = await self._opened()
        try:
            entry = await store.get(ask.place)
        except StoreDown:
            return None, "error"
        return unpacked(ask.place, entry, ask.adapter, secret=self._secret), "miss"

    async def _keep(self, ask: _Ask, value: Any) -> None:
        try:
            content = ask.adapter.dump_json(value, warnings="error")
        except PydanticSerializationError:
            # Half a surrogate pair in a document, say: the answer is still good, it is only not kept.
            log.warning("cache_not_json", kind=ask.kind)
            return
        if len(content) > self._settings.entry_bytes:
            return
        ttl_s = self._settings.kind(ask.kind).ttl_s
        with contextlib.suppress(StoreDown):
            entry = packed(ask.place, content, ttl_s=ttl_s, secret=self._secret)
            await (await self._opened()).put(ask.place, entry, ttl_s=ttl_s)

    async def _opened(self) -> Store:
        """The store; opened at the first question, in a thread, since its libraries load slowly."""
        if self._store is None:
            async with self._opening:
                if self._store is None:
                    store = await asyncio.to_thread(_make_store, self._settings)
                    await store.open()
                    self._store = store
        return self._store


def _make_store(settings: CacheSettings) -> Store:
    from core.cache.store import Store  # noqa: PLC0415 - a third of a second

    return Store(settings)


def _count(kind: Kind, result: str, ttl: int | None = None) -> None:
    LOOKUPS.labels(kind, result).inc()
    notice(NOTICE, f"{kind}; {result}" + (f"; ttl={ttl}" if ttl is not None else ""))
