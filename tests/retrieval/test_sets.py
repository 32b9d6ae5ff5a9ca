"""How much of what people ask is found, in two sources: floors a little below what is measured.

`python -m tests.retrieval --misses` prints the figures and what was missed.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.access import EVERY, Principal
from nodes.rag.evaluation import read_questions
from nodes.rag.evaluation.command import Evaluation, Judged
from nodes.rag.evaluation.options import Floor
from tests.retrieval.corpora import SETS, prepare

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ADA = Principal("ada", frozenset(), frozenset({EVERY}))
# As measured, less what a few pages that are written anew may cost without anybody's fault.
FLOORS = {
    "handbook": "hit@1=0.54 hit@4=0.74 mrr=0.63 no_answer=0.36 keywords.hit@4=0.9 german.hit@4=0.65",
    "company": "hit@1=0.75 hit@4=0.88 mrr=0.80 no_answer=0.6 cell=0.77 quote=0.76 versions.hit@1=0.8 "
    "german.hit@1=0.68 german.hit@4=0.82 french.hit@4=0.9 japanese.hit@4=0.9",
}


@dataclass(frozen=True)
class Asked:
    """What came of the sets, and the documents that are in the index of each source."""

    sets: dict[str, Judged]
    documents: dict[str, set[str]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Both sets, each asked once of sources that are indexed once."""
    folder = tmp_path_factory.mktemp("retrieval")
    prepare(folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WAYSTATION_CONFIG_DIR", str(folder / "config"))
        environment.setenv("WAYSTATION_HOME", str(folder / "home"))
        environment.setenv("WAYSTATION_RAG__TIMEOUT_S", "600")  # figures, whatever else the machine does
        sets = {name: asyncio.run(Evaluation(HERE / f"{name}.yaml", ADA).runs())[0] for name in SETS}
    manifests = {name: next((folder / "home/index").glob(f"{name}-*.manifest.json")) for name in SETS}
    return Asked(sets, {name: set(json.loads(m.read_bytes())["files"]) for name, m in manifests.items()})


@pytest.mark.parametrize("name", SETS)
def test_a_set_stays_above_its_floors(asked: Asked, name: str) -> None:
    floors = [Floor.read(text) for text in FLOORS[name].split()]
    assert asked.sets[name].under(floors) == []


@pytest.mark.parametrize("name", SETS)
def test_every_document_that_is_expected_is_in_the_index(asked: Asked, name: str) -> None:
    expected = {
        document for item in read_questions(HERE / f"{name}.yaml").questions for document in item.expect
    }
    assert expected - asked.documents[name] == set()


def test_the_sets_are_large_enough_to_tell_something() -> None:
    questions = [item for name in SETS for item in read_questions(HERE / f"{name}.yaml").questions]
    assert len(questions) >= 250
    assert sum(1 for item in questions if not item.answerable) >= 40
    assert sum(1 for item in questions if item.cell) >= 20
    assert sum(1 for item in questions if item.language == "german") >= 40
