"""Imports a library without a package that it imports and that is never used here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


class _Hollow(ModuleType):
    """Has a class of every name, and nothing in any of them."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {})
        setattr(self, name, made)
        return made


class _Hollows(MetaPathFinder, Loader):
    """Finds one package and whatever is looked for in it."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        inside = fullname.partition(".")[0] == self.package
        return ModuleSpec(fullname, self, is_package=True) if inside else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Hollow(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute."""


@contextmanager
def hollow(package: str) -> Iterator[None]:
    """Within the block the package is empty for whoever imports it; where it is loaded already, it is itself.

    Afterwards it can be imported as it is.
    """
    if package in sys.modules:
        yield
        return
    finder = _Hollows(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        # Of a copy, which is made in one go: other threads import meanwhile.
        for name, module in sys.modules.copy().items():
            if isinstance(module, _Hollow):
                sys.modules.pop(name, None)


@contextmanager
def unchecked() -> Iterator[None]:
    """Within the block `overrides` compares no signatures of the classes that are made.

    Where Python is older than 3.12 LanceDB has its methods compared by it, in a third of its own import: that
    was a question of its authors, and is answered.
    """
    try:
        checker: Any = importlib.import_module("overrides")  # comes with LanceDB, where it does
    except ModuleNotFoundError:
        yield
        return
    before = checker.override, checker.EnforceOverrides
    checker.override, checker.EnforceOverrides = _as_it_is, object
    try:
        yield
    finally:
        checker.override, checker.EnforceOverrides = before


def _as_it_is(method: T) -> T:
    return method
