"""A document is read once: what was taken out of it is known by its content, as long as it is in an index."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.indexing import Indexer
from nodes.rag.manifest import ManifestFile
from nodes.rag.reading import Extractor, NotText, TextCache, read_document, text_cache
from nodes.rag.reading.extract import Extract
from tests.kit import documents as made


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "docs" / "policy.docx"
    path.parent.mkdir()
    path.write_bytes(made.word())
    return path


@pytest.fixture
def texts(tmp_path: Path) -> TextCache:
    return TextCache(tmp_path / "texts")


@pytest.fixture
def extractor(texts: TextCache) -> Iterator[Extractor]:
    with Extractor(kept=texts) as one:
        yield one


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def extract(text: str) -> Extract:
    found = Extract(notes=["a note"])
    found.add([text], ("Title", "Heading"), "page 1", "page=1")
    return found


def kept_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_is_kept_is_what_was_read_and_starts_no_process(
    texts: TextCache, extractor: Extractor, document: Path
) -> None:
    first = extractor.extract(document, "word", max_bytes=10**6, digest=digest(document))
    assert extractor.pid
    with Extractor(kept=texts) as other:
        assert other.extract(document, "word", max_bytes=10**6, digest=digest(document)) == first
        assert other.pid is None


def test_a_document_that_changed_while_nobody_looked_is_kept_as_what_it_is(
    extractor: Extractor, document: Path, texts: TextCache
) -> None:
    before = digest(document)
    document.write_bytes(made.word_of("<w:p><w:r><w:t>All new.</w:t></w:r></w:p>"))
    found = extractor.extract(document, "word", max_bytes=10**6, digest=before)
    assert found.parts[0].text == "All new."
    assert texts.find(before, "word") is None
    assert texts.find(digest(document), "word") == found


def test_a_limit_that_was_lowered_holds_for_what_is_kept(extractor: Extractor, document: Path) -> None:
    read_document(document, max_bytes=10**6, extractor=extractor, digest=digest(document))
    with pytest.raises(NotText, match="larger than 1000 bytes"):
        read_document(
            document, max_bytes=10**6, extractor=extractor, max_document_bytes=1000, digest=digest(document)
        )


def test_what_cannot_be_read_is_not_kept(extractor: Extractor, tmp_path: Path) -> None:
    broken = tmp_path / "a.pdf"
    broken.write_bytes(b"%PDF-1.4 no more")
    with pytest.raises(NotText):
        read_document(broken, max_bytes=1000, extractor=extractor, digest=digest(broken))
    assert kept_files(tmp_path / "texts") == []


def test_what_other_readers_took_out_is_not_used_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TextCache(tmp_path).keep("abc", "pdf", extract("old"))
    monkeypatch.setattr(text_cache, "reader_version", lambda: "next")
    now = TextCache(tmp_path)
    assert now.find("abc", "pdf") is None
    now.keep("def", "pdf", extract("new"))
    assert kept_files(tmp_path) == ["def.pdf"]


def test_the_version_of_the_readers_is_that_of_their_code(monkeypatch: pytest.MonkeyPatch) -> None:
    text_cache.reader_version.cache_clear()
    before = text_cache.reader_version()
    text_cache.reader_version.cache_clear()
    assert text_cache.reader_version() == before
    text_cache.reader_version.cache_clear()
    monkeypatch.setattr(text_cache, "version", lambda library: "1000")
    assert text_cache.reader_version() != before
    text_cache.reader_version.cache_clear()


@pytest.mark.parametrize("content", [b"", b"no zlib", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_damaged_extract_is_read_anew(tmp_path: Path, content: bytes) -> None:
    texts = TextCache(tmp_path)
    texts.keep("abc", "pdf", extract("words"))
    [path] = list(tmp_path.rglob("abc.pdf"))
    path.write_bytes(content)
    assert texts.find("abc", "pdf") is None
    assert kept_files(tmp_path) == []


def test_the_folder_is_bounded_and_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    noise = [os.urandom(500).hex() for _ in range(12)]
    texts = TextCache(tmp_path, most_bytes=5000)
    for number, text in enumerate(noise[:6]):
        texts.keep(f"d{number}", "pdf", extract(text))
    for age, path in enumerate(sorted(tmp_path.rglob("*.pdf"))):
        os.utime(path, ns=(age, age))
    assert texts.find("d0", "pdf") is not None
    for number, text in enumerate(noise[6:], start=6):
        texts.keep(f"d{number}", "pdf", extract(text))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.pdf")) <= 5000
    assert texts.find("d1", "pdf") is None
    assert texts.find("d11", "pdf") is not None


def test_one_document_does_not_push_out_the_others_and_none_is_kept_in_no_bytes(tmp_path: Path) -> None:
    TextCache(tmp_path, most_bytes=1000).keep("abc", "pdf", extract(os.urandom(2000).hex()))
    TextCache(tmp_path, most_bytes=0).keep("def", "pdf", extract("a"))
    assert kept_files(tmp_path) == []


def test_a_disk_that_takes_nothing_costs_a_reading_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("a file where the folder should be")
    texts = TextCache(tmp_path / "texts")
    texts.keep("abc", "pdf", extract("a"))
    texts.forget("abc")
    assert texts.find("abc", "pdf") is None


def indexer(folder: Path, texts: TextCache, *, chunk_tokens: int = 200) -> Indexer:
    return Indexer(
        "docs",
        [str(folder / "docs")],
        store=LanceStore(LanceFolder(folder / "index"), "docs"),
        manifest=ManifestFile(folder / "index", "docs"),
        chunk_tokens=chunk_tokens,
        max_file_bytes=10**6,
        kept=texts,
    )


async def test_an_index_of_another_chunk_size_reads_no_document_again(
    tmp_path: Path, document: Path, texts: TextCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await indexer(tmp_path, texts).update()
    document.with_name("new.docx").write_bytes(made.word_of("<w:p><w:r><w:t>All new.</w:t></w:r></w:p>"))
    asked: list[bytes] = []
    ask = Extractor._asked

    def noted(self: Extractor, line: bytes) -> bytes:
        asked.append(line)
        return ask(self, line)

    monkeypatch.setattr(Extractor, "_asked", noted)
    again = await indexer(tmp_path, texts, chunk_tokens=20).update()
    assert (first.changed, again.changed) == (1, 2)
    assert again.chunks > first.chunks
    assert len(asked) == 1
    assert b"new.docx" in asked[0]


async def test_a_document_that_is_deleted_or_changed_is_not_kept(
    tmp_path: Path, document: Path, texts: TextCache
) -> None:
    copy = document.with_name("copy.docx")
    copy.write_bytes(document.read_bytes())
    await indexer(tmp_path, texts).update()
    first = digest(document)
    copy.unlink()
    await indexer(tmp_path, texts).update()
    assert kept_files(tmp_path / "texts") == [f"{first}.word"]
    document.write_bytes(made.word_of("<w:p><w:r><w:t>All new.</w:t></w:r></w:p>"))
    await indexer(tmp_path, texts).update()
    assert kept_files(tmp_path / "texts") == [f"{digest(document)}.word"]
    document.unlink()
    await indexer(tmp_path, texts).update()
    assert kept_files(tmp_path / "texts") == []
