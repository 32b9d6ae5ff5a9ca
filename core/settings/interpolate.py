"""`${VAR}` and `${VAR:-default}` in configuration values, also inside a longer string."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.settings.tree import is_unicode

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def interpolate(
    value: Any, environ: Mapping[str, str], key: tuple[str | int, ...] = ()
) -> tuple[Any, list[tuple[tuple[str | int, ...], str]]]:
    """Replace references in every string of `value`.

    An entry with `enabled: false` is left as it is, so that a switched-off
    server does not ask for its variables.

    Returns:
        The new value, and (key path, variable name) of each variable that is
        not set (or not Unicode text) and has no default.
    """
    if isinstance(value, str):
        return _string(value, environ, key)
    if isinstance(value, dict):
        if value.get("enabled") is False:
            return value, []
        parts = {k: interpolate(v, environ, (*key, str(k))) for k, v in value.items()}
        return {k: v for k, (v, _) in parts.items()}, [m for _, ms in parts.values() for m in ms]
    if isinstance(value, list):
        items = [interpolate(v, environ, (*key, i)) for i, v in enumerate(value)]
        return [v for v, _ in items], [m for _, ms in items for m in ms]
    return value, []


def _string(
    text: str, environ: Mapping[str, str], key: tuple[str | int, ...]
) -> tuple[str, list[tuple[tuple[str | int, ...], str]]]:
    missing: list[tuple[tuple[str | int, ...], str]] = []

    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        if environ.get(name) and is_unicode(environ[name]):
            return environ[name]
        if default is None:
            missing.append((key, name))
            return ""
        return default

    return _REFERENCE.sub(replace, text), missing
