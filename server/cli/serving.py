"""`waystation serve`: in one process or several, all of it or some modules."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping, Sequence
from typing import Any

from core.cli import progress_bar
from core.home import private_files
from core.settings import Context
from core.settings.platform import ServerSettings


def start(given: Mapping[str, Any], *, lists: Mapping[str, str | None], modules: Sequence[str]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        given: Settings of the section `server`, by key; None leaves one as it is.
        lists: The same, as words between commas.
        modules: Serve these alone, by comma or one by one.

    Raises:
        WaystationError: It cannot start.
    """
    from server.serve import loop_factory, read_settings, serve, serve_apart, serve_many

    read = {**given, **{key: None if words is None else parts_of(words) for key, words in lists.items()}}
    sections: dict[str, Any] = {"server": {key: value for key, value in read.items() if value is not None}}
    names = parts_of(",".join(modules))
    apart = bool(names) and _without_others(names, sections)
    context = Context.current(**sections)
    if not apart and read_settings(context)[ServerSettings].workers > 1:
        gc.enable()
        with private_files():
            serve_many(context)
        return
    with (
        private_files(),
        progress_bar("indexing") as progress,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        if apart:
            runner.run(serve_apart(context, names, progress=progress))
        else:
            runner.run(serve(context, progress=progress))


def parts_of(words: str) -> list[str]:
    """Words that stand between commas."""
    return [word.strip() for word in words.split(",") if word.strip()]


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
