"""Some modules without the graph: for a service that has no turns, and offers what these modules do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from dishka import AsyncContainer

from core import lifecycle
from core.container import build_container
from core.errors import ConfigInvalid, Unavailable
from core.health import Check, Health, HealthBoard
from core.lifecycle import ModuleState, Phase, StartFailed, StartProgress
from core.observability import quiet_logging
from core.registry import Module, discover, files_of, sections_of
from core.settings import Context, nearest, read_book
from graph.wiring.services import Progress, Services
from graph.wiring.storage import Storage

# It says what the files hold, and follows them.
ALWAYS = "config"


def named_modules(names: Sequence[str], modules: Sequence[Module] | None = None) -> list[Module]:
    """The modules of these names, what they need, and the configuration, in the order in which they start.

    Raises:
        ConfigInvalid: There is none of a name.
    """
    known = {module.name: module for module in (discover() if modules is None else modules)}
    wanted: set[str] = set()
    for name in [ALWAYS, *names]:
        if name not in known:
            near = nearest(name, list(known))
            hint = f"did you mean '{near}'?" if near else f"modules: {', '.join(known)}"
            raise ConfigInvalid(f"there is no module '{name[:80]}'; {hint}")
        wanted |= _with_needs(known, name)
    return [module for name, module in known.items() if name in wanted]


def _with_needs(known: dict[str, Module], name: str) -> set[str]:
    return {name}.union(*(_with_needs(known, need) for need in known[name].needs))


def turns_work(modules: Sequence[Module], everything: Sequence[Module] | None = None) -> bool:
    """True where nothing is missing that every turn needs."""
    names = {module.name for module in modules}
    return all(m.name in names for m in (discover() if everything is None else everything) if m.required)


@asynccontextmanager
async def open_apart(
    context: Context, names: Sequence[str], *, progress: Progress | None = None
) -> AsyncIterator[Services]:
    """Start these modules and nothing else; close them in reverse order. The configuration is read whole.

    Raises:
        ConfigErrors: With every problem in the configuration.
        ConfigInvalid: There is no module of a name.
        Unavailable: One of them did not start.
    """
    quiet_logging()
    everything = discover()
    modules = named_modules(names, everything)
    book = read_book(sections_of(everything), files_of(everything), context)
    book.context.places.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    container = build_container(modules, book, Storage())
    try:
        (await container.get(StartProgress)).tell = progress
        await lifecycle.start(modules, container)
        states = [
            ModuleState(module) if module in modules else ModuleState(module, Phase.DISABLED, "--modules")
            for module in everything
        ]
        yield Services(states, book, container, _board(modules, container))
        await lifecycle.stop(modules, container)
    except StartFailed as error:
        raise Unavailable(f"the module '{error.name}' did not start: {error.reason}") from error
    finally:
        await lifecycle.close(container)


def _board(modules: Sequence[Module], container: AsyncContainer) -> HealthBoard:
    names = frozenset(module.name for module in modules)
    return HealthBoard({module.name: _check(module, container) for module in modules}, required=names)


def _check(module: Module, container: AsyncContainer) -> Check:
    async def check() -> Health:
        return await module.health(container)

    return check
