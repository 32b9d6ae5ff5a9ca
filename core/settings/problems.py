"""What is wrong with a configuration: where, what, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.errors import ConfigInvalid

KeyPath = tuple[str | int, ...]

_SECRET_ENDING = re.compile(
    r"(key|token|secret|password|passwd|passphrase|authorization|credentials?|cookie|dsn)$", re.IGNORECASE
)
# Everything below these keys is a secret until the contrary is known: people put tokens there.
_SECRET_FOLDERS = {"env", "headers", "extra_headers"}
_USER_INFO = re.compile(r"(://)[^/@\s]*@")
_WORD = re.compile(r"\S+")
_ASSIGNED = re.compile(r"((?:key|token|secret|password|bearer)[=:\s]\s*)[^\s*]\S*", re.IGNORECASE)
_SHOWN = 60
HIDDEN = "***"
# In place of a file: what a program or an option of a command gave.
GIVEN = "keyword override"


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
    """All problems found in one reading of the configuration; one line each."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower()[:100], by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def sounds_secret(path: Sequence[str | int]) -> bool:
    """True when the key is of the kind that holds secrets, or stands where they do."""
    keys = [part for part in path if isinstance(part, str)]
    return bool(keys) and (
        any(key.lower() in _SECRET_FOLDERS for key in keys[:-1]) or bool(_SECRET_ENDING.search(keys[-1]))
    )


def masked(path: Sequence[str | int], value: object) -> str:
    """`value` for people: shortened, hidden where `path` sounds secret, addresses without login and query."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if sounds_secret(path):
        return HIDDEN
    text = repr(redacted(value) if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def redacted(text: str) -> str:
    """`text` without what follows `token=` and its like, and addresses without login and query."""
    text = _WORD.sub(_without_query, _USER_INFO.sub(rf"\1{HIDDEN}@", text))
    return _ASSIGNED.sub(rf"\1{HIDDEN}", text)


def _without_query(word: re.Match[str]) -> str:
    scheme, mark, rest = word.group().partition("://")
    place, asked, _ = rest.partition("?")
    return f"{scheme}{mark}{place}?{HIDDEN}" if asked else word.group()


def printable(name: object, *, length: int = _SHOWN) -> str:
    """A key that somebody typed, fit for one line of a message."""
    text = str(name).encode("unicode_escape").decode("ascii") if not str(name).isprintable() else str(name)
    return text if len(text) <= length else text[: length - 1] + "…"


def dotted(path: Sequence[str | int]) -> str:
    """A key path as people write it: `models.gpt.api_key`, `servers.0`."""
    return ".".join(printable(part) for part in path)
