"""The lines of an export as they come in, each checked before anybody looks at it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from core.errors import TooLarge
from graph.threads.history.errors import ExportInvalid
from graph.threads.history.forms import LINE, LINE_BYTES, AnyLine, Line, PartLine

DEPTH = 64
L = TypeVar("L", bound=Line)


class Lines:
    """Reads line by line: `next` looks at the coming one, `take` goes past it.

    `number` and `size` are those of the line that was taken last.
    """

    def __init__(self, chunks: AsyncIterator[bytes], *, most_bytes: int | None = None) -> None:
        self._texts = _split(chunks, most_bytes)
        self._next: AnyLine | None = None
        self._next_size = 0
        self._read = 0
        self.number = 0
        self.size = 0

    async def next(self) -> AnyLine:
        """The coming line.

        Raises:
            ExportInvalid: It is not one of the format, or there is none.
        """
        if self._next is None:
            text = await anext(self._texts, None)
            self._read += 1
            if text is None:
                raise ExportInvalid(self._read, "the export ends here; its last line has the type 'end'")
            self._next, self._next_size = _parsed(text, self._read), len(text)
        return self._next

    async def take(self, kind: type[L]) -> L:
        """The coming line, which has to be of this kind.

        Raises:
            ExportInvalid: It is not.
        """
        found = await self.next()
        if not isinstance(found, kind):
            raise ExportInvalid(self._read, f"a line of the type '{found.type}' cannot stand here")
        self._next, self.number, self.size = None, self._read, self._next_size
        return found

    async def finish(self) -> None:
        """Make sure that nothing comes any more.

        Raises:
            ExportInvalid: Something does.
        """
        if await anext(self._texts, None) is not None:
            raise ExportInvalid(self._read + 1, "nothing may stand behind the line of the type 'end'")


async def content_of(lines: Lines) -> AsyncIterator[bytes]:
    """The content that the coming `part` lines hold."""
    while isinstance(await lines.next(), PartLine):
        part = await lines.take(PartLine)
        try:
            yield base64.b64decode(part.data, validate=True)
        except (binascii.Error, ValueError):
            raise ExportInvalid(lines.number, "data: is not base64") from None


def problem_in(error: ValueError) -> str:
    """The first finding, without the value that was sent."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _parsed(text: bytes, number: int) -> AnyLine:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ExportInvalid(number, f"is not JSON: {error.msg}") from None
    if _deeper_than(value, DEPTH):
        raise ExportInvalid(number, f"nests deeper than {DEPTH} levels")
    try:
        return LINE.validate_python(value)
    except ValidationError as error:
        raise ExportInvalid(number, problem_in(error)) from None


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            item
            for found in level
            if isinstance(found, (dict, list))
            for item in (found.values() if isinstance(found, dict) else found)
        ]
        if not level:
            return False
    return True


async def _split(chunks: AsyncIterator[bytes], most_bytes: int | None) -> AsyncIterator[bytes]:
    """The lines without their ends; empty ones are left out."""
    rest, size = bytearray(), 0
    async for chunk in chunks:
        size += len(chunk)
        if most_bytes is not None and size > most_bytes:
            raise TooLarge(f"the export is over {most_bytes} bytes")
        # Only what is new is looked through: a long line comes in many pieces.
        *whole, last = chunk.split(b"\n")
        if whole:
            whole[0] = bytes(rest) + whole[0]
            rest = bytearray()
        rest += last
        if len(rest) > LINE_BYTES:
            raise TooLarge(f"a line is over {LINE_BYTES} bytes")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield bytes(rest)
