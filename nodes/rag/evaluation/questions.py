"""A file of questions, and the documents that answer each of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from core.settings import ConfigFile, ConfigProblem, Context, Places, Strict, load_file
from nodes.rag.errors import QuestionsInvalid

HALVES = ("odd", "even")
# As a person may paste a whole mail; what a turn takes is far more.
_MOST_LETTERS = 4000


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_Texts = Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class Question(Strict):
    """What is asked, and by what a right answer is known."""

    question: str = Field(min_length=1, max_length=_MOST_LETTERS, description="As people ask it.")
    expect: _Texts = Field(
        description="Documents that answer it, any of them, by name or glob (`guides/*.md`); "
        "[] where nothing in the sources does."
    )
    quote: _Texts = Field(
        default_factory=list,
        description="Words of which a shown passage of these documents must hold one, as they stand there.",
    )
    cell: _Texts = Field(
        default_factory=list,
        description="Words that must stand together in one row of a table, in a shown passage of "
        "these documents: that which names the row, and the cell.",
    )
    group: str = Field("", max_length=60, description="Figures are given for each group.")
    language: str = Field("", max_length=30, description="In which it is asked; figures by it with `--by`.")
    source: _Texts = Field(
        default_factory=list, description="Where to search; default: the file's, or all that the user may."
    )

    @field_validator("question")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank; write what is asked")
        return value

    @field_validator("expect", "quote", "cell", "source")
    @classmethod
    def _no_blanks(cls, value: list[str]) -> list[str]:
        if not all(part.strip() for part in value):
            raise ValueError("must not hold an empty text; leave it out, or write [] for none")
        return value

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Question:
        if not self.expect and (self.quote or self.cell):
            raise ValueError("has a quote or a cell and no document; name under `expect` where it stands")
        return self

    @property
    def answerable(self) -> bool:
        return bool(self.expect)


class QuestionsFile(Strict):
    """Questions, and the source that they are asked of."""

    questions: list[Question] = Field(min_length=1)
    source: _Texts = Field(
        default_factory=list, description="Sources of all questions that name none; default: all."
    )

    @model_validator(mode="after")
    def _each_once(self) -> QuestionsFile:
        seen: dict[tuple[str, ...], int] = {}
        for number, item in enumerate(self.questions, start=1):
            key = (_even(item.question), *item.source)
            if key in seen:
                first = seen[key]
                raise ValueError(f"question {number} is the same as question {first}; leave one of them out")
            seen[key] = number
        return self

    def all(self) -> list[Question]:
        """The questions, each with the sources that it is asked of."""
        return [q if q.source else q.model_copy(update={"source": self.source}) for q in self.questions]


def read_questions(path: Path) -> QuestionsFile:
    """Read a YAML file (`.yaml`, `.yml`) or a JSON file of questions.

    Raises:
        QuestionsInvalid: It is not there or not valid; a line for each problem, with file, line and remedy.
    """
    if not os.path.lexists(path):
        raise QuestionsInvalid(f"there is no file '{path.name}'; name a YAML or JSON file of questions")
    declared = ConfigFile("questions", (path.name,), QuestionsFile, own_variables=True)
    context = Context(Places(path.absolute().parent, Path()), {}, {})
    value, problems, _ = load_file(declared, context)
    if not isinstance(value, QuestionsFile):
        raise QuestionsInvalid("\n".join(map(_told, problems)))
    return value


def _told(problem: ConfigProblem) -> str:
    remedy = problem.remedy
    if problem.key.endswith(".expect") and "missing" in problem.message:
        remedy = "name the documents that answer it, or write [] where none does"
    elif problem.key == "questions" and not remedy:
        remedy = "write `questions:` and below it `- question: ...` with `expect: [...]`"
    return str(ConfigProblem(problem.file, problem.message, problem.key, problem.line, problem.value, remedy))


def schema() -> dict[str, Any]:
    """The JSON Schema of such a file, for editors."""
    found = QuestionsFile.model_json_schema()
    found["properties"] = {"$schema": {"type": "string"}, **found["properties"]}
    return found


def in_half(question: str, half: str) -> bool:
    """Whether a question is of this half: it stays so whatever is added, left out or moved."""
    digest = hashlib.sha256(_even(question).encode("utf-8", "replace")).digest()
    return HALVES[1 - digest[0] % 2] == half


def _even(question: str) -> str:
    return " ".join(question.split()).casefold()
