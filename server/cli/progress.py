"""A progress bar on stderr for the indexing at start; nothing where nobody looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from graph.wiring.services import Progress as Told


@contextmanager
def indexing() -> Iterator[Told | None]:
    """Gives what `Agent.open` wants to be told with, or None when stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    bar = Progress(
        TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
        console=console, transient=True,
    )  # fmt: skip
    task = bar.add_task("", total=None)

    def told(done: int, total: int, name: str) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=done, total=total, description=name)
        if done >= total:
            bar.stop()

    try:
        yield told
    finally:
        bar.stop()
