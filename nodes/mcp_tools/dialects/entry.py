"""One server's entry, from the keys of any known program to ours."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from core.settings import nearest
from core.settings.problems import printable
from nodes.mcp_tools.dialects.keys import DURATIONS, IGNORED, IN_SECONDS, RENAMED, SWITCHES, TRANSPORTS
from nodes.mcp_tools.dialects.variables import Variables

OURS = (
    "args", "auth_header", "auth_token", "auth_type", "author", "command", "compliance_level", "cwd",
    "description", "enabled", "env", "exclude_tools", "fill_username", "groups", "headers", "help_email",
    "include_tools", "init_timeout_s", "max_result_bytes", "oauth_config", "parallel_calls",
    "require_approval", "restart", "short_description", "timeout_s", "transport", "url",
)  # fmt: skip
# Misspelt, one of these would let through what it was written to keep back.
GUARDS = (
    "compliance_level", "disabled", "enabled", "exclude_tools", "excludeTools", "disabledTools", "groups",
    "include_tools", "includeTools", "require_approval",
)  # fmt: skip
# Nor is a key of such a word passed over, whatever program it is of: `blockedTools`, `allowed_groups`.
_GUARDING = frozenset({
    "active", "allow", "allowed", "allowlist", "approval", "approvals", "approve", "block", "blocked",
    "blocklist", "denied", "deny", "denylist", "disable", "disabled", "enable", "enabled", "exclude",
    "excluded", "forbidden", "group", "groups", "hidden", "include", "included", "only", "permission",
    "permissions", "permitted", "readonly", "restrict", "restricted", "role", "roles", "users",
})  # fmt: skip
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_LISTS = frozenset({"args", "exclude_tools", "groups", "include_tools", "require_approval"})
_MAPS = frozenset({"env", "headers"})
_KEEPING = frozenset({"exclude_tools", "include_tools", "require_approval"})
_SPECIAL = ("requestOptions", "envFile")
_LONGEST_S = 3600
_LARGEST_FILE = 1_048_576


class Unusable(Exception):
    """The entry cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What was passed over or read in some way. `mistake` is False where it just has no meaning here."""

    key: str
    message: str
    mistake: bool = True


def read_entry(
    entry: Mapping[str, Any], variables: Variables
) -> tuple[dict[str, Any], tuple[Remark, ...], str]:
    """The entry in keys of ours, remarks, and why it cannot be used ("" where it can)."""
    reader = _EntryReader(entry, variables)
    try:
        reader.read()
    except Unusable as error:
        return reader.data, tuple(reader.remarks), str(error)
    return reader.data, tuple(reader.remarks), ""


class _EntryReader:
    def __init__(self, entry: Mapping[str, Any], variables: Variables) -> None:
        self.data: dict[str, Any] = {}
        self.remarks: list[Remark] = []
        self._entry = entry
        self._variables = variables

    def read(self) -> None:
        enabled = (
            _yes(self._entry.get("disabled")) is not True and _yes(self._entry.get("enabled")) is not False
        )
        for key, value in self._entry.items():
            if value is not None and value != "":
                # A server that is switched off does not ask for its variables.
                self._take(str(key), self._variables.filled(value) if enabled else value)
        if enabled and self._entry.get("envFile"):
            self._env_file(self._entry["envFile"])
        self._env_values()

    def _take(self, key: str, value: Any) -> None:
        if key in SWITCHES:
            self._switch(key, value)
        elif key in DURATIONS:
            self._duration(key, value)
        elif key == "requestOptions":
            self._request_options(value)
        elif key == "envFile":
            return  # read when everything else is there
        elif key in IGNORED:
            self._note(key, IGNORED[key], mistake=False)
        elif key in OURS or key in RENAMED:
            self._set(RENAMED.get(key, key), key, value)
        elif not key.startswith(("_", "//", "$", "#")):
            self._unknown(key)

    def _set(self, ours: str, written: str, value: Any) -> None:
        value = self._shaped(ours, written, value)
        if written == "httpUrl":  # Gemini CLI takes it before `url`, which is SSE there
            self.data["transport"] = "http"
        elif ours in self.data and ours not in _MAPS and self.data[ours] != value:
            if ours == "transport":
                raise Unusable("says both type and transport, and they differ")
            if ours in _KEEPING and isinstance(value, list) and isinstance(self.data[ours], list):
                value = _both(self.data[ours], value, common=ours == "include_tools")
            else:
                return self._note(
                    written, f"stands beside another key that says '{ours}'; the first one holds"
                )
        if ours == "env" and isinstance(value, Mapping):
            value = {**self.data.get("env", {}), **value}
        self.data[ours] = value
        return None

    def _shaped(self, ours: str, written: str, value: Any) -> Any:
        """The value as our key has it; what cannot be brought into that shape is left for the check."""
        if ours == "transport":
            return self._transport(written, value)
        if ours == "command":
            return self._command(value)
        if ours in _LISTS:
            return self._texts(written, value)
        return self._map(written, value) if ours in _MAPS else value

    def _command(self, value: Any) -> Any:
        """A string, a list, or an object with path, args and env, as Zed once had it."""
        if not isinstance(value, Mapping):
            return value
        for key in ("args", "env"):
            if value.get(key):
                self._set(key, f"command.{key}", value[key])
        return value.get("path")

    def _transport(self, written: str, value: Any) -> str:
        name = str(value).lower().replace("-", "").replace("_", "")
        if name in TRANSPORTS:
            return TRANSPORTS[name]
        if name in ("websocket", "ws"):
            raise Unusable("WebSocket is no transport that is known here; use http or sse")
        raise Unusable(f"{written} must be stdio, http or sse, not '{printable(value)}'")

    def _texts(self, written: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._split(value) if written == "args" else [value]
        if isinstance(value, list):
            return [_text(item) if _is_scalar(item) else item for item in value]
        return value

    def _split(self, value: str) -> list[str]:
        try:
            words = shlex.split(value)
        except ValueError:
            raise Unusable("args is one text with a quotation mark that does not end") from None
        self._note("args", "is one text and should be a list; it was split at its blanks")
        return words

    def _map(self, written: str, value: Any) -> Any:
        """Texts by name: numbers and true become text, null takes a name out."""
        if isinstance(value, list) and all(isinstance(item, str) and "=" in item for item in value):
            value = dict(item.split("=", 1) for item in value)
        if not isinstance(value, Mapping):
            return value
        for name, item in value.items():
            if item is not None and not _is_scalar(item):
                raise Unusable(f"{written}.{printable(name)} must be text")
        return {str(name): _text(item) for name, item in value.items() if item is not None}

    def _switch(self, written: str, value: Any) -> None:
        """Of several switches each can turn the server off."""
        said = _yes(value)
        if said is None:
            raise Unusable(f"{written} must be true or false, not {printable(repr(value))}")
        self.data["enabled"] = self.data.get("enabled", True) and said is SWITCHES[written]

    def _duration(self, written: str, value: Any) -> None:
        ours, unit = DURATIONS[written]
        number = _number(value)
        if number is None or number <= 0:
            return self._note(written, "must be a number above 0; the usual limit holds")
        either = written == "timeout" and number <= _LONGEST_S and set(self._entry) & IN_SECONDS
        # Below a second no server answers: whoever wrote less than 1000 ms meant seconds.
        in_seconds = unit == "s" or either or number < 1000
        seconds = min(number if in_seconds else number / 1000, _LONGEST_S)
        self._note(written, f"{number:g} was read as {seconds:g} seconds ({ours})", mistake=False)
        self.data.setdefault(ours, seconds)
        return None

    def _request_options(self, value: Any) -> None:
        """Continue puts headers there."""
        headers = value.get("headers") if isinstance(value, Mapping) else None
        if headers:
            self._set("headers", "requestOptions.headers", headers)
        if not isinstance(value, Mapping) or set(value) - {"headers"}:
            self._note("requestOptions", "only its headers have a meaning here", mistake=False)

    def _env_file(self, given: Any) -> None:
        if not isinstance(given, str):
            raise Unusable("envFile must be the path of one file")
        written = self._variables.text(given)
        if not written:
            return  # a variable has no value, which is said already
        try:
            path = Path(self._variables.folder or ".", Path(written).expanduser())
            if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
                raise Unusable(f"envFile: '{printable(written)}' is no file of at most 1 MiB")
            found = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
        except (OSError, RuntimeError, ValueError):
            raise Unusable(f"envFile: '{printable(written)}' cannot be read as text") from None
        values = {name: value for name, value in found.items() if value is not None}
        self.data["env"] = {**values, **(self.data.get("env") or {})}

    def _env_values(self) -> None:
        for key in _MAPS:
            if isinstance(self.data.get(key), Mapping):
                self.data[key] = {
                    name: self._variables.whole(value) if isinstance(value, str) else value
                    for name, value in self.data[key].items()
                }

    def _unknown(self, key: str) -> None:
        guard = difflib.get_close_matches(key.lower(), [g.lower() for g in GUARDS], n=1, cutoff=0.8)
        near = nearest(key, [*OURS, *RENAMED, *IGNORED, *SWITCHES, *DURATIONS, *_SPECIAL])
        hint = f"; did you mean '{near}'?" if near else ""
        if guard or _GUARDING & {word.lower() for word in _WORDS.findall(key)}:
            raise Unusable(
                f"the key '{printable(key)}' is not known{hint}; the server is left out until that is clear"
            )
        self._note(key, f"is not known and was passed over{hint}")

    def _note(self, key: str, message: str, *, mistake: bool = True) -> None:
        self.remarks.append(Remark(printable(key), message, mistake))


def _yes(value: Any) -> bool | None:
    """True or false in one of the ways in which people write them; None where it is neither."""
    word = _text(value).strip().lower() if _is_scalar(value) else ""
    return (
        True if word in ("true", "yes", "on", "1") else False if word in ("false", "no", "off", "0") else None
    )


def _both(first: list[Any], second: list[Any], *, common: bool) -> list[Any]:
    """Two lists of what is kept back hold together; of two of what is let through, what is in both."""
    if common and "*" in first:
        return second
    if common and "*" not in second:
        return [item for item in first if item in second]
    return first if common else [*first, *(item for item in second if item not in first)]


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _number(value: Any) -> float | None:
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and abs(number) < 1e12 else None
