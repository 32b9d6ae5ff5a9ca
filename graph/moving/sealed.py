"""A checkpoint in the form of each saver of LangGraph. Objects in it stay sealed: nothing is made of them.

SQLite's saver packs a checkpoint with the values of its channels into one blob. PostgreSQL's keeps it as
JSON with the short values in it, and every other value beside it, once for each version of its channel.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import ormsgpack
from langgraph.checkpoint.serde.jsonplus import EXT_DELTA_SNAPSHOT, JsonPlusSerializer

from core.foreign import as_json, clean_text, from_json

_PACKED = "msgpack"
_EMPTY = "empty"
_FORM = ormsgpack.OPT_NON_STR_KEYS
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_SERDE = JsonPlusSerializer(allowed_msgpack_modules=None)
Blob = tuple[str, str, str, bytes | None]
# What values beside checkpoints say, by channel and version.
Said = dict[tuple[str, str], tuple[bytes | None, bool]]
_NOTHING = (None, False)
_SHORT = 32


class _Sealed:
    """An object as it was packed; packed again it is the same."""

    __slots__ = ("code", "data")

    def __init__(self, code: int, data: bytes) -> None:
        self.code = code
        self.data = data


def _as_it_was(value: _Sealed) -> ormsgpack.Ext:
    return ormsgpack.Ext(value.code, value.data)


def unsealed(kind: str | None, data: bytes) -> Any:
    """What was packed, with the objects in it as they were packed."""
    if kind == _PACKED:
        return ormsgpack.unpackb(data, ext_hook=_Sealed, option=_FORM)
    if kind == "bytes":
        return data
    if kind == "null":
        return None
    return unsealed(*_SERDE.dumps_typed(_SERDE.loads_typed((str(kind), data))))


def packed(value: Any) -> bytes:
    return ormsgpack.packb(value, default=_as_it_was, option=_FORM)


def stored_json(value: Any) -> str:
    """A text that JSONB takes: it has no NUL."""
    text = as_json(value)
    return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def apart(row: Sequence[Any]) -> tuple[tuple[Any, ...], list[Blob]]:
    """A row of SQLite's form -> PostgreSQL's, and of each value its channel, version, type and blob."""
    thread, space, at, parent, kind, data, metadata = row
    checkpoint = unsealed(kind, data)
    versions = checkpoint["channel_versions"]
    inside: dict[str, Any] = {}
    beside: list[Blob] = []
    for name, value in (checkpoint.get("channel_values") or {}).items():
        if value is None or isinstance(value, str | int | float | bool):
            inside[name] = value
            continue
        if _is_snapshot(value):
            inside[name] = True
        beside.append((name, str(versions.get(name, "")), *_stored(value)))
    told = stored_json({**checkpoint, "channel_values": inside})
    return (thread, space, at, parent, told, _told(metadata or "{}")), beside


def _stored(value: Any) -> tuple[str, bytes]:
    return ("bytes", value) if isinstance(value, bytes) else (_PACKED, packed(value))


def together(row: Sequence[Any], blobs: Iterable[Sequence[Any]], *, exact: bool = False) -> tuple[Any, ...]:
    """The other way round.

    A delta channel's snapshot belongs to every checkpoint with its version, and is marked in the one that it
    was stored with. To the others it says nothing that those before them do not; where none is before, it is
    what the rest stands on.

    Args:
        blobs: Name, type and bytes of each value beside it.
        exact: Give a checkpoint only the snapshots that it was stored with.
    """
    thread, space, at, parent, told, metadata = row
    checkpoint = from_json(told)
    inside = checkpoint.get("channel_values") or {}
    values = dict(inside)
    for name, kind, blob in (
        (bytes(name).decode(), bytes(kind).decode(), blob) for name, kind, blob in blobs
    ):
        if kind == _EMPTY:
            continue
        value = unsealed(kind, bytes(blob or b""))
        if _is_snapshot(value) and name not in inside and (exact or parent is not None):
            continue
        values[name] = value
    data = packed({**checkpoint, "channel_values": values})
    return thread, space, at, parent, _PACKED, data, metadata


def _is_snapshot(value: Any) -> bool:
    return isinstance(value, _Sealed) and value.code == EXT_DELTA_SNAPSHOT


def comparable(row: Sequence[Any]) -> bytes:
    """What is compared of a row of SQLite's form: the same where two mean the same."""
    *place, kind, data, metadata = row
    checkpoint = unsealed(kind, data)
    values = checkpoint.pop("channel_values", None) or {}
    return _compared(place, checkpoint, {name: _short(value) for name, value in values.items()}, metadata)


def compared(row: Sequence[Any], beside: Said) -> bytes:
    """The same of a row of PostgreSQL's form: a checkpoint with what it was stored with.

    Args:
        beside: What the values of its thread say (`said_of`).
    """
    *place, told, metadata = row
    checkpoint = from_json(told)
    inside = checkpoint.pop("channel_values", None) or {}
    values = {name: _short(value) for name, value in inside.items()}
    for name, version in checkpoint["channel_versions"].items():
        short, is_snapshot = beside.get((name, str(version)), _NOTHING)
        if short is not None and (name in inside or not is_snapshot):
            values[name] = short
    return _compared(place, checkpoint, values, metadata)


def said_of(kind: str, blob: bytes | None) -> tuple[bytes | None, bool]:
    """What is compared of a value beside checkpoints, and whether it is a delta channel's snapshot."""
    if kind == _EMPTY:
        return _NOTHING
    value = unsealed(kind, bytes(blob or b""))
    return _short(value), _is_snapshot(value)


def _compared(place: Sequence[Any], rest: Any, values: Mapping[str, bytes], metadata: str | None) -> bytes:
    # JSONB keeps no order of keys.
    told = (*place, _sorted_json(rest), sorted(values.items()), _sorted_json(from_json(metadata or "{}")))
    return ormsgpack.packb(told)


def _short(value: Any) -> bytes:
    """A value, or its digest where that is shorter."""
    data = packed(_inside(value))
    return data if len(data) <= _SHORT else hashlib.blake2b(data, digest_size=_SHORT).digest()


def _inside(value: Any) -> Any:
    return clean_text(value) if isinstance(value, str) else value


def _sorted_json(value: Any) -> bytes:
    try:
        line = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        line = b""
    if line and b"\\u0000" not in line:
        return line
    # Through text, as PostgreSQL's form goes: what JSON cannot hold is replaced there too.
    return orjson.dumps(from_json(stored_json(value)), option=orjson.OPT_SORT_KEYS)


def _told(metadata: str) -> str:
    """JSON that was written as text, as JSONB takes it."""
    try:
        orjson.loads(metadata)
    except ValueError:
        return stored_json(from_json(metadata))
    return metadata if "\\u0000" not in metadata else stored_json(from_json(metadata))
