"""The modules of this service: what each declares, found under `nodes/` and in an entry-point group.

A module is a folder with a `module.py` that has a `MODULE`. Nothing here knows
one by name.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import ConfigInvalid
from core.steps import Step

if TYPE_CHECKING:
    import typer
    from dishka import AsyncContainer, Provider

    from core.health import Health
    from core.settings import ConfigFile, Section
    from core.task_queue.task import Task

T = TypeVar("T")

ENTRY_POINTS = "waystation.modules"
# Of the modules that ship with the service; others name their own.
VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Module:
    """What a module declares.

    Where a string is allowed it is `package.module:name`: what stands there is imported when it is used,
    so that a declaration costs nothing. Sequences are made late by `late("package.module:NAME")`.

    Args:
        name: Its folder and its name in commands and reports.
        needs: Modules that start before it.
        provider: Makes its dishka provider (APP scope): the class, or a function; none where it brings no
            services.
        service: The class of its main service, whose `check()` is the module's health.
        eager: The service is made at start, and its `start()` awaited where it has one.
        check: The module's health, asked of the container; in place of the service's.
        cli: Its typer app, also under `waystation <command>`.
        command: The word for `waystation <command>`; left out, its name.
        step: Its step of the graph.
        steps: Its steps, where it brings several.
        routes: Makes its FastAPI router, served under `/<command>`.
        tasks: What it lets the task queue do.
        start: What it does once at start, in place of the service's; a module without one only opens
            when first used. A step beyond the five is made at start as well.
        start_seconds: How long that may take.
        stop: What it does before the services close.
        bench: Opens the tools that it brings, a `core.tool_bench.ToolBench`, for another's command line.
        lend: Makes a `core.tool_bench.LentServer` of an entry, for another module's use.
        objects: Makes a `core.objects.Objects` of an address, for another module's use.
        events: Names of the events that it publishes, which webhooks may ask for; None where it does not say.
        reader: Opens what reads documents for other modules, a `nodes.file_storage.ports.DocumentReader`;
            called with `most_bytes=` and `seconds=` for one document.
        required: Without it no turn works: when it does not start, nothing does.
    """

    name: str
    summary: str
    command: str = ""
    cli: typer.Typer | str = ""
    provider: Callable[[], Provider] | str = ""
    version: str = VERSION
    service: str = ""
    eager: bool = False
    check: Callable[[AsyncContainer], Awaitable[Health]] | None = None
    sections: Sequence[Section] = ()
    files: Sequence[ConfigFile] = ()
    needs: tuple[str, ...] = ()
    step: Step | None = None
    steps: tuple[Step, ...] = ()
    routes: Callable[[], Any] | str | None = None
    tasks: Sequence[Task[Any]] = ()
    start: Callable[[AsyncContainer], Awaitable[None]] | str | None = None
    start_seconds: float = 60.0
    stop: Callable[[AsyncContainer], Awaitable[None]] | str | None = None
    bench: Callable[[], AbstractAsyncContextManager[Any]] | str | None = None
    lend: Callable[..., Any] | str | None = None
    objects: Callable[..., Any] | str | None = None
    reader: Callable[..., AbstractAsyncContextManager[Any]] | str | None = None
    events: tuple[str, ...] | None = None
    required: bool = True

    def __post_init__(self) -> None:
        if not self.command:
            object.__setattr__(self, "command", self.name)

    def made_provider(self) -> Provider:
        """A new provider of its services; an empty one where it brings none."""
        from dishka import Provider, Scope  # noqa: PLC0415 - slow; a declaration is read without it

        made: Provider = loaded(self.provider)() if self.provider else Provider(scope=Scope.APP)
        return made

    @property
    def all_steps(self) -> tuple[Step, ...]:
        return (self.step, *self.steps) if self.step else self.steps

    async def health(self, container: AsyncContainer) -> Health:
        """Its own check, or its service's; a module that has neither is healthy."""
        if self.check is not None:
            return await self.check(container)
        if not self.service:
            from core.health import healthy  # noqa: PLC0415 - a declaration asks nobody

            return healthy()
        found: Health = await (await container.get(loaded(self.service))).check()
        return found

    async def open(self, container: AsyncContainer) -> None:
        """What it does once at start."""
        if self.start is not None:
            await loaded(self.start)(container)
        elif self.eager:
            service = await container.get(loaded(self.service))
            if hasattr(service, "start"):
                await service.start()


