"""Parts of answers: texts, links to resources, files as they are, and what went wrong in a tool."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from core.errors import WaystationError
from server.protocols.mcp.rpc import Result

SCHEME = "waystation://"


def file_uri(key: str) -> str:
    return f"{SCHEME}files/{quote(key, safe='')}"


def thread_uri(thread_id: str) -> str:
    return f"{SCHEME}threads/{thread_id}"


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def link_to(file: Mapping[str, Any]) -> dict[str, Any]:
    """A link to a file of the user."""
    return {
        "type": "resource_link",
        "uri": file_uri(file["key"]),
        "name": file["name"],
        "mimeType": file["media_type"],
        "size": file["size"],
    }


def blob(name: str, media_type: str, data: bytes) -> dict[str, Any]:
    """A file as a part of an answer: an image or a sound as such, anything else as a resource within."""
    encoded, kind = b64encode(data).decode(), media_type.partition("/")[0]
    if kind in ("image", "audio"):
        return {"type": kind, "data": encoded, "mimeType": media_type}
    uri = f"{SCHEME}results/{quote(name, safe='')}"
    return {"type": "resource", "resource": {"uri": uri, "mimeType": media_type, "blob": encoded}}


def failed(error: WaystationError) -> Result:
    """What a tool could not do: an answer that its model reads, with our code."""
    return {
        "content": [text(f"{error.code}: {error.detail}")],
        "isError": True,
        "_meta": {"waystation/code": error.code},
    }
