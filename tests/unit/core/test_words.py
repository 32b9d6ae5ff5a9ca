"""One folding: equal for what is stored and what is asked."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.words import fold, places, sought, words
from tests.growth.shapes import MOST_POWER, growth

pytestmark = pytest.mark.slow

SAME = """
Ärger=ärger · ÄRGER=ärger · arger=Ärger · STRASSE=Straße · café=cafe\u0301 · Łódź=lodz · İstanbul=ISTANBUL
ılık=ILIK · Đà=da · Tiếng=tieng · Ἀθήνα=αθηνα · ΛΌΓΟΣ=λογος · ёлка=ЕЛКА · й=и\u0306 · ガイド=ｶﾞｲﾄﾞ
ガ=カ\u3099 · 각=\u1100\u1161\u11a8 · ﬁnd=find · ＦＩＬＥ=file · المُدَرِّسة=المدرسه · أحمد=احمد · فارسی=فارسي
שָׁלוֹם=שלום · ज़िंदगी=जिंदगी · ٢٠٢٤=2024 · ५=5 · می\u200cخواهم=میخواهم · so\u00adft=soft · naïve=NAIVE
smørrebrød=smorrebrod · cœur=COEUR · þing=thing · അവൻ=അവന്\u200d · പാൽ=പാല്\u200d
"""


@pytest.mark.parametrize(
    "pair", [pair.strip() for line in SAME.split("\n") for pair in line.split("·") if pair]
)
def test_what_people_write_in_two_ways_is_one_word(pair: str) -> None:
    one, _, other = pair.partition("=")
    assert fold(one) == fold(other)
    assert words(one) == words(other) != []


@pytest.mark.parametrize(
    ("one", "other"), [("мой", "мои"), ("ガ", "カ"), ("की", "का"), ("각", "가"), ("ї", "і"), ("น้ำ", "นำ")]
)
def test_another_letter_is_another_word(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_a_word_of_a_script_without_spaces_is_found_by_its_pairs() -> None:
    for text, part in [
        ("文書を検索する方法", "検索"),
        ("서울에서 만나요", "서울"),
        ("ฉันรักภาษาไทยมาก", "ภาษาไทย"),
        ("这是分析报告", "报告"),
        ("使い方ガイドです", "ガイド"),
        ("មេរៀនភាសាខ្មែរ", "ភាសា"),
        ("Python入門2024年度", "入門"),
    ]:
        stored = f" {' '.join(words(text))} "
        asked, goes_on = sought(part)
        assert f" {' '.join(asked)}" + ("" if goes_on else " ") in stored


def test_one_character_stands_for_the_pairs_that_it_begins() -> None:
    assert sought("茶") == (["茶"], True)
    assert sought("日本 語") == (["日本", "本", "語"], True)
    assert sought("日本") == (["日本"], False)
    assert sought("berth") == (["berth"], False)
    assert sought("…") == ([], False)


def test_a_word_says_where_it_stands_in_the_text_as_it_is() -> None:
    text = "Das CAFÉ, cafe\u0301, ｶﾞイド und שָׁלוֹם"
    found = [(word, text[a:b]) for word, a, b in places(text)]
    assert found == [
        ("das", "Das"),
        ("cafe", "CAFÉ"),
        ("cafe", "cafe\u0301"),
        ("ガイ", "ｶﾞイ"),
        ("イド", "イド"),
        ("ド", "ド"),
        ("und", "und"),
        ("שלום", "שָׁלוֹם"),
    ]


@given(st.text())
@example("\u0345\u0390")
@example("ﾞｶ\u0301")
@settings(max_examples=500, deadline=None)
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_every_word_has_its_place(text: str) -> None:
    for _, start, end in places(text):
        assert 0 <= start < end <= len(text)


@given(st.text(alphabet=st.characters(categories=("L", "M", "N", "Z", "P")), min_size=1))
@settings(max_examples=300, deadline=None)
def test_a_text_is_found_by_itself(text: str) -> None:
    stored = f" {' '.join(words(text))} "
    asked, goes_on = sought(text)
    assert not asked or f" {' '.join(asked)}" + ("" if goes_on else " ") in stored


def test_an_endless_run_of_letters_stands_for_what_it_begins_with() -> None:
    assert words("x" * 100_000) == ["x" * 128]


SHAPES = ["x", "7", "é", "e\u0301", "中", "ก้", "a中", "ﷺ", "\u0301", "-", " a", "7-", "\u1100"]


@pytest.mark.parametrize("shape", SHAPES)
def test_g1_2_the_time_grows_with_the_text_and_not_with_its_square(shape: str) -> None:
    def work(text: str) -> None:
        words(text), places(text), sought(text)

    assert growth(work, lambda size: shape * size, 5000) <= MOST_POWER
