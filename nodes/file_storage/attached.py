"""What a model is given of a thread's files under the caller's rights, and two tools by which it reads on."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.access import Principal
from core.errors import InvalidInput, Unavailable, WaystationError
from nodes.file_storage.errors import FileNotFound
from nodes.file_storage.library import IMAGES, PDF, Library
from nodes.file_storage.manager import FileManager
from nodes.file_storage.models import FileInfo
from nodes.file_storage.settings import AttachmentSettings
from nodes.file_storage.texts import Document, ranges

READ_CHARS = 16_000
SEARCHED = 200
SEARCH_SECONDS = 20.0
_TOGETHER = 4
_SHOWN = 600
FOUND = 6
_SPAN = re.compile(r"(\d{1,7})\s*(?:-\s*(\d{0,7}))?")
_MOST_SPANS = 50

READ, SEARCH = "read_file", "search_in_file"
_NAME = {"type": "string", "description": "The file's name, as it stands in the list of files."}
TOOLS: dict[str, dict[str, Any]] = {
    READ: {
        "description": "Read on in a file of this conversation: pages of a PDF, slides, or lines of a text. "
        "Without pages and lines it begins at the start.",
        "parameters": {
            "type": "object",
            "properties": {
                "name": _NAME,
                "pages": {"type": "string", "description": "Pages, slides or parts, such as 3-5 or 2, 7."},
                "lines": {"type": "string", "description": "Lines of a text, such as 100-160."},
            },
            "required": ["name"],
        },
    },
    SEARCH: {
        "description": "Find the places in a file of this conversation that have to do with some words.",
        "parameters": {
            "type": "object",
            "properties": {
                "name": _NAME,
                "query": {"type": "string", "description": "The words to look for."},
            },
            "required": ["name", "query"],
        },
    },
}
"""Descriptions and JSON schemas of the tools, by name."""


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file of the thread as a model is given it.

    Args:
        text: What of its text is shown; "" for none.
        extent: Which part of it that is; "" for all of it.
        notes: What could not be read of it.
        reason: Why its text is not there.
        data: The content in base64, of an image or a PDF that is to be seen as such.
        message: Id of the message that it came with, where that is known.
        thread: The thread that it is known to be of.
    """

    key: str
    name: str
    media_type: str
    size: int
    text: str = ""
    extent: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""
    data: str = ""
    message: str = ""
    thread: str = ""


@dataclass(frozen=True, slots=True)
class ModelSees:
    """Which files a model can see as such, and whether the text of a PDF is wanted all the same."""

    images: bool = False
    pdfs: bool = False
    pdf_texts: bool = True


@dataclass(frozen=True, slots=True)
class FileHit:
    """A file with the place in it that has most to do with a query."""

    info: FileInfo
    where: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class FileHits:
    """The best hits of a search in texts.

    Args:
        searched: Files that were looked into.
        left_out: Files that were not: there was no time, or they have no text.
    """

    hits: Sequence[FileHit] = ()
    searched: int = 0
    left_out: int = 0


