"""How a command and the running service of the same user find each other, and the words that they exchange.

The service listens at a socket in its home, which nobody else gets into. A line of JSON each:

| command | service |
|---|---|
| `{"mark": "…", "user": "", "groups": []}` | `{"url": "…"}`, or the end where it is not the same |
| `{"upload": "a.csv"}`, then `{"bytes": n}` and so many bytes, at the end with 0 | `{"key": "…"}` |
| `{"mcp": true, "gateway": false}` | from here on both sides speak MCP |
| `{"begin": {…}}`, `{"resume": "r_1", "answer": …}` | `{"event": {…}}` each, then `{"reply": {…}}` |

In place of each answer there may be `{"error": {"code", "kind", "detail"}}`.
"""

from __future__ import annotations

import hashlib
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from core.errors import WaystationError, known_errors
from core.installed import ROOT
from core.registry import VERSION
from core.settings import Context

LINE_BYTES = 1 << 26  # an event or a reply may carry many files' worth of text
CHUNK_BYTES = 1 << 18

_OURS = ("WAYSTATION_", "OPENAI_")
# What only says where and how a process listens, logs or keeps its data.
_BESIDE = ("WAYSTATION_SERVER__", "WAYSTATION_TELEMETRY__", "WAYSTATION_HOME", "WAYSTATION_CONFIG_DIR")
_VARIABLE = re.compile(rb"\$\{?(?:env:)?([A-Za-z_][A-Za-z0-9_]*)")
_FILES = frozenset({".json", ".yaml", ".yml"})


def socket_in(home: Path) -> Path:
    """Where the service with this home listens for its owner."""
    return home / "state" / "service.sock"


def mark_of(context: Context) -> str:
    """The same for two processes of one release on one configuration; tells nothing of it."""
    named = {name for name in context.environ if name.startswith(_OURS) and not name.startswith(_BESIDE)}
    named |= set(_named_in(context.places.config_dir))
    given = {name: context.environ.get(name) for name in sorted(named)}
    overrides = {name: value for name, value in context.overrides.items() if name != "server"}
    folder = str(context.places.config_dir.resolve())
    whole = orjson.dumps([VERSION, str(ROOT), folder, given, overrides], default=str)
    return hashlib.sha256(whole).hexdigest()


def _named_in(folder: Path) -> Iterator[str]:
    """The variables that files of the configuration name."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix in _FILES and path.is_file():
            yield from (name.decode() for name in _VARIABLE.findall(path.read_bytes()))


async def read_line(reader: StreamReader) -> dict[str, Any] | None:
    """The next line; None at the end, and where it is none of ours."""
    line = await reader.readline()
    try:
        found = orjson.loads(line) if line else None
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


async def send_line(writer: StreamWriter, **words: Any) -> None:
    writer.write(orjson.dumps(words, default=str) + b"\n")
    await writer.drain()


def problem_in(error: WaystationError) -> dict[str, str]:
    """An error as it goes over the socket; `kind` is the type of the tree that it belongs to."""
    tree = [each for each in type(error).__mro__ if issubclass(each, WaystationError)]
    kind = next(each for each in tree if each.__module__ == WaystationError.__module__)
    return {"code": error.code, "kind": kind.code, "detail": error.detail}


def error_in(problem: Mapping[str, str]) -> WaystationError:
    """The error again, of the type of the tree: classes of rooms that are not loaded here keep their code."""
    kind = known_errors().get(problem["kind"], WaystationError)
    error = kind.__new__(kind)
    WaystationError.__init__(error, problem["detail"])
    vars(error)["code"] = problem["code"]
    return error
