"""What every command line of ours shares: output for people and machines, errors, exit codes.

Exit 0: done. 1: refused or failed. 2: wrong usage. What only some commands need is imported there.
"""

# ruff: noqa: PLC0415 - see above
from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup

from core.collecting import loading
from core.errors import ConfigInvalid, WaystationError
from core.home import private_files

P = ParamSpec("P")
T = TypeVar("T")

PIPE_WIDTH = 10_000

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def make_app(name: str, help_text: str = "", *, completion: bool = False) -> typer.Typer:
    """A typer app with our habits: no pretty tracebacks; `completion` for the whole program alone."""
    app = typer.Typer(
        name=name,
        help=help_text,
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
    )
    # Without one, typer takes a group's only command for the whole program, and its name for an argument.
    app.callback()(lambda: None)
    return app


def command(run: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async function a command: run it, and turn our errors into one line and exit code 1."""

    @wraps(run)
    def outer(*args: P.args, **kwargs: P.kwargs) -> T:
        import asyncio

        try:
            with loading(), _logs_apart(), private_files():
                return asyncio.run(run(*args, **kwargs))
        except WaystationError as error:
            fail(error)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            from core.database.outage import storage_outage

            if (away := storage_outage(error)) is None:
                raise
            fail(away)

    return outer


@contextmanager
def _logs_apart() -> Iterator[None]:
    """Where nobody configured logging, structlog prints to stdout, into the middle of `--json`."""
    import structlog

    from core.observability import configure_logging, reset_logging

    if structlog.is_configured():
        yield
        return
    configure_logging(level="error", as_json=False)
    try:
        yield
    finally:
        reset_logging()


def fail(error: WaystationError) -> NoReturn:
    """Print the error for people on stderr, each finding on its line, and leave with exit code 1."""
    for line in error.detail.splitlines():
        print(f"{error.code}: {line}", file=sys.stderr)
    raise typer.Exit(1)


def loading_app(app: str, help_text: str) -> typer.Typer:
    """A group of commands that is imported when it is used.

    Args:
        app: Where its typer app stands, `package.module:name`.
        help_text: What is said of it beside the others.
    """

    def late(name: str) -> Any:
        return property(lambda _: getattr(_group(app), name), lambda _, nothing: None)

    class Group(TyperGroup):
        commands = late("commands")
        params = late("params")
        callback = late("callback")
        invoke_without_command = late("invoke_without_command")

    return typer.Typer(cls=Group, help=help_text, no_args_is_help=True)


@cache
def _group(app: str) -> TyperGroup:
    try:
        return typer.main.get_group(pkgutil.resolve_name(app))
    except (ImportError, AttributeError) as error:
        reason = str(error).split(" (")[0]  # Python adds the path of the file in brackets
        raise ConfigInvalid(f"the commands '{app}' cannot be loaded: {reason}") from error


def show(
    value: Any,
    *,
    as_json: bool,
    table: Sequence[str] = (),
    rows: Sequence[Sequence[object]] | None = None,
    empty: str = "nothing",
    text: object = None,
    people: Callable[[], object] | None = None,
) -> None:
    """`value` as JSON for machines; for people a table, a text, or each field on its line.

    Args:
        table: The columns; also the keys of each row of `value`, where `rows` does not give its cells.
        empty: What is said of no row.
        text: For people, in place of a table or fields.
        people: Prints it for people, where it takes more.
    """
    if as_json:
        print_json(value)
    elif people is not None:
        people()
    elif table:
        cells = [[cell(row.get(name)) for name in table] for row in value] if rows is None else rows
        print_table(table, cells, empty=empty)
    elif text is not None:
        print(text)
    else:
        print_fields(value)


def cell(value: object) -> object:
    """A value as it stands in a table: lists with commas."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def short(value: object, most: int) -> str:
    """At most so many letters of a text."""
    flat = str(value)
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    import orjson

    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    except TypeError:  # numbers beyond 64 bits, keys that are no text
        text = json.dumps(value, indent=2, default=str)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "nothing") -> None:
    """A table for people; `empty` when there is no row."""
    if not rows:
        print(f"({empty})")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    # Into a pipe a row is a line, however long: wrapping is for screens.
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """One `name: value` line each."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        print(f"{name + ':':<{width + 1}} {value}")


@contextmanager
def stop_message(say: Callable[[], str]) -> Iterator[None]:
    """Whoever ends a long command (Ctrl-C) reads what has become of it: one line on stderr."""
    import asyncio

    try:
        yield
    except asyncio.CancelledError:
        print(f"stopped: {say()}", file=sys.stderr)
        raise


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr, which is told (done, in all, which): there from the first word until all is done.

    Nothing where nobody looks.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=None)

    def told(done: int, total: int, name: str) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=done, total=total, description=name)
        if done >= total:
            stop()

    def stop() -> None:
        if bar.live.is_started:  # elsewhere it prints an empty line
            bar.stop()

    try:
        yield told
    finally:
        stop()
