from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module

import pytest

from core.languages import LANGUAGES, SMALL, stem, stems_of
from nodes.rag.terms import asked, terms, terms_of
from tests.growth.shapes import MOST_POWER, growth
from tests.kit.languages import SENTENCES


@pytest.mark.parametrize("language", LANGUAGES)
def test_stems_in_c_and_in_python_are_the_same(language: str) -> None:
    in_c = pytest.importorskip("Stemmer").Stemmer(language)
    module = import_module(f"snowballstemmer.{language}_stemmer")
    in_python = getattr(module, f"{language.capitalize()}Stemmer")()
    words = [*SMALL.get(language, ()), *" ".join(said for said, _ in SENTENCES.values()).casefold().split()]
    assert [in_c.stemWord(word) for word in words] == [in_python.stemWord(word) for word in words]


def test_the_release_of_the_stems_is_known() -> None:
    assert re.fullmatch(r"\d+\.\d+", stems_of())


def query_terms(query: str, languages: Sequence[str] = ("english",)) -> list[str]:
    """The distinct terms of a question; none for small talk and plain arithmetic."""
    return terms_of(asked(query, languages))


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
        "2*7?",
        "100/4",
        "Multiply 1234 by 567.",
        "add 1200 and 345",
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
    assert stem(one, "english") == stem(other, "english")


@pytest.mark.parametrize("word", ["status", "class", "bed", "ring", "x9s"])
def test_words_that_only_look_inflected_stay(word: str) -> None:
    assert stem(word, "english") == word


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("german", "Häuser", "Haus"),
        ("german", "Straßenbahnen", "Straßenbahn"),
        ("french", "continuellement", "continuel"),
        ("spanish", "organización", "organizaciones"),
        ("russian", "договоры", "договор"),
        ("swedish", "avtalen", "avtal"),
        ("turkish", "evler", "ev"),
        ("english", "rotation", "rotations"),
    ],
)
def test_rd8_forms_of_a_word_are_one_in_its_language(language: str, one: str, other: str) -> None:
    assert set(terms(one, language)) & set(query_terms(other, (language,)))


@pytest.mark.parametrize("typed", ["organizacion", "straßenbahn", "STRASSENBAHN", "hauser", "договор"])
def test_accents_may_be_left_out(typed: str) -> None:
    text = {"o": "La organización", "s": "Die Straßenbahnen", "h": "Die Häuser", "д": "Договоры и условия"}
    said = text[typed[0].lower()]
    language = {"o": "spanish", "s": "german", "h": "german", "д": "russian"}[typed[0].lower()]
    assert set(query_terms(typed, (language,))) & set(terms(said, language))


def test_identifiers_are_there_whole_and_by_their_words() -> None:
    for text in ("toolCalls", "tool_calls", "tool-calls", "tool.calls", "ToolCalls"):
        assert {"toolcalls", "tool", "call"} <= set(terms(text))
        assert set(query_terms("tool_calls")) & {"toolcalls", "tool_calls"}


def test_accents_and_widths_do_not_matter_for_case() -> None:
    assert terms("ÜBERSICHT") == terms("übersicht")
    assert terms("ｆｉｌｅ") == terms("file")


def test_scripts_without_spaces_are_found_by_parts_of_a_sentence() -> None:
    assert set(query_terms("検索")) <= set(terms("文書を検索する方法"))


def test_a_long_query_asks_for_a_bounded_number_of_terms() -> None:
    assert len(query_terms(" ".join(f"word{i}x" for i in range(1000)))) == 64


IDS = [
    "2024-0815",
    "74-1138/2",
    "2024-08-15",
    "15.08.2024",
    "978-3-16-148410-0",
    "+49 30 1234567",
    "030/1234567",
    "(030) 123-4567",
    "10.0.0.0/8",
    "fe80::1",
    "192.168.1.10:8080",
    "D-7359",
    "INV-20015",
    "inv_20015",
    "4711",
    "RAGClient",
    "max_file_bytes",
    "nodes.rag.terms",
    "docs/runs.md",
    "kebab-case-name",
    "v1.2.3-rc1",
    "ada@example.com",
    "1,234.50",
    "DE89 3704 0044 0532 0130 00",
    "550e8400-e29b-41d4-a716-446655440000",
    "SHA-256",
    "R&D",
    "§ 312",
    "#42",
    "C++",
    "ISO9001:2015",
    "Ω-7359",
    "契約-4711",
]


@pytest.mark.parametrize("name", IDS)
def test_rd1_numbers_and_names_are_kept(name: str) -> None:
    kept = set(terms(f"See the entry ({name}), please."))
    wanted = set(query_terms(f"Where is invoice {name}?")) - {"invoic"}
    assert wanted
    assert wanted <= kept


@pytest.mark.parametrize("name", IDS)
def test_rd7_a_lone_id_is_a_question(name: str) -> None:
    assert set(query_terms(name)) & set(terms(f"Item {name}."))


def test_rd1_the_numbers_of_the_case() -> None:
    assert {"2024-0815", "0815"} <= set(query_terms("Where is invoice 2024-0815?"))
    assert "74-1138/2" in query_terms("74-1138/2")


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("9783161484100", "ISBN 978-3-16-148410-0"),
        ("+49301234567", "+49 30 1234567"),
        ("INV20015", "INV-20015"),
        ("inv 20015", "INV20015"),
        ("rag client", "RAGClient"),
        ("ragClient", "rag_client"),
        ("1234.50", "1,234.50"),
        ("1234.50", "1.234,50"),
        ("2024", "٢٠٢٤"),
        ("20015", "INV-20015"),
    ],
)
def test_rd1_a_name_is_found_however_it_is_written(asked: str, written: str) -> None:
    assert set(query_terms(asked)) & set(terms(written))


@pytest.mark.parametrize("language", SENTENCES)
def test_rd2_every_script_gives_terms(language: str) -> None:
    sentence, words = SENTENCES[language]
    kept = set(terms(sentence))
    for word in words:
        assert set(query_terms(word)) & kept, word


SHAPES = [
    "7",
    "7-",
    "7 ",
    "1.",
    "a1",
    "A",
    "aA",
    "é",
    "e\u0301",
    "中",
    "1,",
    "1 + ",
    "(1",
    "ก้",
    "a@",
    "1,234",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_g1_2_a_pasted_log_takes_time_by_its_length(shape: str) -> None:
    def work(text: str) -> None:
        query_terms(text), terms(text)

    assert growth(work, lambda size: shape * (size // len(shape)), 5000) <= MOST_POWER


def test_what_is_asked_at_the_end_of_a_long_message_counts() -> None:
    log = " ".join(f"line{n}x" for n in range(5000))
    assert "rotat" in query_terms(f"{log} How do I rotate it?")
