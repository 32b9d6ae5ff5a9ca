from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.rag.chunking import chunk_document, sections, slug
from tests.unit.nodes.rag.corpus import HANDBOOK

_LINES = st.sampled_from(
    [
        "# One",
        "## Two words",
        "### Three",
        "```",
        "~~~",
        "a line of text. And more.",
        "- item",
        "",
        "  ",
        "é 🙂 漢字",
    ]
)


@given(st.lists(_LINES | st.text(max_size=60)), st.sampled_from(["a.md", "b.rst", "c.txt"]))
@settings(max_examples=150, deadline=None)
def test_every_chunk_is_a_slice_of_its_document(lines: list[str], name: str) -> None:
    text = "\n".join(lines)
    for chunk in chunk_document(name, text, chunk_tokens=20):
        assert text[chunk.start : chunk.end] == chunk.text
        assert 0 < len(chunk.text) <= 20 * 4


@given(st.lists(_LINES))
def test_sections_cover_the_document_without_gaps(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = sections("a.md", text)
    assert "".join(text[s.start : s.end] for s in found) == text


def test_a_chunk_knows_the_headings_above_it() -> None:
    chunks = chunk_document("index.md", HANDBOOK["index.md"], chunk_tokens=200)
    by_title = {chunk.title: chunk for chunk in chunks}
    stopping = by_title["Harbour Handbook › Stopping"]
    assert "SIGTERM" in stopping.text
    assert stopping.uri == "index.md#stopping"
    assert by_title["Harbour Handbook"].uri == "index.md"


def test_the_words_of_the_headings_are_searched_too() -> None:
    chunks = chunk_document("t.md", "# Backups\n\nEvery night at two.\n", chunk_tokens=200)
    assert "backup" in chunks[0].terms.split()


def test_a_hash_inside_a_fence_is_no_heading() -> None:
    titles = {s.path for s in sections("limits.md", HANDBOOK["limits.md"])}
    assert titles == {("Limits",), ("Limits", "Rate limits")}


def test_a_tilde_inside_a_backtick_fence_does_not_close_it() -> None:
    text = "# A\n```\n~~~\n# no\n```\n# B\n"
    assert [s.path for s in sections("x.md", text)] == [("A",), ("B",)]


def test_restructured_text_has_headings_by_underline() -> None:
    text = "Title\n=====\n\nIntro.\n\nPart\n----\n\nBody of the part.\n"
    titles = [c.title for c in chunk_document("x.rst", text, chunk_tokens=50)]
    assert titles == ["Title", "Title › Part"]


def test_plain_text_is_titled_by_its_file() -> None:
    [chunk] = chunk_document("notes/faq.txt", "Backups run at night.", chunk_tokens=50)
    assert (chunk.title, chunk.uri) == ("faq.txt", "notes/faq.txt")


def test_headings_lose_their_markup_in_titles() -> None:
    [chunk] = chunk_document(
        "x.md", "# The `run` **command** of [us](http://x)\n\nIt runs fast.", chunk_tokens=50
    )
    assert chunk.title == "The run command of us"


def test_a_heading_without_text_is_no_chunk() -> None:
    assert chunk_document("x.md", "# Alone\n", chunk_tokens=50) == []
    assert chunk_document("x.md", "", chunk_tokens=50) == []


def test_anchors_are_those_of_common_viewers() -> None:
    assert slug("2. Rules that keep promises") == "2-rules-that-keep-promises"
