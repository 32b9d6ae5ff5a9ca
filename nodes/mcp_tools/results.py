"""From a tool's answer, as plain JSON, to what the model, the thread and the page need of it.

Each part is read by itself, and what is not understood goes to the model as the
JSON that it is: by the time an answer is read the tool has done its work.
"""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from core.foreign import clean_text, fault_in, storable
from nodes.mcp_tools.models import Artifact, CallResult, Content

V2_KEYS = frozenset({"results", "meta_data", "artifacts", "display"})
ARTIFACT_FACTOR = 16  # files beside a text of the allowed size may have this much more
_DISPLAY_WEIGHT = 16_384
_MOST_FILES = 100
_MOST_NOTES = 20
_WORTH_CUTTING = 64
_JSON_STARTS = frozenset('{["-0123456789tfn')
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]+")
_DATA_URL = re.compile(r"data:([\w.+-]{1,60}/[\w.+-]{1,60})?(?:;[\w=.+-]{1,60}){0,4},", re.ASCII)
_SPACE = re.compile(r"\s")
# The first bytes of what comes without a media type.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
_KNOWN = frozenset({"content", "structuredContent", "isError", "_meta", "resultType"})

Part = Mapping[str, Any]


def call_result(answer: object) -> CallResult:
    """The answer, with nothing left out."""
    if not isinstance(answer, Mapping):
        return CallResult(_parts(answer))
    parts = _parts(answer.get("content"))
    rest = {key: value for key, value in answer.items() if key not in _KNOWN and value is not None}
    if rest:
        parts = (*parts, Content("text", text=_as_text(rest)))
    structured = answer.get("structuredContent")
    if structured == {"content": answer.get("content")}:
        structured = None  # it says nothing that the parts do not
    return CallResult(parts, structured, is_error=_says_yes(answer.get("isError")))


def _parts(content: object) -> tuple[Content, ...]:
    if content is None:
        return ()
    return tuple(_part(part) for part in (content if isinstance(content, list) else [content]))


def _part(part: object) -> Content:
    if isinstance(part, str):
        return Content("text", text=part)
    read = _READ.get(str(part.get("type"))) if isinstance(part, Mapping) else None
    found = read(part) if read and isinstance(part, Mapping) else None
    return found or Content("text", text=_as_text(part))


def _text(part: Part) -> Content | None:
    text = part.get("text")
    return Content("text", text=text) if isinstance(text, str) else None


def _binary(kind: Any, data: object, media_type: str, uri: str = "") -> Content | None:
    found = decoded(data)
    if found is None:
        return None
    return Content(kind, b64=found.b64, media_type=media_type or found.media_type, uri=uri)


def _link(part: Part) -> Content | None:
    uri, name = _string(part, "uri"), _string(part, "name") or _string(part, "title")
    about = _string(part, "description")
    return Content("link", about, "", _string(part, "mimeType"), uri, name) if uri else None


def _embedded(part: Part) -> Content | None:
    resource = part.get("resource")
    if not isinstance(resource, Mapping):
        return None
    uri, media_type = _string(resource, "uri"), _string(resource, "mimeType")
    if isinstance(resource.get("text"), str):
        return Content("resource", text=resource["text"], media_type=media_type or "text/plain", uri=uri)
    return _binary("resource", resource.get("blob"), media_type, uri)


_READ: dict[str, Callable[[Part], Content | None]] = {
    "text": _text,
    "image": lambda part: _binary("image", part.get("data"), _string(part, "mimeType")),
    "audio": lambda part: _binary("audio", part.get("data"), _string(part, "mimeType")),
    "resource_link": _link,
    "resource": _embedded,
}


def _string(part: Part, key: str) -> str:
    value = part.get(key)
    return value if isinstance(value, str) else ""


def _says_yes(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() == "true")


@dataclass(frozen=True, slots=True)
class ReadResult:
    """An answer as the model, the thread and the page need it."""

    text: str
    artifacts: tuple[Artifact, ...] = ()
    display: Mapping[str, Any] | None = None


def read_result(result: CallResult, *, call_id: str, tool: str, max_bytes: int) -> ReadResult:
    """Plain MCP content, or the JSON of result v2. What is understood as neither stays in the text.

    Args:
        max_bytes: Longest text in UTF-8 bytes; the rest is cut, and the text says so.
    """
    files = _Files(call_id, tool, max_bytes * ARTIFACT_FACTOR)
    v2, beside = _version_2(result)
    if v2 is None:
        parts = [part for content in result.content if (part := files.take(content))]
        if result.structured is not None and not _repeated(result):
            parts.append(_without_files(_as_text(result.structured), result))
        text, display = "\n".join(parts), None
    else:
        text, display = _declared(v2, files)
        others = [content for content in result.content if content.kind != "text"]
        text = "\n".join([text, *beside, *(note for content in others if (note := files.take(content)))])
    shown = [cut(clean_text(text), max_bytes), *files.notes()]
    body = "\n".join(part for part in shown if part)
    return ReadResult(body, tuple(files.artifacts), display)


def _declared(v2: Mapping[str, Any], files: _Files) -> tuple[str, Mapping[str, Any] | None]:
    """The text of result v2, and how to show it; what is in neither form is kept in the text."""
    parts = [_as_text(v2["results"])]
    artifacts = v2.get("artifacts")
    odd = [] if isinstance(artifacts, list) or not artifacts else [artifacts]
    odd += (
        [item for item in artifacts if not files.take_declared(item)] if isinstance(artifacts, list) else []
    )
    if odd:
        parts.append(f"artifacts: {_as_text(odd)}")
    if v2.get("meta_data"):
        parts.append(f"meta_data: {_as_text(v2['meta_data'])}")
    display = v2.get("display")
    if isinstance(display, Mapping) and not fault_in(display, weight=_DISPLAY_WEIGHT):
        return "\n".join(parts), display
    if display:
        parts.append(f"display: {_as_text(display)}")
    return "\n".join(parts), None


