"""How a file leaves over HTTP: its headers, and which part was asked for."""

from __future__ import annotations

import re
from urllib.parse import quote

from core.errors import InvalidInput
from nodes.file_storage.models import FileInfo

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII | re.IGNORECASE)
# More digits than any file has bytes: what has more of them lies behind its end all the same.
_DIGITS = 20
_ETAGS = re.compile(r'(?:W/)?("[^"]*")')


class RangeNotSatisfiable(InvalidInput):
    """The asked range lies outside of the file; HTTP says 416."""

    code = "range_not_satisfiable"
    title = "The range is outside of the file"


def disposition(name: str) -> str:
    """A Content-Disposition that saves the file under its name, whatever letters it has (RFC 6266)."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def download_headers(info: FileInfo) -> dict[str, str]:
    """Headers for the content of `info`. A browser must not run what users uploaded."""
    return {
        "content-type": info.media_type,
        "content-disposition": disposition(info.name),
        "etag": f'"{info.etag}"',
        "cache-control": "private, no-store",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
    }


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The asked part as (start, end), end not included; None for the whole file.

    Anything but one range of bytes is answered with the whole file, as RFC 9110 allows.

    Raises:
        RangeNotSatisfiable: It lies outside of a file of `size` bytes.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = (int(digits[:_DIGITS]) if digits else None for digits in match.groups())
    if first is None:
        start, end = max(0, size - (last or 0)), size
    else:
        start, end = first, size if last is None else min(size, last + 1)
        if last is not None and last < first:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable(f"the file has {size} bytes; '{match.group()[:60]}' lies outside")
    return start, end


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the header of that name says that its client has the content already (RFC 9110, 13.1.2)."""
    wanted = (if_none_match or "").strip()
    return wanted == "*" or etag in _ETAGS.findall(wanted)
