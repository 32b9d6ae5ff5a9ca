"""From bytes to text, in the encodings that text files are found in."""

from __future__ import annotations

import codecs
import re

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([A-Za-z0-9_.:-]{2,40})")
_LOOKED_AT = 4096
_UNKNOWN = "its encoding is not known; save it as UTF-8"
# Latin text has few letters beyond ASCII; where there are many, it is another script in another code page.
_MOST_ACCENTED = 0.35
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")


class Undecodable(Exception):
    """Bytes that are no text; its message says why."""


def decoded(raw: bytes, *, declares: bool = False) -> str:
    """The text of a file.

    Args:
        declares: Look for `charset=` or `encoding=` at its beginning, as HTML and XML say it.

    Raises:
        Undecodable: It is binary, or nobody can tell its encoding.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _strict(raw, encoding)
    if b"\0" in raw:
        return _plausible(_wide(raw))
    try:
        return _plausible(raw.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    return _plausible(_declared(raw) if declares and _DECLARED.search(raw[:_LOOKED_AT]) else _western(raw))


def _strict(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise Undecodable(_UNKNOWN) from None


def _wide(raw: bytes) -> str:
    """UTF-16 without its mark: every second byte of Latin text is zero."""
    head = raw[:_LOOKED_AT]
    half, even, odd = len(head) // 2, head[::2].count(0), head[1::2].count(0)
    try:
        if len(raw) % 2 == 0 and odd > 0.4 * half and even <= 0.05 * half:
            return raw.decode("utf-16-le")
        if len(raw) % 2 == 0 and even > 0.4 * half and odd <= 0.05 * half:
            return raw.decode("utf-16-be")
    except UnicodeDecodeError:
        pass
    raise Undecodable("it is a binary file")


def _declared(raw: bytes) -> str:
    found = _DECLARED.search(raw[:_LOOKED_AT])
    name = found.group(1).decode("ascii") if found else ""
    try:
        return raw.decode(known_as(name))
    except (LookupError, UnicodeDecodeError, ValueError, TypeError, AssertionError):
        return _western(raw)


def known_as(name: str) -> str:
    """The codec for a charset that a file names: Latin-1 means Windows-1252 (WHATWG Encoding, 4.2).

    Raises:
        LookupError: Nobody knows it.
    """
    found = codecs.lookup(name).name
    return "cp1252" if found == "iso8859-1" else found


def _western(raw: bytes) -> str:
    """UTF-8 with a few broken bytes, or Windows-1252, or Latin-1."""
    mended = raw.decode("utf-8", "replace")
    broken = mended.count("\ufffd")
    if broken * 4 < sum(1 for c in mended if c > "\x7f"):
        return mended
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    letters = [c for c in text if c.isalpha()]
    accented = sum(1 for c in letters if c > "\x7f")
    if accented > _MOST_ACCENTED * len(letters):
        raise Undecodable(_UNKNOWN)
    return text


def _plausible(text: str) -> str:
    if len(_CONTROLS.findall(text)) * 100 > len(text):
        raise Undecodable("it is a binary file")
    return text
