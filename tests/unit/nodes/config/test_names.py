"""Names that a section gives of things declared elsewhere: told only where it is known what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.registry import Module, discover
from core.settings import Book, ConfigFile, Context, Named, Places, Section, inspect_book
from nodes.config import survey as surveying
from nodes.config.manager import ConfigManager
from tests.kit.webhook_server import SECRET
from tests.unit.nodes.config.shapes import MODELS, SOURCES, Listed, ModelsFile, ShopSettings

HOOK = f"""\
webhooks:
  allowed_hosts: [h.example.com]
  hooks: [{{name: ops, url: https://h.example.com/, secret: {SECRET}, events: [Greeted]}}]
"""


def _context(folder: Path) -> Context:
    return Context(Places(folder, folder / "home"), {}, {})


@pytest.mark.parametrize(
    ("events", "told"), [(None, 0), (("Greeted",), 0), (("Danced",), 1), ((), 1)], ids=str
)
def test_events_are_judged_where_every_installed_module_says_what_it_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: tuple[str, ...] | None, told: int
) -> None:
    (tmp_path / "waystation.yaml").write_text(HOOK)
    of_others = Module("greeter", "Greets people.", events=events)
    modules = [*discover(), of_others]
    monkeypatch.setattr(surveying, "discover", lambda: modules)
    found = surveying.survey(_context(tmp_path), review=True).problems
    assert [problem.message for problem in found] == ["there is no event 'Greeted'"] * told


def _names(_: Any) -> Iterator[Named]:
    yield ("model",), "models", "gtp"
    yield ("name",), "sources", "wiki"  # whose file lists them under no such name


class _Nameless(Listed):
    names = None  # type: ignore[assignment]


def _refuses(_: Book) -> Listed:
    from core.errors import ConfigInvalid

    raise ConfigInvalid("not to be listed")


@pytest.mark.parametrize(
    ("listing", "told"),
    [(None, ["gtp"]), (Listed, ["gtp"]), (_Nameless, []), (_refuses, [])],
)
def test_what_does_not_say_what_it_has_is_not_missed(
    tmp_path: Path, listing: Callable[[Book], Any] | None, told: list[str]
) -> None:
    shop = Section("shop", ShopSettings, names=_names)
    models = ConfigFile("models", MODELS.names, ModelsFile, listing=listing)
    book, _ = inspect_book([shop], [models, SOURCES], _context(tmp_path))
    found = ConfigManager(book, book.sections, book.files).review()
    missing = [problem.message for problem in found if problem.message.startswith("there is no")]
    assert missing == [f"there is no model '{name}'" for name in told]
