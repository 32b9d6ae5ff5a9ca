"""Modules start in the order of their needs, a deadline each, and stop in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog
from dishka import AsyncContainer
from dishka.exceptions import ExitError

from core.database.outage import storage_outage
from core.errors import ConfigInvalid, Unavailable, WaystationError
from core.registry import Module, loaded
from core.settings import nearest
from core.settings.platform import ModulesSettings

log = structlog.get_logger(__name__)

STOP_SECONDS = 10.0


class ModuleNotStarted(Unavailable):
    """A module that every turn needs did not start."""

    code = "module_not_started"
    title = "A module did not start"


class Phase(StrEnum):
    """What became of a module at start."""

    RUNNING = "running"
    DISABLED = "disabled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModuleState:
    """A module and what became of it; `reason` says why it does not run."""

    module: Module
    phase: Phase = Phase.RUNNING
    reason: str = ""


@dataclass(slots=True)
class StartProgress:
    """Whom modules tell how far a long start has come: (done, in all, what)."""

    tell: Callable[[int, int, str], None] | None = field(default=None)


class StartFailed(Exception):
    """An optional module did not start; the others go on without it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def module_states(modules: Sequence[Module], settings: ModulesSettings) -> list[ModuleState]:
    """Every module; those that the settings switch off or whose code cannot be loaded do not run.

    Nor do those that need one of them.

    Raises:
        ConfigInvalid: A name is unknown, or no turn works without the module.
    """
    names = [module.name for module in modules]
    for name in settings.disabled:
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean '{near}'?" if near else f"modules: {', '.join(names)}"
            raise ConfigInvalid(f"modules.disabled: there is no module '{name}'; {hint}")
    found = [ModuleState(module) for module in modules]
    for name in settings.disabled:
        found = without(found, name, Phase.DISABLED, "modules.disabled names it")
    for module in running(found):
        if reason := _not_loaded(module):
            found = without(found, module.name, Phase.FAILED, reason)
    return found


def _not_loaded(module: Module) -> str:
    """Why what the module declares cannot be loaded; "" when it can."""
    try:
        module.made_provider()
        for step in module.all_steps:
            loaded(step.run)
        if module.routes:
            loaded(module.routes)()
    except (ImportError, AttributeError) as error:
        # Python adds the path of the file in brackets.
        return f"it cannot be loaded: {str(error).split(' (')[0]}"
    except Exception as error:  # the code is somebody else's, and the service can do without it
        log.exception("module_not_loaded", module=module.name)
        return f"it cannot be loaded ({type(error).__name__}); the log has the details"
    return ""


def without(found: Sequence[ModuleState], name: str, phase: Phase, reason: str) -> list[ModuleState]:
    """The states when module `name` does not run, nor those that need it.

    Raises:
        ConfigInvalid: One of them is required.
    """
    gone = {name: (phase, reason)}
    result = []
    for before in found:
        module = before.module
        lacking = next((need for need in module.needs if need in gone), None)
        if lacking is not None:
            gone[module.name] = (gone[lacking][0], f"it needs '{lacking}', which does not run")
        if module.name not in gone or before.phase is not Phase.RUNNING:
            result.append(before)
            continue
        phase_of, why = gone[module.name]
        if module.required:
            raise ConfigInvalid(f"no turn works without the module '{module.name}': {why}")
        result.append(replace(before, phase=phase_of, reason=why))
    return result


def running(found: Iterable[ModuleState]) -> list[Module]:
    return [state.module for state in found if state.phase is Phase.RUNNING]


async def start(modules: Sequence[Module], container: AsyncContainer) -> None:
    """Start each module; on a failure those that have started are stopped again.

    Raises:
        ModuleNotStarted: A required module failed.
        StartFailed: An optional one did.
    """
    for place, module in enumerate(modules):
        reason = await _start_one(module, container)
        if not reason:
            continue
        await stop(modules[:place], container)
        log.error("module_not_started", module=module.name, reason=reason)
        if module.required:
            raise ModuleNotStarted(f"the module '{module.name}' did not start: {reason}")
        raise StartFailed(module.name, reason)


async def _start_one(module: Module, container: AsyncContainer) -> str:
    """Why the module did not start; "" when it did."""
    # The five steps of every turn open what they need by their modules' own start.
    further = [step for step in module.all_steps if not step.part]
    try:
        async with asyncio.timeout(module.start_seconds) as deadline:
            await module.open(container)
            for kind in (loaded(step.run) for step in further):
                if isinstance(kind, type):
                    await container.get(kind)
    except ConfigInvalid:
        raise  # its lines name file and key: whoever wrote them has to see them as they are
    except WaystationError as error:
        return error.detail
    except Exception as error:
        if deadline.expired():
            return f"it was not ready within {module.start_seconds:g} s"
        if away := storage_outage(error):
            return away.detail
        log.exception("module_start_crashed", module=module.name)
        return f"an unforeseen fault ({type(error).__name__}); the log has the details"
    return ""


async def stop(modules: Sequence[Module], container: AsyncContainer) -> None:
    """Stop each module, the last started first; one that fails keeps none of the others from it."""
    for module in reversed(modules):
        if module.stop is None:
            continue
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await loaded(module.stop)(container)
        except Exception:
            log.exception("module_not_stopped", module=module.name)


async def close(container: AsyncContainer) -> None:
    """Close every service, the last opened first; one that fails is logged, and the others still close."""
    try:
        await container.close()
    except ExitError as group:
        for error in group.exceptions:
            log.error("service_not_closed", reason=type(error).__name__, exc_info=error)  # noqa: TRY400 - its own
