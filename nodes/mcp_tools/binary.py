"""Bytes that come as base64, as it should have been written or nearly so."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

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


class Found(NamedTuple):
    """Bytes, and what they are as far as they say it themselves."""

    data: bytes
    media_type: str
    b64: str


def decoded(text: object) -> Found | None:
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
    return Found(data, (head[1] if head else "") or _kind(data), plain)


def _kind(data: bytes) -> str:
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12], "")
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")
