"""Who takes the text out of documents: the module here that can, or we ourselves, plain texts only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from core.errors import InvalidInput
from core.registry import declared, loaded
from core.words import words
from nodes.file_storage.ports import DocumentReader
from nodes.file_storage.settings import AttachmentSettings


class PlainReader(DocumentReader):
    """Reads texts in UTF-8."""

    async def read(self, path: Path) -> tuple[Sequence[tuple[str, str]], Sequence[str]]:
        try:
            text = (await asyncio.to_thread(path.read_bytes)).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidInput("only texts in UTF-8 are read here") from None
        return [("", text.replace("\r\n", "\n").replace("\r", "\n"))], []

    def sought(self, question: str, sample: str) -> Sequence[Sequence[str]]:
        return [(word,) for word in dict.fromkeys(words(question)) if len(word) > 2]


@asynccontextmanager
async def opened_reader(settings: AttachmentSettings) -> AsyncIterator[DocumentReader]:
    """The reader of the first module that declares one; it need not run."""
    declaring = next((module for module in declared() if module.reader), None)
    if declaring is None:
        yield PlainReader()
        return
    limits = {"most_bytes": settings.document_bytes, "seconds": settings.document_timeout_s}
    async with loaded(declaring.reader)(**limits) as reader:
        yield reader
