"""Options of a command for what a caller chooses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Optional, TypeVar

import typer

from core.choices import CHOICES, Choice

F = TypeVar("F", bound=Callable[..., Any])


def number_options(run: F) -> F:
    """Give a command an option for each choice that is a number; they come to it by keyword."""
    signature = inspect.signature(run, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    further = [_option(name, each) for name, each in CHOICES.items() if each.kind in (float, int)]
    made: Any = run
    made.__signature__ = signature.replace(parameters=[*own, *further])
    made.__annotations__ = {each.name: each.annotation for each in [*own, *further]}
    return run


def _option(name: str, known: Choice) -> inspect.Parameter:
    shown = typer.Option(min=known.low, max=known.high, help=known.description)
    kind: Any = Annotated[Optional[known.kind], shown]  # noqa: UP045 - of a value, not of a type
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
