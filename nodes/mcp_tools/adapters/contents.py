"""From a tool's answer, as plain JSON, to our model of it.

Each part is read by itself, and what is not understood goes to the model as the
JSON that it is: by the time an answer is read the tool has done its work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from core.foreign import storable
from nodes.mcp_tools.binary import decoded
from nodes.mcp_tools.models import CallResult, Content

_KNOWN = frozenset({"content", "structuredContent", "isError", "_meta", "resultType"})

Part = Mapping[str, Any]


def call_result(answer: object) -> CallResult:
    """The answer, with nothing left out."""
    if not isinstance(answer, Mapping):
        return CallResult(_parts(answer))
    parts = _parts(answer.get("content"))
    rest = {key: value for key, value in answer.items() if key not in _KNOWN and value is not None}
    if rest:
        parts = (*parts, _as_json(rest))
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
    return found or _as_json(part)


def _text(part: Part) -> Content | None:
    text = part.get("text")
    return Content("text", text=text) if isinstance(text, str) else None


def _image(part: Part) -> Content | None:
    return _binary("image", part)


def _audio(part: Part) -> Content | None:
    return _binary("audio", part)


def _binary(kind: Any, part: Part) -> Content | None:
    found = decoded(part.get("data"))
    if found is None:
        return None
    return Content(kind, b64=found.b64, media_type=_string(part.get("mimeType")) or found.media_type)


def _link(part: Part) -> Content | None:
    uri = _string(part.get("uri"))
    name = _string(part.get("name")) or _string(part.get("title"))
    about = _string(part.get("description"))
    if not uri:
        return None
    return Content("link", about, "", _string(part.get("mimeType")), uri, name)


def _embedded(part: Part) -> Content | None:
    resource = part.get("resource")
    if not isinstance(resource, Mapping):
        return None
    uri, media_type = _string(resource.get("uri")), _string(resource.get("mimeType"))
    if isinstance(resource.get("text"), str):
        return Content("resource", text=resource["text"], media_type=media_type or "text/plain", uri=uri)
    found = decoded(resource.get("blob"))
    if found is None:
        return None
    return Content("resource", b64=found.b64, media_type=media_type or found.media_type, uri=uri)


_READ: dict[str, Callable[[Part], Content | None]] = {
    "text": _text,
    "image": _image,
    "audio": _audio,
    "resource_link": _link,
    "resource": _embedded,
}


def _as_json(value: object) -> Content:
    return Content("text", text=json.dumps(storable(value), ensure_ascii=False, separators=(",", ":")))


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _says_yes(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() == "true")