def _version_2(result: CallResult) -> tuple[Mapping[str, Any] | None, list[str]]:
    """Result v2 where the answer is one, and what the answer says beside it."""
    texts = [content.text for content in result.content if content.kind == "text"]
    if _is_v2(result.structured):
        others = [t for t in texts if t.strip() not in ("", "{}") and not _same(t, result.structured)]
        return result.structured, others
    found = _json(texts[0]) if len(texts) == 1 and texts[0].lstrip().startswith("{") else None
    if not _is_v2(found):
        return None, []
    return found, [] if result.structured is None or _repeated(result) else [_as_text(result.structured)]


def _is_v2(found: object) -> bool:
    return isinstance(found, Mapping) and "results" in found and V2_KEYS.issuperset(found)


def _repeated(result: CallResult) -> bool:
    """Whether the text already says what the structured content does, as servers of the SDKs have it."""
    texts = [content.text for content in result.content if content.kind == "text"]
    value = result.structured
    if not texts:
        return False
    wrapped = list(value.values()) if isinstance(value, Mapping) and len(value) == 1 else []
    for meant in [value, *wrapped]:
        if len(texts) == 1 and _same(texts[0], meant):
            return True
        if isinstance(meant, list) and len(meant) == len(texts) and all(map(_same, texts, meant)):
            return True
    return False


def _without_files(text: str, result: CallResult) -> str:
    """Some servers give the bytes of a file once more in their structured content."""
    files = {content.b64 for content in result.content if len(content.b64) >= _WORTH_CUTTING}
    for b64 in islice(files, _MOST_FILES):
        text = text.replace(b64, "[the file]")
    return text


def _same(text: str, value: object) -> bool:
    if isinstance(value, str) and text == value:
        return True
    return text.strip()[:1] in _JSON_STARTS and _json(text) == value


def _json(text: str) -> Any:
    """None for a text that only looks like JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(storable(value), ensure_ascii=False, separators=(",", ":"))


def cut(text: str, max_bytes: int) -> str:
    """At most `max_bytes` of `text`, and a line that says how much is missing."""
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    shown = data[:max_bytes].decode("utf-8", "ignore")
    return f"{shown}\n[cut: {len(shown.encode())} of {len(data)} bytes are shown; the limit is {max_bytes}]"


class _Files:
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
        encoded = base64.b64encode(clean_text(content.text).encode()).decode()
        self._add(name, encoded, content.media_type or "text/plain")
        return content.text

    def take_declared(self, item: object) -> bool:
        """One of the `artifacts` of result v2; False where it is none, and nothing was taken."""
        if not isinstance(item, Mapping) or not _is_base64(item.get("b64")):
            return False
        name, media_type = item.get("name"), item.get("mime")
        self._add(
            name if isinstance(name, str) else "",
            item["b64"],
            media_type if isinstance(media_type, str) else "",
        )
        return True

    def notes(self) -> Sequence[str]:
        names = [artifact.name for artifact in self.artifacts]
        made = [f"Files made: {', '.join(names)}"] if names else []
        more = len(self._refused) - _MOST_NOTES
        rest = [f"[and {more} more]"] if more > 0 else []
        return [*made, *(f"[{problem}]" for problem in self._refused[:_MOST_NOTES]), *rest]

    def _add(self, name: str, b64: str, media_type: str) -> None:
        number = len(self.artifacts) + 1
        if number > _MOST_FILES:
            self._refused.append(f"the file {clean_text(name)[:120]} was left out: over {_MOST_FILES} files")
            return
        media_type = media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        name = self._own_name(name or f"{self._tool}-{number}{mimetypes.guess_extension(media_type) or ''}")
        found = decoded(b64)
        if found is None:
            self._refused.append(f"the file {name} was left out: its content is not base64")
            return
        data = found.data
        if len(data) > self._left:
            self._refused.append(f"the file {name} was left out: {len(data)} bytes are over the limit")
            return
        self._left -= len(data)
        self.artifacts.append(Artifact(f"{self._call_id}-{number}", name, media_type, data))

    def _own_name(self, name: str) -> str:
        name = _UNSAFE.sub("_", clean_text(name)).strip(". ")[-120:] or "file"
        taken = {artifact.name for artifact in self.artifacts}
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        number = 2
        while name in taken:
            name, number = f"{stem}-{number}{suffix}", number + 1
        return name


def _is_base64(text: object) -> bool:
    return text == "" or decoded(text) is not None


def _name_in(uri: str) -> str:
    try:
        path = urlsplit(uri).path
    except ValueError:
        return ""
    return unquote(PurePosixPath(path).name)


class Decoded(NamedTuple):
    """Bytes, and what they are as far as they say it themselves."""

    data: bytes
    media_type: str
    b64: str


def decoded(text: object) -> Decoded | None:
    """The bytes of base64, also with line ends, without padding, for URLs or in a data URL."""
    if not isinstance(text, str) or not text:
        return None
    head = _DATA_URL.match(text[:400])
    plain = _SPACE.sub("", text[head.end() :] if head else text)
    plain = plain.replace("-", "+").replace("_", "/").rstrip("=")
    plain += "=" * (-len(plain) % 4)
    try:
        data = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Decoded(data, (head[1] if head else "") or _magic_type(data), plain)


def _magic_type(data: bytes) -> str:
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12], "")
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")
