"""What is wrong with a configuration: where, what, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.errors import ConfigInvalid

_SECRET_KEY = re.compile(r"key|token|secret|password|authorization|credential|dsn|url", re.IGNORECASE)
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One finding. `line` counts from 1; `value` is already masked where the key sounds secret."""

    file: str
    message: str
    key: str = ""
    line: int | None = None
    value: str | None = None
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        value = f" (got {self.value})" if self.value is not None else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{place}:{key} {self.message}{value}{remedy}"


class ConfigErrors(ConfigInvalid):
    """All problems found in one reading of the configuration."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None."""
    found = difflib.get_close_matches(name.lower(), {k.lower(): k for k in known}, n=1, cutoff=0.6)
    return next((k for k in known if k.lower() == found[0]), None) if found else None


def masked(key: str, value: object) -> str | None:
    """`value` for people: shortened, and hidden where any part of `key` sounds secret."""
    if value is None or isinstance(value, (dict, list)):
        return None
    if _SECRET_KEY.search(key):
        return "***"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
