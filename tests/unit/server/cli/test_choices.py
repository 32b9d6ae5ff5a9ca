"""A command's options for what a caller chooses."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from core.choices import CHOICES
from server.cli.choices import number_options
from server.cli.main import app

SEEN: list[dict[str, Any]] = []
numbers = typer.Typer()


@numbers.command()
@number_options
def say(text: str, **chosen: float | None) -> None:
    """Say something."""
    SEEN.append({"text": text, **chosen})


def test_each_number_is_an_option_within_its_bounds() -> None:
    asked = CliRunner().invoke(numbers, ["hi", "--top-p", "0.5", "--max-steps", "3"])
    assert asked.exit_code == 0
    chosen = {name: value for name, value in SEEN[-1].items() if value is not None}
    assert chosen == {"text": "hi", "max_steps": 3, "top_p": 0.5}
    assert SEEN[-1]["temperature"] is None


@pytest.mark.parametrize(
    "given", [("--top-p", "1.5"), ("--temperature", "hot"), ("--max-steps", "0"), ("--max-steps", "2.5")]
)
def test_what_is_out_of_bounds_is_wrong_usage(given: tuple[str, str]) -> None:
    assert CliRunner().invoke(numbers, ["hi", *given]).exit_code == 2
    assert CliRunner().invoke(app, ["ask", "hi", *given]).exit_code == 2


def test_every_number_that_may_be_chosen_has_its_option() -> None:
    shown = CliRunner().invoke(app, ["ask", "--help"], terminal_width=200).output
    kinds = {name: each.kind for name, each in CHOICES.items()}
    assert all(f"--{name.replace('_', '-')}" in shown for name, kind in kinds.items() if kind in (int, float))
