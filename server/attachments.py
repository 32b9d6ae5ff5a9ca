"""Files that come inside a message: content lists with images and files, kept as files of the caller.

A part is one of chat completions (`text`, `image_url` with a data URL, `file` with `file_data` or
`file_id`), or LangChain's own block of an image or a file in base64. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.access import Principal
from nodes.file_storage import FileManager
from nodes.file_storage.naming import derived_key
from server.errors import InvalidRequest

MOST_PARTS = 100


@dataclass(frozen=True, slots=True)
class Sent:
    """A file in a message: its content in base64, or the key of one that was uploaded."""

    name: str = ""
    media_type: str = ""
    b64: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says, and the files in it."""

    text: str
    files: tuple[Sent, ...] = ()

    def marks(self) -> tuple[str, ...]:
        """A hash of each file: the same for the same content, where conversations are compared."""
        told = ("\0".join([each.name, each.media_type, each.key, each.b64]) for each in self.files)
        return tuple(hashlib.sha256(each.encode()).hexdigest() for each in told)

    def names(self) -> str:
        """What stands for files that came without a word."""
        return " ".join(f"[{each.name}]" for each in self.files)


def read_content(given: str | Sequence[Any], where: str = "content") -> Content:
    """A message's content.

    Raises:
        InvalidRequest: A part is of no known kind, or holds no file; says which.
    """
    if isinstance(given, str):
        return Content(given)
    if len(given) > MOST_PARTS:
        raise InvalidRequest(f"{where}: has {len(given)} parts; at most {MOST_PARTS} are taken")
    texts: list[str] = []
    files: list[Sent] = []
    for place, part in enumerate(given):
        found = _part(part, f"{where}.{place}", len(files) + 1)
        if isinstance(found, str):
            texts.append(found)
        else:
            files.append(found)
    return Content("\n\n".join(text for text in texts if text), tuple(files))


def _part(part: Any, where: str, number: int) -> str | Sent:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise InvalidRequest(f"{where}: is no text and no object with a type")
    kind = part.get("type")
    if kind in ("text", "input_text") and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind == "image_url":
        held = part.get("image_url")
        return _from_url(held.get("url") if isinstance(held, Mapping) else held, where, f"image-{number}")
    if kind == "file" and isinstance(part.get("file"), Mapping):
        return _file(part["file"], where, number)
    if kind in ("image", "file") and isinstance(part.get("base64"), str):
        media_type = str(part.get("mime_type") or "application/octet-stream")
        extras = part.get("extras")
        name = part.get("filename") or (extras.get("filename") if isinstance(extras, Mapping) else None)
        return Sent(_named(name, f"{kind}-{number}", media_type), media_type, part["base64"])
    raise InvalidRequest(
        f"{where}: a part is of type text, image_url with a data URL, or file with file_data or file_id"
    )


def _file(file: Mapping[str, Any], where: str, number: int) -> Sent:
    if isinstance(file.get("file_id"), str):
        return Sent(key=file["file_id"])
    data = file.get("file_data")
    if isinstance(data, str) and not data.startswith("data:"):
        name = _named(file.get("filename"), f"file-{number}", "application/octet-stream")
        return Sent(name, "", data)
    return _from_url(data, where, f"file-{number}", file.get("filename"))


def _from_url(url: Any, where: str, fallback: str, name: Any = None) -> Sent:
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise InvalidRequest(
            f"{where}: only a data URL in base64 is taken, and nothing is fetched; "
            "send the content, or upload the file to /files and name its key as file_id"
        )
    media_type = head[len("data:") : -len(";base64")] or "application/octet-stream"
    return Sent(_named(name, fallback, media_type), media_type, data)


def _named(name: Any, fallback: str, media_type: str) -> str:
    if isinstance(name, str) and name.strip():
        return name
    return f"{fallback}{mimetypes.guess_extension(media_type.partition(';')[0].strip()) or ''}"


async def stored(
    files: FileManager, who: Principal, content: Content, *, of: Sequence[str]
) -> tuple[str, ...]:
    """The keys of the content's files, which are files of the caller from now on.

    Args:
        of: What tells this message from any other: the same message again stores nothing twice.

    Raises:
        InvalidRequest: A content is not base64.
        FileNotFound, FileTooLarge, StorageFull: See `FileManager`.
    """
    keys: list[str] = []
    for number, sent in enumerate(content.files):
        if sent.key:
            keys.append((await files.info(who, sent.key)).key)
            continue
        try:
            data = base64.b64decode(sent.b64, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest(f"'{sent.name[:80]}': its content is not base64") from None
        key = derived_key("message", who.id, *of, str(number), hashlib.sha256(data).hexdigest())
        await files.put(who, sent.name, data, media_type=sent.media_type or None, key=key)
        keys.append(key)
    return tuple(keys)
