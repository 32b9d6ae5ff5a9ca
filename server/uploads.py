"""A form with one file in it, read as it comes: the file goes on to its store while the rest is on its way.

The form is that of RFC 7578; the parser is python-multipart's own, which Starlette uses too. Fields may stand
before the file and behind it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from server.errors import InvalidRequest

# What may stand in a form beside its file.
MOST_FIELDS = 10
FIELD_BYTES = 1024 * 1024

_AS_IT_IS = frozenset({"binary", "8bit", "7bit"})
_NO_FILE = "file: the form has no part 'file' with a file name"
# A name with nothing in it but what needs no escape, and escapes.
_ALL_ESCAPED = re.compile(r"(?:[A-Za-z0-9_.~/\[\]-]|%[0-9A-Fa-f]{2})+")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')
_EXTENDED = re.compile(rb";\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^';]*'([^;\s]*)", re.IGNORECASE)
# What browsers write for the three characters that would end a name (WHATWG, multipart/form-data).
_BY_BROWSERS = {"%22": '"', "%0D": "\r", "%0A": "\n"}


@dataclass(frozen=True, slots=True)
class FilePart:
    """What a form says of its file before the file itself.

    Args:
        at_least: So many bytes of it will come, as the whole form was announced; 0 where nobody knows.
    """

    name: str
    media_type: str | None
    at_least: int


class UploadForm:
    """Reads the form of a request, whose content type is `multipart/form-data`.

    Raises:
        InvalidRequest: By each method, where the form is none, or has more than one file.
    """

    def __init__(self, request: Request) -> None:
        self.fields: dict[str, str] = {}
        self._stream = request.stream()
        length = request.headers.get("content-length", "")
        self._announced = int(length[:19]) if length.isdecimal() else 0
        self._came = 0
        self._file: FilePart | None = None
        self._pieces: list[bytes] = []
        self._ended = False
        self._field = bytearray()
        self._field_bytes = 0
        self._parts = 0
        self._in_file = False
        self._header = (bytearray(), bytearray())
        self._headers: dict[str, bytes] = {}
        self._parser = self._made(request.headers["content-type"])

    def _made(self, content_type: str) -> MultipartParser:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise InvalidRequest("the content type of the form names no boundary")
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._part_is_known,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_ends,
                    "on_end": self._form_ends,
                },
            )
        except FormParserError:
            raise InvalidRequest("the boundary of the form is too long") from None

    async def file(self) -> FilePart:
        """The form's file, as soon as it begins."""
        while self._file is None and await self._more():
            pass
        if self._file is None:
            raise InvalidRequest(_NO_FILE)
        return self._file

    async def content(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the file. It ends when the form has: then the fields behind it are known."""
        while self._pieces or await self._more():
            pieces, self._pieces = self._pieces, []
            if pieces:
                yield b"".join(pieces) if len(pieces) > 1 else pieces[0]

    async def _more(self) -> bool:
        """Read on; False at the end."""
        chunk = await anext(self._stream, None)
        if chunk is None:
            if not self._ended:
                raise InvalidRequest("the form breaks off before the boundary at its end")
            return False
        self._came += len(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            if "header" in str(error).lower():
                why = "the body is no form: a part has headers that are too many, too long or malformed"
                raise InvalidRequest(why) from None
            raise InvalidRequest("the body is no form: it does not stand between its boundaries") from None
        return True

    # What the parser calls, in the order of a form.

    def _part_begins(self) -> None:
        self._headers, self._field = {}, bytearray()
        self._parts += 1
        if self._parts > MOST_FIELDS + 1:
            raise InvalidRequest(f"the form has more than {MOST_FIELDS} fields beside its file")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_ends(self) -> None:
        name, value = self._header
        self._headers[name.decode("latin-1").lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _part_is_known(self) -> None:
        disposition = self._headers.get("content-disposition", b"")
        options = parse_options_header(disposition)[1]
        if b"name" not in options:
            raise InvalidRequest("a part of the form has no name in its header content-disposition")
        self._name = _text(options[b"name"])
        name = name_in(disposition, options)
        self._in_file = name is not None
        if name is not None:
            self._file_begins(name)

    def _file_begins(self, name: str) -> None:
        if self._file is not None:
            raise InvalidRequest("file: the form has more than one file; send one at a time")
        if self._name != "file" or not name:
            raise InvalidRequest(_NO_FILE)
        how = _text(self._headers.get("content-transfer-encoding", b"binary")).strip().lower()
        if how not in _AS_IT_IS:
            # No form has it any more (RFC 7578, 4.7): stored as it came, the file would be another one.
            raise InvalidRequest("file: its part has a content-transfer-encoding; send its bytes as they are")
        kind = self._headers.get("content-type")
        # What stands before it is not of it, and what may come behind it is bounded.
        at_least = max(0, self._announced - self._came - FIELD_BYTES)
        self._file = FilePart(name, kind.decode("latin-1") if kind else None, at_least)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > FIELD_BYTES:
            raise InvalidRequest(f"the fields of the form have more than {FIELD_BYTES} bytes")
        self._field.extend(data[start:end])

    def _part_ends(self) -> None:
        if not self._in_file:
            self.fields[self._name] = _text(self._field)

    def _form_ends(self) -> None:
        self._ended = True


def name_in(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    """The file name of a part, however its client wrote it; None where it has none.

    .NET writes `filename*` (RFC 5987) beside a name that is not to be read, aiohttp escapes the whole name,
    browsers, curl, requests and httpx escape three characters of it.

    Args:
        disposition: The header.
        options: What its parser made of it, which leaves `filename*` out.
    """
    if told := _extended(disposition):
        return told
    if b"filename" not in options:
        return None
    name = _text(options[b"filename"])
    if _ALL_ESCAPED.fullmatch(name):
        try:
            return unquote(name, errors="strict")
        except UnicodeDecodeError:
            return name
    for escaped, char in _BY_BROWSERS.items():
        name = name.replace(escaped, char)
    return name


def _extended(disposition: bytes) -> str:
    """What `filename*` says; "" where it is not there, or cannot be read."""
    found = _EXTENDED.search(_QUOTED.sub(b'""', disposition))
    if found is None:
        return ""
    charset, escaped = found.groups()
    try:
        return unquote_to_bytes(escaped).decode("utf-8" if charset.lower() == b"utf-8" else "latin-1")
    except UnicodeDecodeError:
        return ""


def _text(given: bytes | bytearray) -> str:
    """Names and fields are UTF-8 (RFC 7578, 5.1); what is not is read as older browsers wrote it."""
    try:
        return given.decode()
    except UnicodeDecodeError:
        return given.decode("latin-1")
