"""Keys, owners, names and media types: what may stand where."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import secrets
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from nodes.file_storage.errors import InvalidFile
from nodes.file_storage.models import EXPIRES

NAME_BYTES = 255
TAG_BYTES = 512
DEFAULT_MEDIA_TYPE = "application/octet-stream"

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_MEDIA_TYPE = re.compile(
    r'[\w!#$&^.+-]{1,64}/[\w!#$&^.+-]{1,64}(?: ?; ?[\w.-]{1,32}="?[\w./+-]{1,64}"?){0,4}', re.ASCII
)
# Characters that turn the reading direction can make "exe.txt" out of "txt.exe".
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def new_key() -> str:
    """A key that nobody can guess."""
    return "f_" + secrets.token_urlsafe(18)


def derived_key(*parts: str) -> str:
    """The same key for the same parts, so that doing something twice stores it once."""
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return "f_" + urlsafe_b64encode(digest[:18]).decode()


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether it is a SHA-256 in hex."""
    return _DIGEST.fullmatch(text) is not None


def checked_key(text: str) -> str:
    """`text`, when it may be a key.

    Raises:
        InvalidFile: It may not.
    """
    if not is_key(text):
        raise InvalidFile(f"{text[:80]!r} cannot be a key; use 1 to 64 of A-Z a-z 0-9 _ -")
    return text


def owner_folder(owner: str) -> str:
    """A folder name for an owner: readable at the front, and different for different owners everywhere.

    The digest also keeps 'Ada' and 'ada' apart on file systems that do not.
    """
    readable = re.sub(r"[^A-Za-z0-9@_-]+", "-", owner)[:32].strip("-") or "user"
    digest = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{readable}-{digest[:24]}"


def clean_name(name: str) -> str:
    """`name` as we keep it: one line, no folders, at most 255 bytes with its ending kept."""
    last = re.split(r"[\\/]", name)[-1]
    kept = "".join(c for c in unicodedata.normalize("NFC", last) if not _is_control(c)).strip()
    if kept in ("", ".", ".."):
        return "file"
    return _cut(kept)


def _is_control(char: str) -> bool:
    return char in _TURNS or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _cut(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    tail = f".{ending}" if dot and stem and len(ending.encode()) <= 16 else ""
    room = NAME_BYTES - len(tail.encode())
    return name.encode()[:room].decode("utf-8", "ignore") + tail


def media_type_of(name: str, given: str | None) -> str:
    """`given` where it is a media type, else what the name's ending says."""
    # Clients that do not know the type say so with octet-stream.
    if given and given != DEFAULT_MEDIA_TYPE and _MEDIA_TYPE.fullmatch(given):
        return given
    return mimetypes.guess_type(name, strict=False)[0] or DEFAULT_MEDIA_TYPE


def without_end(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a file, but for the one that says when it ends."""
    return {name: value for name, value in tags.items() if name != EXPIRES}


def given_tags(tags: Mapping[str, object] | None, before: Mapping[str, str] | None = None) -> dict[str, str]:
    """Tags as a caller gives them: when a file ends is none of theirs, since a task does what that tag says.

    Args:
        before: Those that the file has: its end may be given again as it is.

    Raises:
        InvalidFile: They name an end, are no texts, or are too many.
    """
    end = (tags or {}).get(EXPIRES)
    if end is not None and end != (before or {}).get(EXPIRES):
        raise InvalidFile(
            f"the tag '{EXPIRES}' is set by `expires_after` of POST /v1/files alone; use another name"
        )
    return checked_tags(tags)


def retagged(
    before: Mapping[str, str], tags: Mapping[str, str | None], *, replace: bool, end: str | None
) -> dict[str, str]:
    """The tags of a file after a change of some, or with `replace` of all; `end` is told by us.

    Raises:
        InvalidFile: As `given_tags`.
    """
    kept = {} if replace else {name: value for name, value in before.items() if name not in tags}
    found = given_tags({**kept, **{name: value for name, value in tags.items() if value is not None}}, before)
    return checked_tags({**found, EXPIRES: end}) if end else found


def checked_tags(tags: Mapping[str, object] | None) -> dict[str, str]:
    """The tags as we keep them.

    Raises:
        InvalidFile: They are not texts, or more than 512 bytes as JSON.
    """
    found = {name: value for name, value in (tags or {}).items() if isinstance(value, str)}
    if len(found) != len(tags or {}):
        raise InvalidFile("tags must be texts by name")
    try:
        size = len(orjson.dumps(found))
    except orjson.JSONEncodeError as error:
        raise InvalidFile("tags must be valid Unicode") from error
    if size > TAG_BYTES:
        raise InvalidFile(f"tags take {size} bytes; at most {TAG_BYTES} as JSON")
    return found


def name_of(thing: Mapping[str, Any]) -> str:
    """What an artifact or an upload of the state is called; somebody may have written one without a name."""
    return str(thing.get("name") or "unnamed")
