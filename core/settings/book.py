"""Everything that was read at start, found by the type that validated it, and its editions.

One edition is current, a turn keeps the one it began with. A `Part` is what a
module makes of the settings: its catalogue, its inventory. `Editions.swap`
builds every part from a new book before anything changes; one that does not
accept the book leaves all as it was. An edition lives while it is the newest or
somebody holds it.

    async with Editions(book) as editions:
        async with editions.part("models", catalogue_of) as part:
            with editions.hold():
                part.now            # the same object until the block ends, whatever is swapped
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from pydantic import BaseModel

from core.settings.declare import ConfigFile, Section
from core.settings.document import Document
from core.settings.layers import Layers
from core.settings.loader import Context, load_file, load_sections
from core.settings.problems import ConfigErrors, ConfigProblem

M = TypeVar("M", bound=BaseModel)

T = TypeVar("T")
E = TypeVar("E")
R = TypeVar("R")
log = structlog.get_logger(__name__)
_pinned: ContextVar[Edition | None] = ContextVar("waystation_edition", default=None)


@dataclass(frozen=True, slots=True)
class Book:
    """The settings of a service: `book[LLMSettings]`, `book[ModelsFile]`.

    `documents` are the files that were found, by kind ("waystation" is the main
    one); `layers` tell where a section's value came from.
    """

    context: Context
    values: dict[type[BaseModel], BaseModel]
    documents: dict[str, Document]
    sections: tuple[Section, ...] = ()
    files: tuple[ConfigFile, ...] = ()
    layers: Layers = field(default_factory=Layers)

    def __getitem__(self, model: type[M]) -> M:
        found: Any = self.values[model]
        return found  # type: ignore[no-any-return]  # values maps each type to its own instance


def read_book(
    sections: Sequence[Section],
    files: Sequence[ConfigFile],
    context: Context,
    *,
    partial: bool = False,
) -> Book:
    """Read and validate everything that is declared.

    Raises:
        ConfigErrors: With every problem of every file at once.
    """
    book, problems = inspect_book(sections, files, context, partial=partial)
    if problems:
        raise ConfigErrors(problems)
    return book


def inspect_book(
    sections: Sequence[Section],
    files: Sequence[ConfigFile],
    context: Context,
    *,
    partial: bool = False,
) -> tuple[Book, list[ConfigProblem]]:
    """Like `read_book`, with the problems given back instead of raised.

    What has problems is missing from the book's values.
    """
    by_name, problems, layers = load_sections(sections, context, partial=partial)
    values = {section.model: by_name[section.name] for section in sections if section.name in by_name}
    documents = {"waystation": layers.document} if layers.document else {}
    for declared in files:
        value, found, document = load_file(declared, context)
        problems = [*problems, *found]
        if value is not None:
            values[declared.model] = value
        if document:
            documents[declared.kind] = document
    return Book(context, values, documents, tuple(sections), tuple(files), layers), problems


Build = Callable[[Book, T | None], Awaitable[T]]


@dataclass(eq=False, slots=True)
class Edition:
    """One reading of the configuration. `number` counts from 1 in each process."""

    number: int
    book: Book
    values: dict[str, Any] = field(default_factory=dict)
    holders: int = 0


class Part(Generic[T]):
    """A module's share of every edition; `now` is that of the edition that holds here.

    Args:
        read: Gives the value of now.
        living: Gives the values of all editions that live.
    """

    def __init__(self, read: Callable[[], T], living: Callable[[], list[T]]) -> None:
        self._read = read
        self._living = living
        self._adopted: list[Callable[[T], None]] = []
        self._retired: list[Callable[[T], Awaitable[None]]] = []

    @classmethod
    def of(cls, value: T | Part[T]) -> Part[T]:
        """`value` itself when it is a part; else one that never changes (tests, notebooks)."""
        if isinstance(value, Part):
            return value
        return cls(lambda: value, lambda: [value])

    @property
    def now(self) -> T:
        return self._read()

    def living(self) -> list[T]:
        """The value of each edition that lives, the oldest first."""
        return self._living()

    def on_change(
        self,
        *,
        adopted: Callable[[T], None] | None = None,
        retired: Callable[[T], Awaitable[None]] | None = None,
    ) -> None:
        """Be told of a new value once it is the current one, and of an old one that no edition has."""
        self._adopted += [adopted] if adopted else []
        self._retired += [retired] if retired else []

    def adopt(self, value: T) -> None:
        """Tell whoever listens that `value` is the current one."""
        for tell in self._adopted:
            try:
                tell(value)
            except Exception:  # the swap is done: a listener's fault must not undo half of it
                log.exception("edition_not_adopted")

    async def retire(self, value: T) -> None:
        """Tell whoever listens that nobody has `value` any more."""
        for tell in self._retired:
            try:
                await tell(value)
            except Exception:  # what is left over must not keep the rest from being closed
                log.exception("edition_not_retired")


class Editions:
    """The editions of one process. Use with `async with`, or call `aclose`."""

    def __init__(self, book: Book) -> None:
        self._newest = Edition(1, book)
        self._living = [self._newest]
        self._parts: dict[str, tuple[Part[Any], Build[Any]]] = {}
        self._swapping = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    @classmethod
    def fixed(cls, *values: BaseModel) -> Editions:
        """Editions over a few settings, for a class that is used without a container."""
        return cls(Book(Context.current(), {type(value): value for value in values}, {}))

    async def __aenter__(self) -> Editions:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def newest(self) -> Edition:
        return self._newest

    def now(self) -> Edition:
        """The edition that this task holds, else the newest."""
        pinned = _pinned.get()
        # A task that outlived its turn, or works for another Editions, has no use for what is pinned.
        return pinned if pinned is not None and pinned in self._living else self._newest

    @contextmanager
    def hold(self) -> Iterator[Edition]:
        """Keep to the newest edition within the block, and in tasks that are made there."""
        edition = self._newest
        edition.holders += 1
        token = _pinned.set(edition)
        try:
            yield edition
        finally:
            _pinned.reset(token)
            self._let_go(edition)

    def task(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `work` in a task and a context of its own that keeps to the edition of now until it ends."""
        edition, context = self.now(), contextvars.Context()
        edition.holders += 1
        context.run(_pinned.set, edition)
        task = asyncio.create_task(work, name=name, context=context)
        task.add_done_callback(lambda _: self._let_go(edition))
        return task

    @asynccontextmanager
    async def part(self, name: str, build: Build[T]) -> AsyncIterator[Part[T]]:
        """Add a part, built for the newest edition now and for each new one, until the block ends.

        Args:
            name: Unique; for logs.
            build: Makes the value from a book and the value before (None at
                first), or raises. It opens nothing that costs when it is thrown away.

        Raises:
            WaystationError: What `build` raises.
        """
        async with self._swapping:
            assert name not in self._parts, f"two parts are called '{name}'"  # noqa: S101 - a fault of ours
            value = await build(self._newest.book, None)
            for edition in self._living:
                edition.values[name] = value
            part: Part[T] = Part(
                lambda: self.now().values[name], lambda: [edition.values[name] for edition in self._living]
            )
            self._parts[name] = (part, build)
        try:
            yield part
        finally:
            async with self._swapping:
                del self._parts[name]

    async def swap(self, book: Book) -> Edition:
        """Make `book` the newest edition, when every part accepts it.

        Raises:
            WaystationError: A part does not; the newest edition is the one it was.
        """
        async with self._swapping:
            before, made = self._newest, dict[str, Any]()
            try:
                for name, (_, build) in self._parts.items():
                    made[name] = await build(book, before.values[name])
            except BaseException:
                for name in reversed(made):
                    await self._drop(name, made[name])
                raise
            self._newest = Edition(before.number + 1, book, made)
            self._living.append(self._newest)
            for name, (part, _) in self._parts.items():
                part.adopt(made[name])
            self._retire_unless_held(before)
            return self._newest

    async def aclose(self) -> None:
        """Wait until what was let go is closed."""
        while self._retiring:
            await asyncio.wait(self._retiring)

    def _let_go(self, edition: Edition) -> None:
        edition.holders -= 1
        self._retire_unless_held(edition)

    def _retire_unless_held(self, edition: Edition) -> None:
        if edition.holders or edition is self._newest:
            return
        self._living.remove(edition)
        # A context of its own: closing is nobody's turn.
        task = asyncio.create_task(self._retire(edition), context=contextvars.Context())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, edition: Edition) -> None:
        for name, value in edition.values.items():
            await self._drop(name, value)

    async def _drop(self, name: str, value: Any) -> None:
        if name in self._parts and not any(e.values.get(name) is value for e in self._living):
            await self._parts[name][0].retire(value)


