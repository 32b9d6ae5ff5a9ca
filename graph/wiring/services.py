"""The composition root: modules, settings and database become one container and the steps of the graph."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from dishka import AsyncContainer, Provider
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core import lifecycle
from core.container import build_container
from core.database.health import DATABASE
from core.errors import StorageUnavailable
from core.health import Check, Health, HealthBoard, failed
from core.home import home_health, is_open, make_home
from core.lifecycle import ModuleState, Phase, StartFailed, StartProgress
from core.observability import quiet_logging, start_telemetry
from core.registry import Module, discover, files_of, sections_of
from core.settings import Book, Context, read_book
from core.settings.platform import ModulesSettings, TelemetrySettings
from core.steps import Step
from graph.flow.steps import check_places
from graph.wiring import background
from graph.wiring.background import Background
from graph.wiring.bridges import bridges
from graph.wiring.nodes import node_provider
from graph.wiring.storage import Storage
from graph.wiring.turn_provider import TurnProvider

log = structlog.get_logger(__name__)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Services:
    """What a process of ours runs on."""

    module_states: list[ModuleState]
    book: Book
    container: AsyncContainer
    health: HealthBoard


@asynccontextmanager
async def open_services(
    context: Context | None = None,
    providers: Sequence[Provider] = (),
    *,
    progress: Progress | None = None,
    worker: bool = False,
    idle: bool = False,
    steps: Sequence[Step] = (),
) -> AsyncIterator[Services]:
    """Find the modules, read the configuration, build and start everything; close it in reverse order.

    An optional module that does not start is left out, and the health says why.

    Args:
        providers: Override what the modules provide (tests, notebooks).
        progress: Told how far a long start has come.
        worker: Run background tasks here too.
        steps: Steps of the graph that no module brings.
        idle: Start nothing, no tool server and no index: for whoever looks at what is stored.

    Raises:
        ConfigErrors: With every problem in the configuration.
        ConfigInvalid: Modules or services do not fit together.
        ModuleNotStarted: A module that every turn needs did not start.
    """
    quiet_logging()
    modules = discover()
    check_places(modules, steps)
    book = read_book(sections_of(modules), files_of(modules), context or Context.current())
    _at_home(book.context.places.home)
    states = lifecycle.module_states(modules, book[ModulesSettings])
    while True:
        running = lifecycle.running(states)
        nodes = node_provider(running, modules, steps)
        container = _container(running, book, [nodes, *providers], worker=worker)
        try:
            (await container.get(StartProgress)).tell = progress
            # First of all: without it servers would start and documents be indexed for nothing.
            await container.get(AsyncEngine)
            if not idle:
                await lifecycle.start(running, container)
        except StartFailed as error:
            await lifecycle.close(container)
            states = lifecycle.without(states, error.name, Phase.FAILED, error.reason)
        except BaseException:
            await lifecycle.close(container)
            raise
        else:
            break
    # Whatever fails from here on, what was started is stopped; telemetry hears of that too, so it ends last.
    async with AsyncExitStack() as last, AsyncExitStack() as stack:
        stack.push_async_callback(lifecycle.close, container)
        if not idle:
            stack.push_async_callback(lifecycle.stop, running, container)
        telemetry = start_telemetry(book[TelemetrySettings])
        last.push_async_callback(asyncio.to_thread, telemetry.stop)
        if not idle:
            await background.begin(container, book)
            stack.push_async_callback(background.end, container)
        yield Services(states, book, container, _board(states, container, book, serves=worker))


def _at_home(home: Path) -> None:
    try:
        make_home(home)
    except OSError as error:
        raise StorageUnavailable(
            f"the home '{home.name}' cannot be made ({error.strerror}); mend that, or set WAYSTATION_HOME"
        ) from error
    if is_open(home):
        log.warning("home_open_to_others", home=str(home), remedy=f"chmod -R go= {shlex.quote(str(home))}")


def _container(
    modules: Sequence[Module], book: Book, providers: Sequence[Provider], *, worker: bool
) -> AsyncContainer:
    joined = bridges((module.name for module in modules), worker=worker)
    own = (Storage(), TurnProvider(serves=worker), Background(modules, worker=worker))
    return build_container(modules, book, *own, *joined, *providers)


def _board(
    states: Sequence[ModuleState], container: AsyncContainer, book: Book, *, serves: bool
) -> HealthBoard:
    found = [state for state in states if state.phase is not Phase.DISABLED]
    checks = {s.module.name: _check(s, container) for s in found}
    platform = background.checks(container, book, serves=serves)
    return HealthBoard(
        {**checks, **platform, "home": _home_check(book.context.places.home)},
        required=frozenset({DATABASE, *(s.module.name for s in found if s.module.required)}),
    )


def _home_check(home: Path) -> Check:
    async def check() -> Health:
        return await asyncio.to_thread(home_health, home)

    return check


def _check(state: ModuleState, container: AsyncContainer) -> Callable[[], Awaitable[Health]]:
    async def not_started() -> Health:
        return failed(f"it did not start: {state.reason}")

    async def check() -> Health:
        return await state.module.health(container)

    return check if state.phase is Phase.RUNNING else not_started
