"""The whole configuration, read as every module declares it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.events.settings import WebhookSettings
from core.events.shipped import SHIPPED
from core.registry import Module, discover, files_of, sections_of
from core.settings import Book, ConfigErrors, ConfigProblem, Context, Places, inspect_book
from nodes.config.manager import ConfigManager
from nodes.config.reload import Change, Snapshot, changes


@dataclass(frozen=True, slots=True)
class Survey:
    """One reading: the manager over what is valid, and everything that is wrong."""

    manager: ConfigManager
    problems: tuple[ConfigProblem, ...]

    def valid(self) -> ConfigManager:
        """The manager, where nothing is wrong.

        Raises:
            ConfigErrors: With every problem.
        """
        if self.problems:
            raise ConfigErrors(self.problems)
        return self.manager


@dataclass(frozen=True, slots=True)
class ReloadCheck:
    """Whether what is on disk would be accepted, and what it would change.

    `compared_with` is the time the service started, or empty for the defaults.
    """

    problems: tuple[ConfigProblem, ...]
    compared_with: str
    changes: tuple[Change, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "accepted": not self.problems,
            "problems": [asdict(problem) for problem in self.problems],
            "compared_with": self.compared_with or "defaults",
            "changes": [asdict(change) for change in self.changes],
        }


def survey(context: Context, *, review: bool = False) -> Survey:
    """Read what all modules declare.

    Args:
        context: Folders, environment and overrides.
        review: Also ask what only this machine can tell of valid files.

    Raises:
        ConfigInvalid: The modules themselves do not fit together.
    """
    modules = discover()
    book, problems = inspect_book(sections_of(modules), files_of(modules), context)
    manager = ConfigManager(book, book.sections, book.files)
    found = manager.review(_known(modules, book)) if review else []
    return Survey(manager, _unique([*problems, *found]))


def _known(modules: Sequence[Module], book: Book) -> dict[str, list[str]]:
    """Names of things that no file lists, by kind; of events where every module says which it publishes."""
    found = {"modules": [module.name for module in modules]}
    told = [module.events for module in modules if module.events is not None]
    if len(told) == len(modules):
        found["events"] = sorted(SHIPPED.union(*told))
    if WebhookSettings in book.values:
        found["hooks"] = [hook.name for hook in book[WebhookSettings].hooks if hook.enabled]
    return found


def reload_check(context: Context) -> ReloadCheck:
    """Compare what is on disk with what the service runs with, by the snapshot it left at its start."""
    modules = discover()
    sections, files = sections_of(modules), files_of(modules)
    book, problems = inspect_book(sections, files, context)
    if problems:
        return ReloadCheck(tuple(problems), "", ())
    running = Snapshot.load(context.places.home)
    if running is None:
        home = context.places.home
        defaults, _ = inspect_book(sections, files, Context(Places(home / "no-config", home), {}, {}))
        return ReloadCheck((), "", tuple(changes(Snapshot.of(defaults), book)))
    return ReloadCheck((), running.taken, tuple(changes(running, book)))


def _unique(problems: Sequence[ConfigProblem]) -> tuple[ConfigProblem, ...]:
    return tuple(dict.fromkeys(problems))
