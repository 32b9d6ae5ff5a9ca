"""One container per process: modules contribute providers, constructors receive what they need."""

from __future__ import annotations

from collections.abc import Sequence

from dishka import AsyncContainer, Provider, Scope, make_async_container
from dishka.exceptions import DishkaError

from core.errors import ConfigInvalid
from core.registry import Module, files_of, sections_of
from core.settings import Book, Context, Places, read_book


def build_container(
    modules: Sequence[Module], book: Book, *others: Provider
) -> AsyncContainer:
    """The container of `modules`; later providers override earlier ones.

    Raises:
        ConfigInvalid: Something that a constructor needs is provided by nobody.
    """
    root = Provider(scope=Scope.APP)
    root.provide(lambda: book, provides=Book)
    root.provide(lambda: book.context.places, provides=Places)
    try:
        return make_async_container(root, *(m.provider() for m in modules), *others)
    except DishkaError as error:
        raise ConfigInvalid(f"the services do not fit together: {error}") from error


def open_module(module: Module, context: Context | None = None, *others: Provider) -> AsyncContainer:
    """A container with this module alone, for its own command line and tests."""
    book = read_book(
        sections_of([module]), files_of([module]), context or Context.current(), partial=True
    )
    return build_container([module], book, *others)
