from __future__ import annotations

import pytest

from nodes.rag.terms import query_terms, stem, terms


@pytest.mark.parametrize(
    "query",
    [
        "What is 5 + 3?",
        "what is 12.5 * (4 - 2)",
        "17 23",
        "Hello, how are you?",
        "thanks!",
        "",
        "...",
        "1200 + 345 = ?",
    ],
)
def test_small_talk_and_sums_ask_for_nothing(query: str) -> None:
    assert query_terms(query) == []


def test_a_number_counts_beside_a_word() -> None:
    assert query_terms("What does status 413 mean?") == ["status", "413", "mean"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("files", "file"),
        ("stored", "store"),
        ("storing", "store"),
        ("policies", "policy"),
        ("stopped", "stop"),
        ("calls", "calling"),
        ("adds", "adding"),
        ("indexes", "index"),
        ("matches", "matching"),
        ("configured", "configure"),
        ("limits", "limited"),
    ],
)
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["status", "class", "this", "bed", "ring", "größe", "x9s"])
def test_words_that_only_look_inflected_stay(word: str) -> None:
    assert stem(word) == word


def test_identifiers_are_cut_into_their_words() -> None:
    assert terms("toolCalls tool_calls tool-calls") == ["tool", "call"] * 3


def test_accents_and_widths_do_not_matter_for_case() -> None:
    assert terms("ÜBERSICHT") == terms("übersicht")
    assert terms("ｆｉｌｅ") == terms("file")


def test_scripts_without_spaces_are_found_by_parts_of_a_sentence() -> None:
    assert set(query_terms("検索")) <= set(terms("文書を検索する方法"))


def test_a_long_query_asks_for_a_bounded_number_of_terms() -> None:
    assert len(query_terms(" ".join(f"word{i}x" for i in range(1000)))) == 64