def loaded(target: Any) -> Any:
    """What stands at `package.module:name`; anything but a string is it already."""
    return pkgutil.resolve_name(target) if isinstance(target, str) else target


class _Late(Sequence[T]):
    """Imported when somebody looks at it."""

    def __init__(self, target: str) -> None:
        self._target = target

    @property
    def _found(self) -> tuple[T, ...]:
        return tuple(loaded(self._target))

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, place: Any) -> Any:
        return self._found[place]


def late(target: str) -> Sequence[Any]:
    """What a module declares of a kind: a sequence at `package.module:NAME`, imported when it is read."""
    return _Late(target)


def declared(package: str = "nodes") -> list[Module]:
    """Every module of `package` and of the entry points, dependencies first; what each declares is not read.

    Raises:
        ConfigInvalid: Two share a name or a command, one needs what is not there, or they need each other.
    """
    found = [*_in_package(package), *_in_entry_points()]
    by_name: dict[str, Module] = {}
    for module in found:
        if module.name in by_name:
            raise ConfigInvalid(f"two modules are called '{module.name}'; rename or remove one")
        by_name[module.name] = module
    _declared_once("command", [(m.command, m.name) for m in found])
    return _ordered(by_name)


def discover(package: str = "nodes") -> list[Module]:
    """As `declared`, and nothing that they declare is there twice.

    Raises:
        ConfigInvalid: As `declared`, or two modules declare the same section, file, step or task.
    """
    found = declared(package)
    _declared_once("section", [(section.name, m.name) for m in found for section in m.sections])
    _declared_once("file kind", [(file.kind, m.name) for m in found for file in m.files])
    _declared_once("step", [(step.name, m.name) for m in found for step in m.all_steps])
    _declared_once("task", [(task.name, m.name) for m in found for task in m.tasks])
    return found


def _declared_once(what: str, declared: Sequence[tuple[str, str]]) -> None:
    owners: dict[str, str] = {}
    for name, owner in declared:
        if name in owners:
            raise ConfigInvalid(f"the {what} '{name}' is declared by '{owners[name]}' and by '{owner}'")
        owners[name] = owner


def _in_package(package: str) -> list[Module]:
    root = importlib.import_module(package)
    names = sorted(info.name for info in pkgutil.iter_modules(root.__path__) if info.ispkg)
    declaring = [n for n in names if any((Path(p) / n / "module.py").is_file() for p in root.__path__)]
    return [_module(f"{package}.{name}.module") for name in declaring]


def _module(path: str) -> Module:
    return _loaded(f"{path}.MODULE", lambda: importlib.import_module(path).MODULE)


def _in_entry_points() -> list[Module]:
    return [_loaded(f"entry point '{p.name}'", p.load) for p in _points(_installed())]


@lru_cache(maxsize=1)
def _points(_where: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    """Read once while no distribution comes or goes: to ask each takes a hundredth of a second."""
    return tuple(entry_points(group=ENTRY_POINTS))


def _installed() -> tuple[tuple[str, int], ...]:
    """Where distributions are found, and when one came or went there last."""
    found = []
    for folder in map(Path, sys.path):
        with suppress(OSError):
            found.append((str(folder), folder.stat().st_mtime_ns))
    return tuple(found)


def _loaded(what: str, load: Callable[[], Any]) -> Module:
    try:
        declared = load()
    except (ImportError, AttributeError) as error:
        reason = str(error).split(" (")[0]  # Python adds the path of the file in brackets
        raise ConfigInvalid(f"{what} cannot be loaded: {reason}") from error
    if not isinstance(declared, Module):
        raise ConfigInvalid(f"{what} is not a core.registry.Module")
    return declared


def _ordered(modules: dict[str, Module]) -> list[Module]:
    done: list[Module] = []
    waiting = dict(modules)
    while waiting:
        ready = [m for m in waiting.values() if not any(n in waiting for n in m.needs)]
        for module in ready:
            missing = [n for n in module.needs if n not in modules]
            if missing:
                raise ConfigInvalid(f"module '{module.name}' needs '{missing[0]}', which is not there")
            done.append(waiting.pop(module.name))
        if not ready:
            raise ConfigInvalid(f"modules need each other in a circle: {', '.join(sorted(waiting))}")
    return done


def sections_of(modules: Sequence[Module]) -> list[Section]:
    return [section for module in modules for section in module.sections]


def files_of(modules: Sequence[Module]) -> list[ConfigFile]:
    return [file for module in modules for file in module.files]