class AttachedFiles:
    """Reads the files of a thread for one turn."""

    def __init__(self, files: FileManager, library: Library, settings: AttachmentSettings) -> None:
        self._files = files
        self._library = library
        self._settings = settings

    async def shown(
        self, principal: Principal, refs: Sequence[Mapping[str, Any]], question: str, wanted: ModelSees
    ) -> list[ShownFile]:
        """The newest files of a thread in their order, with as much of their texts as there is room for.

        A file that is gone, or cannot be had now, costs no turn: it says why.

        Args:
            refs: Entries of the graph's `files` channel.
            question: What the user wants to know; of a long text the parts for it are shown.
        """
        newest = list(refs[-self._settings.files :]) if self._settings.files else []
        found = await asyncio.gather(*(self._looked_at(principal, ref, wanted) for ref in newest))
        shown = await asyncio.to_thread(self._with_texts, found, question)
        return await self._with_media(principal, shown, wanted)

    async def read(self, principal: Principal, key: str, *, pages: str = "", lines: str = "") -> str:
        """Pages, parts or lines of a file, at most READ_CHARS characters of them.

        Raises:
            InvalidInput: It has no text, or no such pages or lines.
            FileNotFound: The principal has no such file.
        """
        document = await self._readable(principal, key)
        if lines.strip() or document.unit == "line":
            return _lines(document, lines or pages)
        return _parts(document, pages)

    async def search(self, principal: Principal, key: str, query: str) -> str:
        """The places of a file that have most to do with the query. Raises what `read` raises."""
        document = await self._readable(principal, key)
        words = self._library.sought(query, document) or [[word] for word in query.split()]
        if not words:
            raise InvalidInput("query: give the words to look for")
        scores = await asyncio.to_thread(document.scores, words)
        best = sorted((at for at, score in enumerate(scores) if score), key=lambda at: -scores[at])[:FOUND]
        if not best:
            return f"Nothing in it has to do with '{query[:200]}'. {_size_of(document)}"
        return document.shown(sorted(best))

    async def find(self, principal: Principal, query: str, *, limit: int = 10) -> FileHits:
        """The principal's newest files that have most to do with the query, by their texts.

        Texts that are not known yet are taken out now, for as long as that is bearable.

        Raises:
            Unavailable: The store cannot be used now.
        """
        infos = await self._files.list(principal, limit=SEARCHED)
        gate, hits, searched = asyncio.Semaphore(_TOGETHER), list[FileHit](), 0

        async def look(info: FileInfo) -> None:
            nonlocal searched
            async with gate:
                document = await self._library.document(principal, info)
                if not document.parts:
                    return
                words = self._library.sought(query, document) or [[word] for word in query.split()]
                scores = await asyncio.to_thread(document.scores, words)
            searched += 1
            best = max(range(len(scores)), key=scores.__getitem__, default=-1)
            if best >= 0 and scores[best]:
                piece = document.pieces[best]
                # A score tells places of one text apart; how many words are there, one text from another.
                score = document.matched(best, words) + scores[best] / (1 + scores[best])
                hits.append(FileHit(info, piece.where, piece.text[:_SHOWN], round(score, 3)))

        tasks = [asyncio.create_task(look(info)) for info in infos]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=SEARCH_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for outage in ended:
            if isinstance(outage, Unavailable):
                raise outage
        hits.sort(key=lambda hit: -hit.score)
        return FileHits(hits[:limit], searched, len(infos) - searched)

    async def _readable(self, principal: Principal, key: str) -> Document:
        document = await self._library.document(principal, await self._files.info(principal, key))
        if not document.parts:
            raise InvalidInput(f"its text cannot be read: {document.reason or 'it is empty'}")
        return document

    async def _looked_at(
        self, principal: Principal, ref: Mapping[str, Any], wanted: ModelSees
    ) -> tuple[ShownFile, Document]:
        shown = ShownFile(
            str(ref["key"]),
            str(ref.get("name") or ref["key"]),
            str(ref.get("media_type") or ""),
            int(ref.get("size") or 0),
            message=str(ref.get("message") or ""),
            thread=str(ref.get("thread") or ""),
        )
        try:
            info = await self._files.info(principal, shown.key)
            shown = replace(shown, media_type=_kind(info), size=info.size)
            if _as_such(shown, wanted) and not (shown.media_type == PDF and wanted.pdf_texts):
                return shown, Document()
            return shown, await self._library.document(principal, info)
        except FileNotFound:
            return shown, Document(reason="it is not there any more")
        except WaystationError as error:
            return shown, Document(reason=error.detail)

    def _with_texts(self, found: Sequence[tuple[ShownFile, Document]], question: str) -> list[ShownFile]:
        """Whole texts while they fit, the newest first; the others share what is left."""
        room, whole = self._settings.chars, set[int]()
        for at in range(len(found) - 1, -1, -1):
            document = found[at][1]
            if document.parts and document.chars <= room:
                whole.add(at)
                room -= document.chars
        parted = [at for at, (_, document) in enumerate(found) if document.parts and at not in whole]
        share = room // len(parted) if parted else 0
        return [
            self._with_text(shown, document, question, share=None if at in whole else share)
            for at, (shown, document) in enumerate(found)
        ]

    def _with_text(
        self, shown: ShownFile, document: Document, question: str, *, share: int | None
    ) -> ShownFile:
        """With its whole text, or as many characters of it as its share."""
        known = replace(shown, notes=document.notes, reason=document.reason)
        if share is None:
            return replace(known, text=document.whole())
        if not document.parts:
            return known
        places = document.chosen(self._library.sought(question, document), share)
        extent = document.extent(places) if places else "nothing of it"
        return replace(known, text=document.shown(places), extent=extent)

    async def _with_media(
        self, principal: Principal, found: Sequence[ShownFile], wanted: ModelSees
    ) -> list[ShownFile]:
        """The contents of what can be seen as such, the newest first, while there is room."""
        room, most = self._settings.media_bytes, self._settings.image_bytes
        made = list(found)
        for at in range(len(made) - 1, -1, -1):
            shown = made[at]
            if not _as_such(shown, wanted):
                continue
            if shown.size > min(room, most):
                limit = f"it is larger than {most} bytes" if shown.size > most else "there are too many files"
                made[at] = shown if shown.text else replace(shown, reason=limit)
                continue
            room -= shown.size
            try:
                chunks = [chunk async for chunk in self._files.open(principal, shown.key)]
            except WaystationError as error:
                made[at] = replace(shown, reason=error.detail)
            else:
                made[at] = replace(shown, data=b64encode(b"".join(chunks)).decode(), reason="")
        return made


