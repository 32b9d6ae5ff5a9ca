"""`waystation serve`: the whole service, a role of it, or some modules alone."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli import progress_bar

if TYPE_CHECKING:
    from core.settings.roles import RoleSettings


# Options that say who does what, by the names of their settings.
_OPTIONS = {
    "role": "--role",
    "executes": "--executes",
    "runs_at_once": "--at-once",
    "tags": "--tags",
}
_ALL_OPTIONS = {**_OPTIONS, "host": "--host", "port": "--port", "workers": "--workers"}


def serve_command(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="TCP port; 0 picks a free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Server processes.")] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option(help="Serve these modules alone, `rag` for example; by comma, or repeated."),
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="all, api (answers, and hands runs to workers) or worker (executes).")
    ] = None,
    executes: Annotated[str | None, typer.Option(help="What a worker does: runs,tasks or one.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Runs that a worker takes up at once.")] = None,
    tags: Annotated[str | None, typer.Option(help="Take up only runs with these tags; by comma.")] = None,
) -> None:
    """Start the service."""
    import asyncio

    from core.collecting import settle
    from core.home import private_files
    from core.settings import Context
    from core.settings.platform import ServerSettings
    from server.serve import loop_factory, read_settings, serve, serve_apart, serve_many

    settle()  # an index may be made before the service is ready, and leaves something behind
    given = {
        "host": host,
        "port": port,
        "workers": workers,
        "role": role,
        "runs_at_once": at_once,
        "executes": parts_of(executes),
        "tags": parts_of(tags),
    }
    sections: dict[str, Any] = {"server": {k: v for k, v in given.items() if v is not None}}
    names = parts_of(",".join(modules or ())) or []
    apart = names and _without_others(names, sections)
    context = Context.current(**sections)
    with _told_by_option():
        settings = read_settings(context)[ServerSettings]
    _check_options(sections["server"], settings, apart=bool(apart))
    if apart:
        with (
            private_files(),
            progress_bar("indexing") as progress,
            asyncio.Runner(loop_factory=loop_factory()) as runner,
        ):
            runner.run(serve_apart(context, names, progress=progress))
        return
    if settings.workers > 1:
        with private_files():
            serve_many(context)
        return
    with (
        private_files(),
        progress_bar("indexing") as progress,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(serve(context, progress=progress))


@contextmanager
def _told_by_option() -> Iterator[None]:
    """What is wrong with a value that stands in the command is told by the option, as wrong usage."""
    from core.settings import ConfigErrors
    from core.settings.problems import GIVEN

    try:
        yield
    except ConfigErrors as error:
        for problem in error.problems:
            name = problem.key.split(".")[1:2]
            option = _ALL_OPTIONS.get("".join(name)) if problem.file == GIVEN else None
            if option:
                value = "" if problem.value is None else f" (got {problem.value})"
                raise typer.BadParameter(f"{problem.message}{value}", param_hint=option) from None
        raise


def _check_options(given: Mapping[str, Any], settings: RoleSettings, *, apart: bool) -> None:
    """Raises typer.BadParameter where an option changes nothing: whoever gives it expects something."""
    from core.settings.roles import without_effect

    idle, why = without_effect(settings)
    if apart:
        idle, why = frozenset(_OPTIONS), "these modules are served without turns, so that there are no roles"
    for name, option in _OPTIONS.items():
        if name in given and name in idle:
            raise typer.BadParameter(f"it has no effect here: {why}", param_hint=option)


def parts_of(words: str | None) -> list[str] | None:
    """Words that stand between commas."""
    return None if words is None else [word.strip() for word in words.split(",") if word.strip()]


def _without_others(names: list[str], sections: dict[str, Any]) -> bool:
    """True where no turn works with these modules alone; otherwise the others are switched off."""
    from core.registry import discover
    from graph.wiring.apart import named_modules, turns_work

    everything = discover()
    chosen = named_modules(names, everything)
    if not turns_work(chosen, everything):
        return True
    kept = {module.name for module in chosen}
    sections["modules"] = {"disabled": [m.name for m in everything if m.name not in kept]}
    return False
