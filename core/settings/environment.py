"""Environment variables as settings: `WAYSTATION_<SECTION>__<KEY>`, deeper keys after more `__`.

Keys are lower case. A list is written with commas or as JSON, a mapping as
JSON. An empty variable counts as not set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.settings.declare import Section
from core.settings.problems import ConfigProblem, KeyPath, nearest
from core.settings.shape import takes
from core.settings.tree import Fault, checked, is_unicode

ENV_PREFIX = "WAYSTATION_"
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Environment:
    """Values read from variables, and which variable each came from."""

    data: dict[str, Any] = field(default_factory=dict)
    names: dict[KeyPath, str] = field(default_factory=dict)

    def name(self, key: Sequence[str | int]) -> str | None:
        """The variable that set `key`, something around it, or something in it."""
        for length in range(len(key), 0, -1):
            if tuple(key[:length]) in self.names:
                return self.names[tuple(key[:length])]
        return next((name for path, name in self.names.items() if path[: len(key)] == tuple(key)), None)


def read_environment(
    environ: Mapping[str, str], sections: Sequence[Section], *, partial: bool = False
) -> tuple[Environment, list[ConfigProblem]]:
    """The settings that `environ` holds, and the variables that belong to no section.

    Names without `__` are left alone: container platforms set such variables
    (`WAYSTATION_PORT`, say) for every service they run.
    """
    known = {section.name: section for section in sections}
    found = Environment()
    problems: list[ConfigProblem] = []
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or "__" not in name or not environ[name]:
            continue
        path = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
        section = known.get(path[0])
        if section is None:
            problems += [] if partial else [_unknown(name, path[0], known)]
        elif not is_unicode(environ[name]):
            problems.append(_problem(name, "is not Unicode text", "set it again, as UTF-8"))
        elif not all(path) or len(path) > _DEEPEST:
            problems.append(_problem(name, "names no key", f"write {ENV_PREFIX}{path[0].upper()}__KEY"))
        else:
            problems += _set(found, name, path, _value(section, path, environ[name]))
    return found, problems


def _problem(name: str, message: str, remedy: str) -> ConfigProblem:
    return ConfigProblem(f"environment variable {name}", message, remedy=remedy)


def _unknown(name: str, section: str, known: Mapping[str, Section]) -> ConfigProblem:
    near = nearest(section, sorted(known))
    remedy = (
        f"did you mean {ENV_PREFIX}{near.upper()}__…?"
        if near
        else f"known sections: {', '.join(sorted(known))}"
    )
    return _problem(name, f"unknown section '{section}'", remedy)


def _set(found: Environment, name: str, path: tuple[str, ...], value: Any) -> list[ConfigProblem]:
    data = found.data
    for part in path[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            return [
                _problem(
                    name, "contradicts another variable that gives this key one value", "unset one of them"
                )
            ]
    data[path[-1]] = value
    found.names[path] = name
    return []


def _value(section: Section, path: tuple[str, ...], text: str) -> Any:
    """The text itself, except where the model wants a list or a mapping; validation judges the rest."""
    wanted = takes(section.model, path[1:])
    if wanted == "plain":
        return text
    if text.lstrip().startswith(("[", "{")):
        try:
            data = json.loads(text)
            checked(data)
        except (ValueError, RecursionError, Fault):
            return text
        return data
    return [part.strip() for part in text.split(",") if part.strip()] if wanted == "list" else text
