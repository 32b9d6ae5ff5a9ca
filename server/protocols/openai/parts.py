"""Contents of messages: texts, and the parts that are none."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.access import Principal
from graph.agent import Agent
from nodes.file_storage import FileManager
from server.errors import InvalidRequest, UnsupportedParameter

# In both dialects: chat completions' and those of responses.
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_IMAGES = frozenset({"image_url", "input_image"})
_FILES = frozenset({"file", "input_file"})
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,")
Content = str | Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Attachment:
    """What is no text: its bytes, or the key of a file that is stored already."""

    where: str
    name: str = ""
    media_type: str = ""
    data: bytes = b""
    key: str = ""

    @property
    def digest(self) -> str:
        """Tells it from others."""
        return self.key or hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Read:
    """A content: its text, and what is none."""

    text: str
    attachments: tuple[Attachment, ...] = ()


def read(content: Content, where: str) -> Read:
    """A content as a text, and what is attached to it.

    Args:
        where: Its place in the body, for errors.

    Raises:
        InvalidRequest, UnsupportedParameter: A part is none, or of a kind that is not taken.
    """
    if content is None or isinstance(content, str):
        return Read(content or "")
    texts: list[str] = []
    attached: list[Attachment] = []
    for place, part in enumerate(content):
        at = f"{where}.{place}"
        kind = str(part.get("type"))
        if kind in _TEXTS:
            texts.append(_text(part.get(_TEXTS[kind]), at))
        elif kind in _IMAGES or kind in _FILES:
            attached.append(_attachment(part, at))
        else:
            raise UnsupportedParameter(at, f"parts of type '{kind[:40]}' are not taken; send text or files")
    return Read("\n\n".join(texts), tuple(attached))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{where}: its text is missing")
    return value


def _attachment(part: Mapping[str, Any], where: str) -> Attachment:
    if part["type"] in _IMAGES:
        given = part.get("image_url")
        url = given.get("url") if isinstance(given, Mapping) else given
        return _stored(part, where) or _from_url(url, "image", where)
    file = part.get("file") if part["type"] == "file" else part
    if not isinstance(file, Mapping):
        raise InvalidRequest(f"{where}.file: must be an object")
    return _stored(file, where) or _from_url(file.get("file_data"), file.get("filename") or "file", where)


def _stored(part: Mapping[str, Any], where: str) -> Attachment | None:
    key = part.get("file_id")
    return Attachment(where, key=key) if isinstance(key, str) and key else None


def _from_url(url: Any, name: Any, where: str) -> Attachment:
    """What a `data:` address holds. Others are not fetched: they may lead to what only we reach."""
    if not isinstance(url, str) or not isinstance(name, str):
        raise InvalidRequest(f"{where}: has neither the data of a file nor the key of one (file_id)")
    head = _DATA.match(url[:300])
    if head is None and re.match(r"[a-zA-Z][\w+.-]{0,20}:", url):
        raise UnsupportedParameter(
            where, "addresses are not fetched; send data:...;base64, or upload to /files"
        )
    kind = (head[1] if head else None) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    try:
        data = base64.b64decode(url[head.end() if head else 0 :], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{where}: is not base64") from None
    ending = mimetypes.guess_extension(kind) or ""
    return Attachment(where, name if "." in name else f"{name}{ending}", kind, data)


async def store(agent: Agent, who: Principal, attached: Sequence[Attachment]) -> tuple[str, ...]:
    """Keys of the files that go with a message; what came with it is stored first.

    Raises:
        FileNotFound, FileTooLarge, StorageFull: One cannot.
    """
    if not attached:
        return ()
    files = await agent.container.get(FileManager)
    keys: list[str] = []
    for each in attached:
        if each.key:
            keys.append((await files.info(who, each.key)).key)
        else:
            keys.append((await files.put(who, each.name, each.data, media_type=each.media_type)).key)
    return tuple(keys)
