"""Documents that are read once and not indexed: files of a conversation, for whoever keeps those."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from core.errors import InvalidInput
from core.languages import DEFAULT, language_of
from nodes.rag.reading import Extractor, Kind, NotText, Text, kind_of, read_document, read_text
from nodes.rag.terms import asked
from nodes.rag.wording import matter

READERS = 2
# A process that reads is let go of when nothing came for so long.
IDLE_SECONDS = 60.0
# Of a file of text more than this is a log or a dump, and no text that a person attaches.
MOST_TEXT_BYTES = 20_000_000
# Their own lines say more than sentences made of them: somebody may ask for line 12.
_AS_IT_IS = frozenset({Kind.TABLE, Kind.JSON})


class Documents:
    """Reads documents in processes of their own, within limits; two at a time, the others wait.

    Args:
        most_bytes: Of one document.
        seconds: For one document.
    """

    def __init__(self, *, most_bytes: int, seconds: float) -> None:
        self._most_bytes = most_bytes
        self._idle: list[Extractor] = [Extractor(seconds=seconds) for _ in range(READERS)]
        self._all = tuple(self._idle)
        self._free = asyncio.Semaphore(READERS)
        self._ending: asyncio.TimerHandle | None = None

    async def read(self, path: Path) -> tuple[list[tuple[str, str]], list[str]]:
        """The parts of a document in order, each with its page, sheet or slide in words, and notes.

        A part without such a place has "" for it. The notes say what was not read.

        Args:
            path: Its name says how it is read.

        Raises:
            InvalidInput: It cannot be read; says why, in words for people and without its name.
        """
        async with self._free:
            extractor = self._idle.pop()
            try:
                text = await asyncio.to_thread(self._text, path, extractor)
            except NotText as error:
                raise InvalidInput(str(error)) from None
            finally:
                self._idle.append(extractor)
                self._end_later()
        return _parts(text), list(text.notes)

    def sought(self, question: str, sample: str) -> list[tuple[str, ...]]:
        """The words of a question, each with the stems that may stand for it in a text such as `sample`."""
        return asked(matter(question), (language_of(sample) or DEFAULT,))

    def close(self) -> None:
        """End the processes."""
        if self._ending is not None:
            self._ending.cancel()
        for extractor in self._all:
            extractor.close()

    def _text(self, path: Path, extractor: Extractor) -> Text:
        if kind_of(path.name) in _AS_IT_IS:
            return Text(read_text(path, max_bytes=MOST_TEXT_BYTES), Kind.PLAIN)
        return read_document(
            path,
            max_bytes=MOST_TEXT_BYTES,
            extractor=extractor,
            max_document_bytes=self._most_bytes,
        )

    def _end_later(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        for extractor in self._idle:
            extractor.close()


def _parts(text: Text) -> list[tuple[str, str]]:
    ends = [place.start for place in text.places[1:]] + [len(text.text)]
    found: list[tuple[str, str]] = []
    for place, end in zip(text.places, ends, strict=True) if text.places else ():
        part = text.text[place.start : end].strip()
        if found and found[-1][0] == place.where:
            found[-1] = (place.where, f"{found[-1][1]}\n\n{part}")
        else:
            found.append((place.where, part))
    return found or [("", text.text)]


@asynccontextmanager
async def opened(*, most_bytes: int, seconds: float) -> AsyncIterator[Documents]:
    """The reader of this module, see `Module.reader`; its processes end with the block."""
    documents = Documents(most_bytes=most_bytes, seconds=seconds)
    try:
        yield documents
    finally:
        await asyncio.to_thread(documents.close)