class EntryResources(Generic[E, R]):
    """Resources behind the entries of a configuration: a client per model, a session per server.

    One is made when its entry is first used. It stays for every edition that has an
    equal entry under the same name, and is closed when none is left.

    Args:
        living: Gives the entries, by name, of each edition that lives.
        make: Makes a resource; cheap, for it is called where one is needed.
        close: Closes one.
    """

    def __init__(
        self,
        living: Callable[[], Iterable[Mapping[str, E]]],
        make: Callable[[str, E], R],
        close: Callable[[R], Awaitable[None]],
    ) -> None:
        self._living = living
        self._make = make
        self._close = close
        self._found: dict[str, list[tuple[E, R]]] = {}

    def get(self, name: str, entry: E) -> R:
        """The resource of this entry."""
        kept = self._found.setdefault(name, [])
        for known, resource in kept:
            if known is entry or known == entry:
                return resource
        resource = self._make(name, entry)
        kept.append((entry, resource))
        return resource

    async def tidy(self) -> None:
        """Close what no living edition has an entry for."""
        living = list(self._living())
        idle: list[R] = []
        for name, kept in list(self._found.items()):
            needed = [entries[name] for entries in living if name in entries]
            idle += [resource for entry, resource in kept if entry not in needed]
            self._found[name] = [(entry, resource) for entry, resource in kept if entry in needed]
        await self._close_all(idle)

    async def aclose(self) -> None:
        """Close everything; one that fails does not keep the others open."""
        found, self._found = self._found, {}
        await self._close_all([resource for kept in found.values() for _, resource in kept])

    async def _close_all(self, resources: list[R]) -> None:
        closing = [asyncio.ensure_future(self._close(resource)) for resource in resources]
        if not closing:
            return
        try:
            await asyncio.wait(closing)
        except asyncio.CancelledError:
            await asyncio.wait(closing)  # each is bounded by itself
            raise
        problems = [problem for one in closing if (problem := one.exception())]
        if problems:
            raise problems[0]
