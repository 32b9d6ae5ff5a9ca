"""Texts of files: which part of a long one is shown, and how a model reads on in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.access import Principal
from core.errors import InvalidInput
from nodes.file_storage import FileManager
from nodes.file_storage.attached import READ_CHARS, AttachedFiles, ModelSees
from nodes.file_storage.library import Library
from nodes.file_storage.readers import PlainReader, opened_reader
from nodes.file_storage.settings import AttachmentSettings
from nodes.file_storage.texts import Document, Part

ADA = Principal("ada")
SETTINGS = AttachmentSettings(chars=300, kept_chars=2000)


class Counted(PlainReader):
    """The plain reader, with what it was asked for."""

    def __init__(self) -> None:
        self.read_of: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, path: Path) -> tuple[list[tuple[str, str]], list[str]]:
        self.read_of.append(path.name)
        await self.gate.wait()
        parts, notes = await super().read(path)
        return list(parts), list(notes)


@pytest.fixture
def reader() -> Counted:
    return Counted()


@pytest.fixture
def attached(files: FileManager, reader: Counted) -> AttachedFiles:
    return AttachedFiles(files, Library(files, reader, SETTINGS), SETTINGS)


def lines(count: int) -> bytes:
    return "\n".join(f"line {n} of the log" for n in range(1, count + 1)).encode()


async def test_a_text_that_fits_is_shown_whole_and_the_newest_first(
    files: FileManager, attached: AttachedFiles
) -> None:
    old = await files.put(ADA, "old.txt", b"old " * 70)
    new = await files.put(ADA, "new.txt", b"new " * 20)
    shown = await attached.shown(ADA, [old.as_ref(), new.as_ref()], "anything", ModelSees())
    assert (shown[1].text, shown[1].extent) == ("new " * 20, "")
    assert shown[0].extent


async def test_of_a_long_text_the_lines_of_the_question_are_shown_and_named(
    files: FileManager, attached: AttachedFiles
) -> None:
    text = "\n\n".join([*("nothing here " * 20 for _ in range(30)), "The mast is nine metres high."])
    info = await files.put(Principal("eve"), "mast.txt", text.encode()[:1000])
    document = Document((Part("", text),))
    places = document.chosen([["mast"], ["high"]], 1700)
    assert "nine metres" in document.shown(places)
    assert document.extent(places).startswith("lines ")
    assert (await attached.shown(ADA, [info.as_ref()], "mast?", ModelSees()))[
        0
    ].reason == "it is not there any more"


def test_pages_are_named_by_their_numbers_also_where_some_have_no_text() -> None:
    document = Document((Part("page 1", "one"), Part("page 4", "four"), Part("page 5", "five")))
    assert document.unit == "page"
    assert [number for number, _ in document.numbered()] == [1, 4, 5]
    assert document.extent(range(3)) == "pages 1, 4-5 of 5"
    assert document.whole() == "[page 1]\none\n\n[page 4]\nfour\n\n[page 5]\nfive"


def test_a_word_is_found_by_its_stem_and_a_pair_of_characters_within_a_run() -> None:
    document = Document((Part("page 1", "Happy harbours"), Part("page 2", "港口的费用是十二欧元")))
    assert document.scores([["happi"], ["harbour"]])[0] > 0
    assert document.scores([["费用"]]) == [0.0, pytest.approx(document.scores([["费用"]])[1])]
    assert document.scores([["费用"]])[1] > 0


async def test_reading_on_goes_by_lines_and_says_what_comes_next(
    files: FileManager, attached: AttachedFiles
) -> None:
    info = await files.put(ADA, "log.txt", lines(40))
    assert (
        await attached.read(ADA, info.key, lines="3-4")
    ) == "[lines 3-4]\nline 3 of the log\nline 4 of the log"
    assert (await attached.read(ADA, info.key)).startswith("[lines 1-40]\nline 1 of")
    for wrong, why in (("41", "it has 40 lines"), ("x", "is no range"), ("4-3", "ends before it begins")):
        with pytest.raises(InvalidInput, match=why):
            await attached.read(ADA, info.key, lines=wrong)
    found = await attached.search(ADA, info.key, "line 7 log")
    assert "line 7 of the log" in found
    assert "Nothing in it" in await attached.search(ADA, info.key, "aeroplane")


async def test_a_line_without_an_end_is_cut_and_what_is_left_is_said(files: FileManager) -> None:
    big = FileManager.__new__(FileManager)
    big.__dict__.update(files.__dict__, _settings=files._settings.model_copy(update={"max_bytes": 10**6}))
    attached = AttachedFiles(big, Library(big, PlainReader(), SETTINGS), SETTINGS)
    info = await big.put(ADA, "one.txt", b"x" * (READ_CHARS + 10) + b"\nsecond")
    said = await attached.read(ADA, info.key)
    assert said.endswith("(more: lines 2-2)")
    assert len(said) < READ_CHARS + 100


async def test_the_same_content_is_read_once_and_forgotten_when_there_is_no_room(
    files: FileManager, reader: Counted
) -> None:
    library = Library(files, reader, SETTINGS)
    one = await files.put(ADA, "one.txt", b"the same")
    two = await files.put(ADA, "two.txt", b"the same")
    reader.gate.clear()
    asked = [asyncio.create_task(library.document(ADA, info)) for info in (one, two, one)]
    await asyncio.sleep(0)
    asked[0].cancel()
    reader.gate.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [d.whole() for d in found[1:] if isinstance(d, Document)] == ["the same"] * 2
    assert len(reader.read_of) == 1
    for number in range(5):
        await library.document(ADA, await files.put(ADA, "a.txt", f"{number}".encode()))
    await library.document(ADA, one)
    assert len(reader.read_of) == 7
    await library.aclose()


async def test_what_cannot_be_read_says_why_and_is_not_tried_again(
    files: FileManager, reader: Counted
) -> None:
    library = Library(files, reader, SETTINGS)
    info = await files.put(ADA, "blob", b"\xff\xfe\x00")
    for _ in range(2):
        document = await library.document(ADA, info)
        assert document.reason == "only texts in UTF-8 are read here"
    assert len(reader.read_of) == 1


async def test_the_module_that_reads_documents_is_found_by_its_declaration() -> None:
    async with opened_reader(SETTINGS) as reader:
        assert type(reader).__name__ == "Documents"


async def test_texts_are_searched_and_the_best_places_told(
    files: FileManager, attached: AttachedFiles
) -> None:
    await files.put(ADA, "a.txt", b"Berths cost twelve euros a night.")
    await files.put(ADA, "b.txt", b"Berths are cleaned on Mondays.")
    await files.put(ADA, "c.png", b"\x89PNG")
    await files.put(Principal("bob"), "d.txt", b"Berths cost nothing.")
    found = await attached.find(ADA, "what do berths cost")
    assert [hit.info.name for hit in found.hits] == ["a.txt", "b.txt"]
    assert (found.searched, found.left_out) == (2, 1)
    assert found.hits[0].where == "lines 1-1"
