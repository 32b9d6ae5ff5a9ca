"""The questions of the sets, asked in other ways: a few words, capitals, a letter with greetings, slips.

`forms.yaml` has what a person has to write; the rest is made of the question itself. Each form belongs to
the half of its question, and is answered by what answers that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from nodes.rag.evaluation import read_questions
from nodes.rag.evaluation.questions import Question
from tests.retrieval.corpora import SETS

HERE = Path(__file__).parent
AS_ASKED = "question"
WRITTEN = ("keywords", "told", "typos")
FORMS = (*WRITTEN, "shouted", "plain", "letter")
_MARKS = re.compile(r"[?!.,]+(?=\s|$)|¿")
_LETTERS = {
    "english": (
        "Hi there, I hope you are doing well. I was wondering about something: {} Thanks for your help!",
        "Hello! I am new here and could not find it anywhere. {} Best regards, Tom",
        "hey, quick question from my side, {} thanks",
        "Good morning, sorry to bother you, could you please help me? {} Many thanks in advance",
    ),
    "german": (
        "Hallo zusammen, ich hätte da mal eine Frage: {} Vielen Dank im Voraus und viele Grüße, Tom",
        "Guten Morgen, entschuldigt die Störung, könnt ihr mir bitte helfen? {} Danke!",
    ),
    "french": ("Bonjour, j'espère que vous allez bien. J'ai une petite question : {} Merci beaucoup",),
}


@dataclass(frozen=True)
class Form:
    """What is asked, how, and which question of a set that is."""

    question: Question
    way: str
    of: str


@cache
def as_asked() -> list[Form]:
    """Every question of every set."""
    found = [item for name in SETS for item in read_questions(HERE / f"{name}.yaml").all()]
    return [Form(item, AS_ASKED, item.question) for item in found]


@cache
def forms() -> list[Form]:
    """Every other way to ask them."""
    asked = as_asked()
    known = {(form.of, form.question.source[0]): form for form in reversed(asked)}
    found = [form for entry in _written() for form in _of_entry(entry, known)]
    return [*found, *(form for item in asked for form in _made(item))]


def distinct() -> list[Form]:
    """The forms, of some that say the same to the same source the first one."""
    found = {
        (" ".join(f.question.question.casefold().split()), *f.question.source): f for f in reversed(forms())
    }
    return list(reversed(found.values()))


def _written() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = yaml.safe_load((HERE / "forms.yaml").read_text(encoding="utf-8"))["forms"]
    return made


def _of_entry(entry: dict[str, Any], known: dict[tuple[str, str], Form]) -> Iterator[Form]:
    of = known[entry["of"], entry["source"]]
    yield from (_form(of, way, entry[way]) for way in WRITTEN if way in entry)


def _made(of: Form) -> Iterator[Form]:
    """One of three ways to write the same words."""
    text, number = of.of, int(hashlib.sha256(of.of.encode()).hexdigest(), 16)
    letters = _LETTERS.get(of.question.language)
    if number % 3 == 0:
        yield _form(of, "shouted", text.upper())
    elif number % 3 == 1:
        plain = _MARKS.sub("", text).strip().lower()
        yield _form(of, "plain", plain if plain != text else f"{text[0].upper()}{text[1:]}?")
    elif letters:
        ended = text if text[-1] in "?.!" else f"{text}."
        yield _form(of, "letter", letters[number % len(letters)].format(ended))


def _form(of: Form, way: str, text: str) -> Form:
    return Form(of.question.model_copy(update={"question": text, "group": way}), way, of.of)
