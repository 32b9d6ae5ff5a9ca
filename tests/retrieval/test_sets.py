"""How much of what people ask is found, in four sources: floors a little below what is measured.

`python -m tests.retrieval --misses` prints the figures and what was missed; with `--floors` it holds all
questions by words and meaning to theirs, as `make campaign` does.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import filter as filter_names
from pathlib import Path

import pytest

from core.access import EVERY, Principal
from nodes.rag.adapters.bundled import installed
from nodes.rag.evaluation import read_questions
from nodes.rag.evaluation.command import Evaluation, Judged
from nodes.rag.evaluation.options import Floor
from nodes.rag.evaluation.questions import Question
from tests.kit.samples import WHOLE
from tests.retrieval.corpora import EVERY_SET, SETS, SOURCES, prepare
from tests.retrieval.floors import FLOORS, FORMS_SAMPLE, SAMPLE, SAMPLED
from tests.retrieval.forms import WRITTEN, as_asked, distinct, forms

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
NO_MODEL = "the extra `embed` is not installed"
ADA = Principal("ada", frozenset(), frozenset({EVERY}))
# Vectors of the other two take nine seconds of a core.
BY_MEANING = list(SAMPLED) if WHOLE in os.environ else ["library"]


class Sampled(Evaluation):
    """One question in `SAMPLE`, whichever is chosen by what it says."""

    def questions(self) -> list[Question]:
        return [item for item in super().questions() if _number(item.question) % SAMPLE == 0]


class Otherwise(Evaluation):
    """Some of the questions in their other forms: of the sources that the file is named after, or of all."""

    def questions(self) -> list[Question]:
        sample = FORMS_SAMPLE[bool(self.sources)]
        asked = [form.question for form in distinct() if _number(form.question.question) % sample == 0]
        return [item for item in asked if not self.sources or item.source[0] in self.sources]


def _number(question: str) -> int:
    return int(hashlib.sha256(question.encode()).hexdigest(), 16)


@dataclass(frozen=True)
class Asked:
    """What came of the sets by words, and the documents in the index of each source."""

    sets: dict[str, Judged]
    documents: dict[str, set[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all sources are indexed once."""
    made = tmp_path_factory.mktemp("retrieval")
    prepare(made)
    return made


@contextmanager
def settings(folder: Path, by: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WAYSTATION_CONFIG_DIR", str(folder / "config"))
        environment.setenv("WAYSTATION_HOME", str(folder / "home"))
        environment.setenv("WAYSTATION_RAG__TIMEOUT_S", "600")  # figures, whatever else the machine does
        environment.setenv("WAYSTATION_RAG__SEARCH", by)
        yield


def judged(folder: Path, sets: Iterable[str], *, by: str, as_: type[Evaluation]) -> dict[str, Judged]:
    with settings(folder, by):
        return {name: asyncio.run(as_(HERE / f"{name}.yaml", ADA).runs())[0] for name in sets}


def otherwise(folder: Path, sources: tuple[str, ...], *, by: str) -> Judged:
    with settings(folder, by):
        return asyncio.run(Otherwise(HERE, ADA, sources=sources).runs())[0]


@pytest.fixture(scope="module")
def asked(folder: Path) -> Asked:
    """Every question of every set, searched by words alone."""
    sets = judged(folder, EVERY_SET, by="words", as_=Evaluation)
    manifests = {name: next((folder / "home/index").glob(f"{name}-*.manifest.json")) for name in SOURCES}
    documents = {name: set(json.loads(m.read_bytes())["files"]) for name, m in manifests.items()}
    return Asked(sets, documents)


@pytest.fixture(scope="module")
def sampled(folder: Path, asked: Asked) -> dict[str, Judged]:
    """Some questions of the invented sources, searched by words and meaning in the same index."""
    return judged(folder, BY_MEANING, by="both", as_=Sampled)


@pytest.mark.parametrize("name", EVERY_SET)
@pytest.mark.always(cases="all")
def test_a_set_stays_above_its_floors_by_words(asked: Asked, name: str) -> None:
    floors = [Floor.read(text) for text in FLOORS["words", name].split()]
    assert asked.sets[name].under(floors) == []


@pytest.mark.skipif(not installed(), reason=NO_MODEL)
@pytest.mark.parametrize("name", BY_MEANING)
@pytest.mark.always
def test_a_sample_stays_above_its_floors_by_words_and_meaning(sampled: dict[str, Judged], name: str) -> None:
    floors = [Floor.read(text) for text in SAMPLED[name].split()]
    assert sampled[name].under(floors) == []


@pytest.mark.usefixtures("asked")
def test_other_forms_of_the_questions_stay_above_their_floors_by_words(folder: Path) -> None:
    floors = [Floor.read(text) for text in FLOORS["words", "forms"].split()]
    assert otherwise(folder, (), by="words").under(floors) == []


@pytest.mark.skipif(not installed(), reason=NO_MODEL)
@pytest.mark.usefixtures("asked")
def test_other_forms_stay_above_their_floors_by_words_and_meaning(folder: Path) -> None:
    floors = [Floor.read(text) for text in FLOORS["both", "forms"].split()]
    assert otherwise(folder, tuple(SAMPLED), by="both").under(floors) == []


def test_each_form_is_of_a_question_that_a_set_has() -> None:
    asked = {form.of for form in as_asked()}
    assert {form.of for form in forms()} <= asked
    written = [form for form in forms() if form.way in WRITTEN]
    assert len(written) >= 700
    assert sum(1 for form in written if not form.question.answerable) >= 180


@pytest.mark.parametrize("name", EVERY_SET)
def test_every_document_that_is_expected_is_in_the_index(asked: Asked, name: str) -> None:
    lost = [
        document
        for item in read_questions(HERE / f"{name}.yaml").all()
        for document in item.expect
        if not filter_names(asked.documents[item.source[0]], document)
    ]
    assert lost == []


def test_the_sets_are_large_enough_to_tell_something() -> None:
    questions = [item for name in SETS for item in read_questions(HERE / f"{name}.yaml").questions]
    assert len(questions) >= 500
    assert sum(1 for item in questions if not item.answerable) >= 120
    assert sum(1 for item in questions if item.cell) >= 20
    assert sum(1 for item in questions if item.language == "german") >= 40
