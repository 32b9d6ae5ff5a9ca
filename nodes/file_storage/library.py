"""The texts of files: taken out once, and kept by what is in them for as long as there is room."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import shutil
import tempfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path, PurePath

from core.access import Principal
from core.errors import InvalidInput
from nodes.file_storage.manager import FileManager
from nodes.file_storage.models import FileInfo
from nodes.file_storage.ports import DocumentReader
from nodes.file_storage.settings import AttachmentSettings
from nodes.file_storage.texts import Document, Part

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
PDF = "application/pdf"
# A document that could not be read counts as so many characters, so that those are forgotten too.
_LEAST = 500
_SAFE = re.compile(r"[^A-Za-z0-9]")


class Library:
    """Reads files of users. What is known of a file is known by its content: another name costs nothing.

    Only memory keeps it: a text outlives the file that it came from by this process at most.
    """

    def __init__(self, files: FileManager, reader: DocumentReader, settings: AttachmentSettings) -> None:
        self._files = files
        self._reader = reader
        self._settings = settings
        self._kept: OrderedDict[tuple[str, str], Document] = OrderedDict()
        self._coming: dict[tuple[str, str], asyncio.Task[Document]] = {}
        self._size = 0

    async def document(self, principal: Principal, info: FileInfo) -> Document:
        """What can be read of a file, or why nothing can.

        Args:
            info: As it was given to this principal just now.

        Raises:
            Unavailable: The store cannot be used now.
        """
        suffix = suffix_of(info)
        at = (info.etag, suffix)
        if found := self._kept.get(at):
            self._kept.move_to_end(at)
            return found
        if reason := self._against(info):
            return Document(reason=reason)
        # Whoever asks for the same waits for one reading, which goes on when he leaves.
        task = self._coming.get(at)
        if task is None:
            task = self._coming[at] = asyncio.create_task(self._read(principal, info, suffix))
            task.add_done_callback(lambda done: self._done(at, done))
        return await asyncio.shield(task)

    def sought(self, question: str, document: Document) -> list[list[str]]:
        """The words of a question, as they are looked for in the document."""
        sample = "\n".join(part.text[:2000] for part in document.parts[:4])
        return [list(forms) for forms in self._reader.sought(question, sample)]

    async def aclose(self) -> None:
        """Stop what is being read."""
        for task in list(self._coming.values()):
            task.cancel()
        await asyncio.gather(*self._coming.values(), return_exceptions=True)

    def _against(self, info: FileInfo) -> str:
        if info.media_type in IMAGES:
            return "images have no text that could be read"
        most = self._settings.document_bytes
        return f"it is larger than {most} bytes" if info.size > most else ""

    async def _read(self, principal: Principal, info: FileInfo, suffix: str) -> Document:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="waystation-read-"))
        try:
            path = folder / f"document{suffix}"
            with await asyncio.to_thread(path.open, "wb") as handle:
                async for chunk in self._files.open(principal, info.key):
                    await asyncio.to_thread(handle.write, chunk)
            parts, notes = await self._reader.read(path)
        except InvalidInput as error:
            return Document(reason=error.detail)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return Document(tuple(Part(where, text) for where, text in parts if text.strip()), tuple(notes))

    def _done(self, at: tuple[str, str], task: asyncio.Task[Document]) -> None:
        self._coming.pop(at, None)
        with suppress(asyncio.CancelledError):
            if task.exception() is None:
                self._keep(at, task.result())

    def _keep(self, at: tuple[str, str], document: Document) -> None:
        if document.chars > self._settings.kept_chars:
            return
        self._kept[at] = document
        self._size += max(document.chars, _LEAST)
        while self._size > self._settings.kept_chars and self._kept:
            _, gone = self._kept.popitem(last=False)
            self._size -= max(gone.chars, _LEAST)


def suffix_of(info: FileInfo) -> str:
    """How a file's name ends, as a reader knows it; of a name that says nothing, by its media type."""
    suffix = _SAFE.sub("", PurePath(info.name).suffix.lower())[:16]
    kind = info.media_type.split(";")[0].strip()
    if kind == PDF:
        return ".pdf"
    if suffix:
        return f".{suffix}"
    return ".txt" if kind.startswith("text/plain") else mimetypes.guess_extension(kind) or ""
