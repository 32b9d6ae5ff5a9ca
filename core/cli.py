"""What every command line of ours shares: output for people and machines, errors, exit codes.

Exit 0: done. 1: refused or failed. 2: wrong usage.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import orjson
import structlog
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.database.outage import storage_outage
from core.errors import WaystationError
from core.home import private_files
from core.observability import configure_logging, reset_logging

P = ParamSpec("P")
T = TypeVar("T")

PIPE_WIDTH = 10_000

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def make_app(name: str, help_text: str, *, completion: bool = False) -> typer.Typer:
    """A typer app with our habits: no pretty tracebacks; `completion` for the whole program alone."""
    return typer.Typer(
        name=name,
        help=help_text,
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
    )


def command(run: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async function a command: run it, and turn our errors into one line and exit code 1."""

    @wraps(run)
    def outer(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with _logs_apart(), private_files():
                return asyncio.run(run(*args, **kwargs))
        except WaystationError as error:
            fail(error)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            if (away := storage_outage(error)) is None:
                raise
            fail(away)

    return outer


@contextmanager
def _logs_apart() -> Iterator[None]:
    """Where nobody configured logging, structlog prints to stdout, into the middle of `--json`."""
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


def print_json(value: object) -> None:
    """One JSON document on stdout."""
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
