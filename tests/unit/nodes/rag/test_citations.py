from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.rag.terms import best_sentence, cite, cited_numbers, sentences
from tests.unit.nodes.rag.corpus import HANDBOOK


def document(n: int, text: str) -> dict[str, Any]:
    return {"n": n, "source": "s", "document": f"d{n}.md", "title": "T", "text": text, "uri": f"d{n}.md#t"}


DOCUMENTS = [document(n, text) for n, text in enumerate(HANDBOOK.values(), start=1)]


def test_the_quote_is_the_sentence_that_says_it() -> None:
    answer = "Requests drain for thirty seconds when it stops [1]. At most 20 streams per user [2]."
    first, second = cite(answer, DOCUMENTS)
    assert first["quote"] == "Running requests drain for thirty seconds, then they are interrupted."
    assert second["quote"] == "A user may have 20 streams at once."
    assert {k: first[k] for k in ("n", "source", "document", "title", "uri")} == {
        "n": 1,
        "source": "s",
        "document": "d1.md",
        "title": "T",
        "uri": "d1.md#t",
    }


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a [1] b [2]", [1, 2]),
        ("a [2][1]", [2, 1]),
        ("a [1, 2;3]", [1, 2, 3]),
        ("a [1] b [1]", [1]),
        ("a[0] list[12345] [x] [] [1.5] [-1]", [0]),
    ],
)
def test_marks_come_in_several_forms(text: str, numbers: list[int]) -> None:
    assert cited_numbers(text) == numbers


def test_each_document_is_cited_once_in_order_of_mention() -> None:
    found = cite("Tools [3]. Limits [2, 3]. Backups [9]. Start [1][3].", DOCUMENTS)
    assert [c["n"] for c in found] == [3, 2, 1]


def test_a_mark_after_the_full_stop_belongs_to_the_sentence_before() -> None:
    [citation] = cite("Send SIGTERM to stop it. [1]", DOCUMENTS)
    assert citation["quote"] == "Send SIGTERM."


def test_a_verbatim_quote_wins() -> None:
    said = "Only its owner, and the groups that the owner names."
    [citation] = cite(f"{said} [4]", DOCUMENTS)
    assert citation["quote"] == said


def test_without_marks_or_documents_there_is_no_citation() -> None:
    assert cite("Nothing is cited here.", DOCUMENTS) == []
    assert cite("Something [1].", []) == []
    assert cite("", []) == []


def test_a_heading_is_quoted_only_where_there_is_nothing_else() -> None:
    assert best_sentence("# Limits\n\nEvery limit is a setting.", "limits") == "Every limit is a setting."
    assert best_sentence("# Limits", "limits") == "# Limits"


def test_list_items_and_rows_are_sentences() -> None:
    text = "Steps:\n- one thing\n- another thing\n\n| a | b |\n| c | d |\n1. first"
    assert sentences(text) == [
        "Steps:",
        "- one thing",
        "- another thing",
        "| a | b |",
        "| c | d |",
        "1. first",
    ]


def test_an_endless_sentence_is_cut() -> None:
    assert len(best_sentence("word " * 1000, "word")) <= 600


@given(st.text(), st.lists(st.text(), max_size=4))
@settings(max_examples=200, deadline=None)
def test_every_quote_stands_word_for_word_in_its_document(answer: str, texts: list[str]) -> None:
    documents = [document(n, text) for n, text in enumerate(texts, start=1)]
    marked = answer + " [1] so it is. [2, 3] " + answer + "[4][7]"
    found = cite(marked, documents)
    assert {c["n"] for c in found} == set(range(1, len(texts) + 1))
    assert len(found) == len(texts)
    for citation in found:
        assert citation["quote"] in texts[citation["n"] - 1]
