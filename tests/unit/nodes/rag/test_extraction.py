"""Documents are read in a process of its own: no file harms the service, and each failure is a sentence."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from nodes.rag.reading import Extractor, NotText, kind_of, read_document
from nodes.rag.reading.extract import Unreadable
from tests.kit import documents as made

GOOD: dict[str, Callable[[], bytes]] = {
    "pdf": lambda: made.pdf([["some words"]]),
    "docx": made.word,
    "xlsx": lambda: made.workbook({"S": [["a", "b"], ["c", "d"]]}),
    "pptx": made.slides,
    "epub": lambda: made.book(["<p>words</p>"]),
    "eml": made.mail,
    "ipynb": lambda: json.dumps({"cells": [{"cell_type": "raw", "source": "words"}]}).encode(),
}
PLAIN_ZIP = ["docx", "xlsx", "pptx", "epub"]


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    with Extractor(seconds=60) as one:
        yield one


def refused(extractor: Extractor, folder: Path, name: str, raw: bytes) -> str:
    """Why it is not read; the next document is."""
    path = folder / name
    path.write_bytes(raw)
    with pytest.raises(NotText) as caught:
        read_document(path, max_bytes=1000, extractor=extractor)
    good = folder / "good.docx"
    good.write_bytes(made.word())
    assert "Book trains" in read_document(good, max_bytes=1000, extractor=extractor).text
    return str(caught.value)


@pytest.mark.parametrize("suffix", [s for s in GOOD if s != "eml"])
@pytest.mark.parametrize("kind", ["empty", "noise", "text"])
def test_what_is_no_document_of_its_kind_is_told(
    extractor: Extractor, tmp_path: Path, suffix: str, kind: str
) -> None:
    noise = bytes(range(256)) * 40
    raw = {"empty": b"", "noise": noise, "text": b"not what the name says"}[kind]
    said = refused(extractor, tmp_path, f"a.{suffix}", raw)
    assert "broken" in said or "no notebook" in said


@pytest.mark.parametrize("suffix", ["docx", "xlsx", "pptx", "epub", "ipynb"])
def test_what_was_cut_in_the_middle_is_told(extractor: Extractor, tmp_path: Path, suffix: str) -> None:
    raw = GOOD[suffix]()
    said = refused(extractor, tmp_path, f"a.{suffix}", raw[: len(raw) // 2])
    assert "broken" in said or "no notebook" in said


@pytest.mark.parametrize("suffix", PLAIN_ZIP)
def test_a_zip_of_something_else_is_told(extractor: Extractor, tmp_path: Path, suffix: str) -> None:
    said = refused(extractor, tmp_path, f"a.{suffix}", made.zipped({"readme.txt": "hello"}))
    assert "broken" in said or "no text" in said


def _deep_json() -> bytes:
    return b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "deep json": ("a.ipynb", _deep_json, "no notebook"),
    "no words": ("a.docx", lambda: made.word_of("<w:p/>"), "no text"),
    "an empty workbook": ("a.xlsx", lambda: made.workbook({"S": []}), "empty"),
    "only hidden sheets": (
        "a.xlsx",
        lambda: made.workbook({"S": [], "H": [["x"]]}, hidden=["H"]),
        "'H' is hidden",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_document_is_told_and_the_next_one_is_read(
    extractor: Extractor, tmp_path: Path, what: str
) -> None:
    name, make, expected = HOSTILE[what]
    said = refused(extractor, tmp_path, name, make())
    assert any(part in said for part in expected.split("|")), said


def test_a_sheet_that_claims_a_million_rows_is_as_large_as_it_is(
    extractor: Extractor, tmp_path: Path
) -> None:
    raw = made.workbook({"S": [["a", "b"], ["c", "d"]]})
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    files[sheet] = files[sheet].replace(b'ref="A1:B2"', b'ref="A1:XFD1048576"')
    path.write_bytes(made.zipped(files))
    assert read_document(path, max_bytes=1000, extractor=extractor).text == "a: c; b: d"


def test_a_mail_nested_in_mails_is_read_to_a_depth(extractor: Extractor, tmp_path: Path) -> None:
    raw = made.mail()
    for _ in range(5):
        raw = made.mail(("inner.eml", raw))
    path = tmp_path / "a.eml"
    path.write_bytes(raw)
    found = read_document(path, max_bytes=1000, extractor=extractor)
    assert found.text.count("The lift is serviced") == 3
    assert "is not read" in found.notes[0]


def test_a_mail_whose_head_is_garbage_is_read_or_told(extractor: Extractor, tmp_path: Path) -> None:
    message = EmailMessage()
    message.set_content("Words stay.")
    raw = b"From: =?utf-8?q?=ff=fe?= <\nSubject: =?x-unknown?b?####?=\nDate: yesterday\n" + message.as_bytes()
    path = tmp_path / "a.eml"
    path.write_bytes(raw)
    assert "Words stay." in read_document(path, max_bytes=1000, extractor=extractor).text


def _long_pdf() -> bytes:
    return made.pdf([[f"page {n}, line {m}" for m in range(30)] for n in range(100)])


def test_a_document_that_takes_too_long_is_given_up_and_the_next_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(_long_pdf())
    with Extractor(seconds=0.01) as hurried, pytest.raises(Unreadable, match=r"takes longer than 0\.01 s"):
        hurried.extract(path, "pdf", max_bytes=10**9)
    with Extractor() as patient:
        assert len(patient.extract(path, "pdf", max_bytes=10**9).parts) == 100


@pytest.mark.slow
def test_a_document_that_takes_too_much_memory_is_given_up_and_the_next_one_is_read(tmp_path: Path) -> None:
    paragraph = "<w:p><w:r><w:t>" + "word " * 20 + "</w:t></w:r></w:p>"
    with Extractor(memory=400_000_000) as small:
        said = refused(small, tmp_path, "a.docx", made.word_of(paragraph * 500_000))
    assert "memory" in said or "broke" in said


def test_a_file_that_is_too_large_or_gone_is_told(extractor: Extractor, tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(made.word())
    with pytest.raises(Unreadable, match="it is larger than 10 bytes"):
        extractor.extract(path, "word", max_bytes=10)
    with pytest.raises(Unreadable, match="it cannot be read: No such file"):
        extractor.extract(tmp_path / "gone.docx", "word", max_bytes=10)


def test_a_process_that_died_is_started_again(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(made.word())
    with Extractor() as one:
        one.extract(path, "word", max_bytes=10**6)
        first = one.pid
        assert first
        os.kill(first, 9)
        with pytest.raises(Unreadable, match="broke down"):
            one.extract(path, "word", max_bytes=10**6)
        assert one.extract(path, "word", max_bytes=10**6).parts
        assert one.pid != first
    assert one.pid is None


def test_threads_take_turns(tmp_path: Path) -> None:
    for n in range(8):
        (tmp_path / f"{n}.docx").write_bytes(made.word_of(f"<w:p><w:r><w:t>number {n}</w:t></w:r></w:p>"))
    found: dict[int, str] = {}

    def read(n: int) -> None:
        found[n] = one.extract(tmp_path / f"{n}.docx", "word", max_bytes=10**6).parts[0].text

    with Extractor() as one:
        threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {n: f"number {n}" for n in range(8)}


@pytest.mark.parametrize("suffix", GOOD)
def test_every_kind_is_read_in_the_process(extractor: Extractor, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(GOOD[suffix]())
    found = read_document(path, max_bytes=1000, extractor=extractor)
    assert found.text
    assert kind_of(path.name) is not None
    with pytest.raises(NotText, match="are read in sources only"):
        read_document(path, max_bytes=1000)
