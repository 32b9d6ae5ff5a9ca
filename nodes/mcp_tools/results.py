"""Make sense of a server's answer: text for the model, files, and how to show them."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from nodes.mcp_tools.models import Artifact, CallResult, Content

V2_KEYS = frozenset({"results", "meta_data", "artifacts", "display"})
ARTIFACT_FACTOR = 16  # files beside a text of the allowed size may have this much more
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer as the model, the thread and the page need it."""

    text: str
    artifacts: tuple[Artifact, ...] = ()
    display: Mapping[str, Any] | None = None


def read_result(result: CallResult, *, call_id: str, tool: str, max_bytes: int) -> Reading:
    """Plain MCP content, or the JSON of result v2.

    Args:
        max_bytes: Longest text in UTF-8 bytes; the rest is cut, and the text says so.
    """
    desk = _Desk(call_id, tool, max_bytes * ARTIFACT_FACTOR)
    v2 = _version_2(result)
    if v2 is not None:
        text = _as_text(v2["results"])
        for item in v2.get("artifacts") or ():
            desk.take_declared(item)
    else:
        parts = [part for content in result.content if (part := desk.take(content))]
        text = "\n".join(parts)
        if not text and not desk.artifacts and result.structured is not None:
            text = _as_text(result.structured)
    others = [content for content in result.content if content.kind != "text"] if v2 is not None else []
    notes = [note for content in others if (note := desk.take(content))]
    body = "\n".join([cut(_clean(text), max_bytes), *notes, *desk.notes()])
    display = v2.get("display") if v2 else None
    return Reading(body, tuple(desk.artifacts), display if isinstance(display, Mapping) else None)


def _version_2(result: CallResult) -> Mapping[str, Any] | None:
    texts = [content.text for content in result.content if content.kind == "text"]
    candidates: list[Any] = [result.structured]
    if len(texts) == 1 and texts[0].lstrip().startswith("{"):
        with suppress(orjson.JSONDecodeError):  # a text that only looks like JSON
            candidates.append(orjson.loads(texts[0]))
    for found in candidates:
        if isinstance(found, Mapping) and "results" in found and V2_KEYS.issuperset(found):
            return found
    return None


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def cut(text: str, max_bytes: int) -> str:
    """At most `max_bytes` of `text`, and a line that says how much is missing."""
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    kept = data[:max_bytes].decode("utf-8", "ignore")
    return f"{kept}\n[cut: {len(kept.encode())} of {len(data)} bytes are shown; the limit is {max_bytes}]"


class _Desk:
    """Collects the files of one call, with names that differ and a limit on their sum."""

    def __init__(self, call_id: str, tool: str, limit: int) -> None:
        self.artifacts: list[Artifact] = []
        self._call_id = call_id
        self._tool = tool
        self._left = limit
        self._refused: list[str] = []

    def take(self, content: Content) -> str:
        """The text of a part; its bytes become a file."""
        if content.kind == "text":
            return content.text
        name = content.name or _name_in(content.uri)
        if content.kind == "link":
            return f"{name}: {content.uri}" + (f" ({content.text})" if content.text else "")
        if content.b64:
            self._add(name, content.b64, content.media_type)
            return ""
        encoded = base64.b64encode(_clean(content.text).encode()).decode()
        self._add(name, encoded, content.media_type or "text/plain")
        return content.text

    def take_declared(self, item: object) -> None:
        """One of the `artifacts` of result v2."""
        if not isinstance(item, Mapping) or not isinstance(item.get("b64"), str):
            self._refused.append("an artifact without content was left out")
            return
        self._add(str(item.get("name") or ""), item["b64"], str(item.get("mime") or ""))

    def notes(self) -> Sequence[str]:
        names = [artifact.name for artifact in self.artifacts]
        made = [f"Files made: {', '.join(names)}"] if names else []
        return [*made, *(f"[{problem}]" for problem in self._refused)]

    def _add(self, name: str, b64: str, media_type: str) -> None:
        number = len(self.artifacts) + 1
        media_type = media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        name = self._own_name(name or f"{self._tool}-{number}{mimetypes.guess_extension(media_type) or ''}")
        try:
            data = base64.b64decode(b64, validate=True)
        except (binascii.Error, ValueError):
            self._refused.append(f"the file {name} was left out: its content is not base64")
            return
        if len(data) > self._left:
            self._refused.append(f"the file {name} was left out: {len(data)} bytes are over the limit")
            return
        self._left -= len(data)
        self.artifacts.append(Artifact(f"{self._call_id}-{number}", name, media_type, data))

    def _own_name(self, name: str) -> str:
        name = _UNSAFE.sub("_", _clean(name)).strip(". ")[-120:] or "file"
        taken = {artifact.name for artifact in self.artifacts}
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        number = 2
        while name in taken:
            name, number = f"{stem}-{number}{suffix}", number + 1
        return name


def _name_in(uri: str) -> str:
    try:
        path = urlsplit(uri).path
    except ValueError:
        return ""
    return unquote(PurePosixPath(path).name)
