"""Files that come inside a message: content lists with images and files, kept as files of the caller.

A part is one of chat completions (`text`, `image_url` with a data URL, `file` with `file_data` or
`file_id`), one of OpenAI's responses (`input_text`, `output_text`, `input_image`, `input_file`), or
LangChain's own block of an image or a file in base64, of Python and of JavaScript. Nothing is fetched.
"""

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
from nodes.file_storage.naming import derived_key
from server.errors import InvalidRequest, UnsupportedParameter

MOST_PARTS = 100
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_IMAGES = frozenset({"image_url", "input_image"})
_FILES = frozenset({"file", "input_file"})
_ANY = "application/octet-stream"
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*;base64,")
_SCHEME = re.compile(r"[a-zA-Z][\w+.-]{0,20}:")


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


def read_content(given: str | Sequence[Any] | None, where: str = "content") -> Content:
    """A message's content.

    Args:
        where: Its place in the body, for errors.

    Raises:
        InvalidRequest: A part is malformed; says which.
        UnsupportedParameter: A part is of a kind that is not taken.
    """
    if given is None or isinstance(given, str):
        return Content(given or "")
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
    kind = str(part.get("type"))
    if kind in _TEXTS:
        return _text(part.get(_TEXTS[kind]), where)
    if kind in ("image", "file") and (data := _langchain_data(part)) is not None:
        return _langchain(part, kind, data, number)
    if kind in _IMAGES:
        held = part.get("image_url")
        image = held if isinstance(held, Mapping) else {"url": held}
        return _kept(part) or _given(image.get("url"), f"image-{number}", None, where)
    if kind in _FILES:
        return _file(part.get("file") if kind == "file" else part, where, number)
    raise UnsupportedParameter(
        where,
        f"parts of type '{kind[:40]}' are not taken; send text, image_url with a data URL, or file with "
        "file_data or file_id",
    )


def _text(text: Any, where: str) -> str:
    if not isinstance(text, str):
        raise InvalidRequest(f"{where}: its text is missing")
    return text


def _file(file: Any, where: str, number: int) -> Sent:
    if not isinstance(file, Mapping):
        raise InvalidRequest(f"{where}.file: must be an object")
    data = file.get("file_data") or file.get("file_url")
    return _kept(file) or _given(data, f"file-{number}", file.get("filename"), where)


def _kept(part: Mapping[str, Any]) -> Sent | None:
    """A file that is stored already, where the part names one."""
    key = part.get("file_id")
    return Sent(key=key) if isinstance(key, str) and key else None


def _langchain_data(part: Mapping[str, Any]) -> str | None:
    """The base64 in a block of LangChain: of today (`base64`), of 0.3 and of its JavaScript (`data`)."""
    data = part.get("base64", part.get("data"))
    return data if isinstance(data, str) else None


def _langchain(part: Mapping[str, Any], kind: str, data: str, number: int) -> Sent:
    media_type = str(part.get("mime_type") or part.get("mimeType") or _ANY)
    told = [part, *(more for name in ("extras", "metadata") if isinstance(more := part.get(name), Mapping))]
    names = [one.get(name) for one in told for name in ("filename", "name")]
    name = next((name for name in names if isinstance(name, str) and name), None)
    return Sent(_named(name, f"{kind}-{number}", media_type), media_type, data)


def _given(url: Any, fallback: str, name: Any, where: str) -> Sent:
    """What a `data:` address holds, or base64 alone. Others may lead to what only we reach."""
    if not isinstance(url, str) or not isinstance(name, str | None):
        raise InvalidRequest(f"{where}: has neither the data of a file nor the key of one (file_id)")
    head = _DATA.match(url[:300])
    if head is None and (fallback.startswith("image") or _SCHEME.match(url)):
        raise UnsupportedParameter(
            where,
            "only a data URL in base64 is taken, and nothing is fetched; upload to /files and send file_id",
        )
    media_type = (head[1] if head else None) or mimetypes.guess_type(name or "")[0] or _ANY
    return Sent(_named(name, fallback, media_type), media_type, url[head.end() if head else 0 :])


def _named(name: Any, fallback: str, media_type: str) -> str:
    if isinstance(name, str) and name.strip():
        fallback = name
        if "." in name:
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
    # All of them first: one that cannot be read leaves nothing behind.
    contents = [b"" if sent.key else _bytes(sent) for sent in content.files]
    for number, (sent, data) in enumerate(zip(content.files, contents, strict=True)):
        if sent.key:
            keys.append((await files.info(who, sent.key)).key)
            continue
        key = derived_key("message", who.id, *of, str(number), hashlib.sha256(data).hexdigest())
        await files.put(who, sent.name, data, media_type=sent.media_type or None, key=key)
        keys.append(key)
    return tuple(keys)


async def stored_for(agent: Agent, who: Principal, content: Content, *, of: Sequence[str]) -> tuple[str, ...]:
    """The same, with the storage of the agent; nothing is asked of it where there is nothing to store."""
    if not content.files:
        return ()
    return await stored(await agent.container.get(FileManager), who, content, of=of)


def _bytes(sent: Sent) -> bytes:
    try:
        return base64.b64decode(sent.b64, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"'{sent.name[:80]}': its content is not base64") from None
