"""Quotes stand word for word in their passage, and only where they answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.llm.offline.quoting import best_quotes, sentences
from nodes.llm.prompt import Passage

HANDBOOK = Passage(
    1,
    "Limits",
    """# Limits

A turn may take ten minutes. An upload may have
250 MiB, e.g. a large table. Messages are shorter.

```python
upload = "250 MiB in code"
```

- Steps: at most 25 in one turn.
- Tool calls: at most 50.

| upload | limit |
""",
)
GLOSSARY = Passage(
    2, "Glossary", "A thread keeps its own checkpoints. thread: one conversation. A run uses a thread."
)


def test_the_best_sentence_is_quoted_across_its_line_break() -> None:
    quotes = best_quotes("How large may an upload be?", [HANDBOOK, GLOSSARY])
    assert [(q.n, q.text) for q in quotes] == [(1, "An upload may have 250 MiB, e.g. a large table.")]


def test_list_items_are_sentences_without_their_marker() -> None:
    assert best_quotes("How many steps in a turn?", [HANDBOOK])[0].text == "Steps: at most 25 in one turn."


def test_what_the_passages_do_not_tell_is_not_quoted() -> None:
    assert best_quotes("What is the capital of France?", [HANDBOOK, GLOSSARY]) == []
    assert best_quotes("", [HANDBOOK]) == []
    assert best_quotes("upload", []) == []


def test_a_definition_comes_first() -> None:
    passages = [Passage(1, "", "No one may delete it but its owner of a thread. Thread: one conversation.")]
    assert best_quotes("What is a thread?", passages)[0].text == "Thread: one conversation."


def test_at_most_three_different_sentences_are_quoted() -> None:
    passages = [
        Passage(n, "", f"Owls sleep in house {n % 4}. Owls sleep in house {n % 4}.") for n in range(1, 9)
    ]
    texts = [q.text for q in best_quotes("Where do owls sleep?", passages)]
    assert len(texts) == len(set(texts)) == 3


def test_code_headings_and_tables_are_no_sentences() -> None:
    found = [text for _, text in sentences(HANDBOOK.text)]
    assert not any("code" in text or "|" in text or text == "Limits" for text in found)


def test_a_passage_cut_out_of_a_code_block_begins_with_code() -> None:
    assert sentences("x = 1 # a comment here\n```\nNow the text goes on.") == [("", "Now the text goes on.")]


def test_a_sentence_that_is_too_long_is_quoted_in_part() -> None:
    long = "The first half of it is here; " + "and more words follow behind " * 20
    assert [t for _, t in sentences(long, longest=80)] == ["The first half of it is here;"]


@given(st.lists(st.text(max_size=300), max_size=4), st.text(max_size=60))
def test_every_quote_stands_in_its_passage(texts: list[str], question: str) -> None:
    passages = [Passage(n, "title", text) for n, text in enumerate(texts, 1)]
    for quote in best_quotes(question + " " + (texts[0][:20] if texts else ""), passages):
        whole = " ".join(texts[quote.n - 1].split())
        # A marker of a list at the beginning of a line is not part of what is said.
        assert all(word in whole for word in quote.text.split())
        if not any(line.lstrip()[:1] in set("-*+0123456789") for line in texts[quote.n - 1].splitlines()):
            assert quote.text in whole


@pytest.mark.parametrize(
    ("question", "text", "quoted"),
    [
        (
            "会議室の予約はいつまで？",
            "会議室の予約は三日前までに行ってください。食堂は一階です。",
            "会議室の予約は三日前までに行ってください。",
        ),
        (
            "什么时候提交出差申请？",
            "食堂在一楼。请在出差前三天提交出差申请。",
            "请在出差前三天提交出差申请。",
        ),
        ("สำนักงานเปิดกี่โมง", "สำนักงานเปิดเวลาเก้าโมงเช้า", "สำนักงานเปิดเวลาเก้าโมงเช้า"),
        (
            "कार्यालय कब खुलता है?",
            "कार्यालय सुबह दस बजे खुलता है। छुट्टी के लिए फॉर्म भरें।",
            "कार्यालय सुबह दस बजे खुलता है।",
        ),
        ("Где лежит отчет?", "Отчёт лежит в архиве. Обед в полдень.", "Отчёт лежит в архиве."),
    ],
)
def test_a_question_in_any_script_is_answered_by_its_sentence(question: str, text: str, quoted: str) -> None:
    assert [quote.text for quote in best_quotes(question, [Passage(1, "", text)])] == [quoted]


def test_a_sentence_in_another_script_that_tells_nothing_of_it_is_not_quoted() -> None:
    assert best_quotes("会議室の予約はいつまで？", [Passage(1, "", "食堂は一階にあります。")]) == []


GERMAN = """Je gefahrenem Kilometer gibt es 0,38 Euro. Die BahnCard wird erstattet, wenn sie sich rechnet.
Am 3. Mai und z. B. im 2. Stock gilt das nicht. Überstunden verfallen im März."""
FRENCH = """La garantie dure deux ans pour les sondes. Les appareils en panne sont renvoyés à Lyon.
Le repas de midi est remboursé jusqu'à 19,40 euros."""
SPANISH = "Los aparatos se devuelven en 30 días. ¿Preguntas? El taller contesta por las mañanas."
ABROAD = {
    "Wie viel Kilometergeld bekomme ich?": (GERMAN, "Je gefahrenem Kilometer gibt es 0,38 Euro."),
    "Wann verfallen meine Überstunden?": (GERMAN, "Überstunden verfallen im März."),
    "Was gilt im Stock?": (GERMAN, "Am 3. Mai und z. B. im 2. Stock gilt das nicht."),
    "Wer reinigt die Büros?": (GERMAN, ""),
    "Combien de temps dure la garantie d'une sonde ?": (FRENCH, "La garantie dure deux ans pour les sondes."),
    "Où renvoyer un appareil en panne ?": (FRENCH, "Les appareils en panne sont renvoyés à Lyon."),
    "Quelle est la prime de fin d'année ?": (FRENCH, ""),
    "¿En cuántos días puedo devolver un aparato?": (SPANISH, "Los aparatos se devuelven en 30 días."),
    "¿Cuándo contestan en los talleres?": (SPANISH, "El taller contesta por las mañanas."),
    "¿Hay descuento para empleados?": (SPANISH, ""),
}


@pytest.mark.parametrize("question", ABROAD)
def test_questions_in_other_languages_are_answered_by_their_own_stems(question: str) -> None:
    text, expected = ABROAD[question]
    quotes = best_quotes(question, [Passage(1, "", text)])
    assert (quotes[0].text if quotes else "") == expected


def test_a_question_that_tells_no_language_is_asked_in_that_of_the_passages() -> None:
    passage = Passage(1, "", "Der Feuerlöscher steht im Flur. Die Löscher werden jährlich geprüft.")
    assert best_quotes("Feuerlöscher", [passage])[0].text == "Der Feuerlöscher steht im Flur."


def test_words_of_another_language_are_no_parts_of_joined_ones() -> None:
    english = Passage(1, "", "Nobody works in the office on a Sunday, and that is the whole of it.")
    german = Passage(2, "", "Die Arbeit ist an drei Tagen auch zu Hause erlaubt, und im Homeoffice gilt das.")
    assert [quote.n for quote in best_quotes("Wie oft ist denn Homeoffice erlaubt?", [english, german])] == [
        2
    ]
