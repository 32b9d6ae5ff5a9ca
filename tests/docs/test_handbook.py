"""The handbook's links lead somewhere, and its commands exist."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from server.cli.main import app, mount_modules

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
# quality.md holds figures, and is as long as there are some.
HANDBOOK = sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "quality.md"})
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_FENCED = re.compile(r"```.*?```", re.DOTALL)


@cache
def program() -> Any:
    """The whole command line, as `waystation --help` sees it."""
    mount_modules()
    return get_command(app)


def links(page: Path) -> list[str]:
    """Relative targets of the page's links, those in examples left out."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return [target for target in _LINK.findall(text) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """The words behind `waystation` on each line of the page's shell examples."""
    lines = [
        line for block in _SHELL.findall(page.read_text(encoding="utf-8")) for line in block.splitlines()
    ]
    found = [re.match(r"(?:\S*/)?waystation ([^>]+)", line) for line in lines]
    return [shlex.split(match[1], comments=True) for match in found if match]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        wanted = (page.parent / path).resolve() if path else page
        assert wanted.exists(), target
        assert not anchor or anchor in anchors(wanted), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_the_program_has(page: Path) -> None:
    for words in commands(page):
        _parse(words)


def test_the_handbook_shows_every_group_of_commands() -> None:
    shown = {words[0] for page in HANDBOOK for words in commands(page)}
    assert {name for name, command in program().commands.items() if not command.hidden} <= shown


def test_the_readme_has_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", HANDBOOK, ids=lambda page: page.name)
def test_a_page_of_the_handbook_has_one_subject_and_fits_the_head(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert 40 <= len(page.read_text(encoding="utf-8").splitlines()) <= 150


def test_every_page_of_the_handbook_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [
            (page.parent / target.partition("#")[0]).resolve() for target in links(page) if target[0] != "#"
        ]
    assert set(HANDBOOK) <= seen


def _parse(words: list[str]) -> None:
    """Find the command that the words name and read its arguments and options.

    Raises:
        Exception: typer's usage error, where a word is no argument or option of the command.
    """
    command, context = program(), typer.Context(program(), info_name="waystation")
    while hasattr(command, "commands"):
        assert words, f"{context.command_path} is a group and no command"
        name, *words = words
        assert name in command.commands, f"there is no command '{name}' in {context.command_path}"
        command = command.commands[name]
        if hasattr(command, "commands"):
            context = typer.Context(command, info_name=name, parent=context)
    command.make_context(command.name, list(words), parent=context)
