"""One container per process: modules contribute providers, constructors receive what they need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from dishka import AsyncContainer, Provider, Scope, make_async_container
from dishka.exception_base import DishkaError
from dishka.exceptions import CycleDependenciesError, NoFactoryError

from core.errors import ConfigInvalid
from core.lifecycle import StartProgress
from core.platform import SECTIONS, PlatformProvider
from core.registry import Module, files_of, loaded, sections_of
from core.settings import Book, Context, Places, read_book
from core.settings.book import Editions

T = TypeVar("T")


def build_container(modules: Sequence[Module], book: Book, *others: Provider) -> AsyncContainer:
    """The container of `modules`; later providers override earlier ones.

    Raises:
        ConfigInvalid: Something that a constructor needs is provided by nobody.
    """
    root = Provider(scope=Scope.APP)
    root.provide(lambda: book, provides=Book)
    root.provide(lambda: book.context.places, provides=Places)
    root.provide(_editions)
    root.provide(_progress)
    try:
        own = [loaded(module.provider)() for module in modules]
        return make_async_container(root, PlatformProvider(), *own, *others)
    except DishkaError as error:
        raise ConfigInvalid(f"the services do not fit together: {_reason(error)}") from error


def _progress() -> StartProgress:
    return StartProgress()


async def _editions(book: Book) -> AsyncIterator[Editions]:
    """The start book is the first edition; what uses editions is closed before them."""
    async with Editions(book) as editions:
        yield editions


def _reason(error: DishkaError) -> str:
    """Who needs what, in one sentence."""
    if isinstance(error, NoFactoryError):
        needed = _name(error.requested.type_hint)
        by = (
            f"{_name(error.path[-1].provides.type_hint)} needs {needed}"
            if error.path
            else f"{needed} is asked for"
        )
        return f"{by}, and no module provides it"
    if isinstance(error, CycleDependenciesError):
        return "they need each other in a circle: " + ", ".join(
            _name(f.provides.type_hint) for f in error.path
        )
    return " ".join(str(error).split())


def _name(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint))


def open_module(module: Module, context: Context | None = None, *others: Provider) -> AsyncContainer:
    """A container with this module alone, for its own command line and tests."""
    own = sections_of([module])
    platform = [section for section in SECTIONS if section not in own]
    book = read_book([*own, *platform], files_of([module]), context or Context.current(), partial=True)
    return build_container([module], book, *others)


@asynccontextmanager
async def opened_service(
    module: Module, service: type[T], context: Context | None = None
) -> AsyncIterator[tuple[T, AsyncContainer]]:
    """A service of a module that is opened alone, with its container; closed at the end."""
    container = open_module(module, context)
    try:
        yield await container.get(service), container
    finally:
        await container.close()
