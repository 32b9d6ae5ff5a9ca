"""How packages of others are imported: no more of them than is used here, and nothing of theirs is changed.

`watch()`, which `server` calls, makes it so for the process; what is loaded already stays as it is. Most of a
start is imports.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

# Packages of which others import a part, and whose own file imports all the rest: that file waits until
# something is asked of the package itself.
WAITING = frozenset(
    {
        "langgraph_sdk",  # its clients, with one for HTTP and one for WebSockets; LangGraph wants a type
        "langsmith.types",  # 190 files of the forms of its API; its client wants one of them
        "mcp.server",  # FastMCP with its settings; the SDK's client wants the types of sessions
        "sqlalchemy.ext.asyncio",  # the ORM; we want engines
    }
)
# Files with many pydantic models of which few are ever used: each is built when it is used first, pydantic's
# `defer_build`.
DEFERRED = frozenset({"fastapi.openapi.models", "langsmith.schemas", "mcp.types"})

# Packages that take others along where those happen to be installed, for what is used of them nowhere here.
# To them alone, and while they load, those are not there; who has loaded them already keeps them.
WITHOUT = {
    "httpx": frozenset({"pygments", "rich"}),  # for its command
    "httpx2": frozenset({"pygments", "rich"}),
    "structlog": frozenset({"rich"}),  # for tracebacks in colour, with Pygments and its lexers
    "tenacity": frozenset({"tornado"}),  # for coroutines of Tornado; a notebook has it before us
}


_ASKED = threading.Lock()


class _Waiting(ModuleType):
    """A package whose own file has not been executed; parts of it can be imported."""

    def __getattr__(self, name: str) -> Any:
        package = self.__name__
        if package not in _finder.done and not name.startswith("_") and find_spec(f"{package}.{name}"):
            return importlib.import_module(f"{package}.{name}")
        return getattr(_whole(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Python sets its own names, and a part that was imported. What anybody else sets is for everybody.
        is_part = isinstance(value, ModuleType) and self.__name__ not in _finder.done
        if is_part or name.startswith("__"):
            super().__setattr__(name, value)
        else:
            setattr(_whole(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_whole(self), name)

    def __dir__(self) -> list[str]:
        return dir(_whole(self))


def _whole(waiting: _Waiting) -> ModuleType:
    """The package, its own file executed, with the parts that were imported before.

    Raises:
        Exception: What the file raises, to everyone who asks.
    """
    package = waiting.__name__
    with _ASKED:
        _finder.done.add(package)
        if sys.modules.get(package) is waiting:
            del sys.modules[package]
    # Not under our lock: Python has one for each name, and knows how to wait for several.
    whole = importlib.import_module(package)
    for part, module in list(vars(waiting).items()):
        if isinstance(module, ModuleType):
            vars(whole).setdefault(part, module)
            vars(waiting).pop(part, None)
    return whole


class _WaitingLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Waiting
        # To whoever asks for its files it is the package that it will be.
        assert module.__spec__ is not None  # noqa: S101 - set by Python before
        module.__spec__.loader = module.__loader__ = self._loader


class _DeferringLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        from pydantic import BaseModel, RootModel  # noqa: PLC0415 - what is imported here has models

        assert module.__spec__ is not None  # noqa: S101 - set by Python before
        module.__spec__.loader = module.__loader__ = self._loader
        before = [(base, base.model_config) for base in (BaseModel, RootModel)]
        for base, config in before:
            base.model_config = {**config, "defer_build": True}
        try:
            self._loader.exec_module(module)
        finally:
            for base, config in before:
                base.model_config = config


class _WithoutLoader(Loader):
    def __init__(self, loader: Loader, others: frozenset[str]) -> None:
        self._loader = loader
        self._others = others

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None  # noqa: S101 - set by Python before
        module.__spec__.loader = module.__loader__ = self._loader
        before = _hidden.packages
        _hidden.packages = before | self._others
        try:
            self._loader.exec_module(module)
        finally:
            _hidden.packages = before


class _Hidden(threading.local):
    """The packages that this thread does not find while another one loads, and what it asks others for."""

    packages: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()


_hidden = _Hidden()


def _is_hidden(name: str) -> bool:
    top = name.partition(".")[0]
    # Who has a package finds its parts too: half of it would be a surprise.
    return top in _hidden.packages and top not in sys.modules


def _found_by_others(name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """As Python finds it without us: also by finders of others that stand behind us, as those of agents."""
    before = _hidden.asked
    _hidden.asked = before | {name}  # they may ask all finders for it, and so us
    try:
        behind = sys.meta_path[sys.meta_path.index(_finder) + 1 :]
        specs = (finder.find_spec(name, path, target) for finder in behind if hasattr(finder, "find_spec"))
        return next((spec for spec in specs if spec is not None), None)
    finally:
        _hidden.asked = before


class _Finder(MetaPathFinder):
    def __init__(self) -> None:
        self.done: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if _is_hidden(fullname):
            raise ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)
        waits = fullname in WAITING and fullname not in self.done
        ours = waits or fullname in DEFERRED or fullname in WITHOUT
        if not ours or fullname in _hidden.asked:
            return None
        spec = _found_by_others(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _loader_of(fullname, spec.loader, waits=waits)
        return spec


def _loader_of(name: str, loader: Loader, *, waits: bool) -> Loader:
    if name in WITHOUT:
        return _WithoutLoader(loader, WITHOUT[name])
    return _WaitingLoader(loader) if waits else _DeferringLoader(loader)


_finder = _Finder()


def watch() -> None:
    """From here on the packages above are imported as it is said there; a second time changes nothing."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