def _kind(info: FileInfo) -> str:
    return info.media_type.split(";")[0].strip()


def _as_such(shown: ShownFile, wanted: ModelSees) -> bool:
    return (shown.media_type in IMAGES and wanted.images) or (shown.media_type == PDF and wanted.pdfs)


def _spans(given: str, what: str) -> list[tuple[int, int]]:
    """(first, last) of each of "3-5, 9"; an open end goes as far as there is."""
    found: list[tuple[int, int]] = []
    for one in given.split(",")[:_MOST_SPANS]:
        match = _SPAN.fullmatch(one.strip())
        if match is None:
            raise InvalidInput(f"{what}: '{given[:80]}' is no range; write 3-5 or 2, 7")
        first, last = int(match.group(1)), match.group(2)
        end = first if last is None else int(last or 10**7)
        if end < first:
            raise InvalidInput(f"{what}: '{given[:80]}' ends before it begins")
        found.append((first, end))
    return found


def _parts(document: Document, pages: str) -> str:
    numbered = document.numbered()
    spans = _spans(pages, "pages") if pages.strip() else [(1, 10**7)]
    wanted = [(n, part) for n, part in numbered if any(a <= n <= b for a, b in spans)]
    if not wanted:
        raise InvalidInput(f"pages: it has no text on {pages}. {_size_of(document)}")
    lines: list[str] = []
    left = READ_CHARS
    for place, (number, part) in enumerate(wanted):
        if left < len(part.text) and place:
            return "\n".join([*lines, f"(more: {document.unit}s {ranges([n for n, _ in wanted[place:]])})"])
        name = part.where if document.unit != "part" else f"part {number}: {part.where or 'text'}"
        lines += [f"[{name}]", part.text[:left]]
        if left < len(part.text):
            begun = f"{document.unit} {number} is longer; the rest of it is found by {SEARCH}"
            lines.append(f"({begun})")
        left -= len(part.text)
    return "\n".join(lines)


def _lines(document: Document, lines: str) -> str:
    every = "\n\n".join(part.text for part in document.parts).split("\n")
    spans = _spans(lines, "lines") if lines.strip() else [(1, len(every))]
    said: list[str] = []
    left = READ_CHARS
    for first, last in spans:
        if first < 1 or first > len(every):
            raise InvalidInput(f"lines: it has {len(every)} lines; '{lines[:80]}' is outside")
        for number in range(first, min(last, len(every)) + 1):
            line = every[number - 1]
            if len(line) >= left and said:
                return "\n".join([*said, f"(more: lines {number}-{len(every)})"])
            # One that is longer than all that may be said is cut: whoever asks again would get the same.
            said.append(line[:left])
            left -= len(line) + 1
    return "\n".join([f"[lines {', '.join(f'{a}-{min(b, len(every))}' for a, b in spans)}]", *said])


def _size_of(document: Document) -> str:
    if document.unit == "line":
        return f"It has {sum(part.text.count(chr(10)) + 1 for part in document.parts)} lines."
    numbers = [number for number, _ in document.numbered()]
    return f"It has {document.unit}s {ranges(numbers)}."
