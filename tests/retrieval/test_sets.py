"""How much of what people ask is found, in four sources: floors a little below what is measured.

`python -m tests.retrieval --misses` prints the figures and what was missed.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from fnmatch import filter as filter_names
from pathlib import Path

import pytest

from core.access import EVERY, Principal
from nodes.rag.adapters.bundled import installed
from nodes.rag.evaluation import read_questions
from nodes.rag.evaluation.command import Evaluation, Judged
from nodes.rag.evaluation.options import Floor
from tests.retrieval.corpora import SETS, SOURCES, prepare

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
NO_MODEL = "the extra `embed` is not installed"
ADA = Principal("ada", frozenset(), frozenset({EVERY}))
# As measured, less what a few pages that are written anew may cost without anybody's fault.
FLOORS = {
    ("both", "handbook"): "hit@1=0.55 hit@4=0.77 no_answer=0.52 keywords.hit@4=0.9 german.hit@4=0.6",
    ("both", "company"): "hit@1=0.71 hit@4=0.84 mrr=0.76 no_answer=0.71 cell=0.73 quote=0.70 "
    "versions.hit@1=0.8 german.hit@4=0.72 french.hit@4=0.9",
    ("both", "library"): "hit@1=0.54 hit@4=0.65 no_answer=0.75 cell=0.8 german.hit@4=0.5",
    ("both", "ferry"): "hit@1=0.68 hit@4=0.77 no_answer=0.69 cell=0.83 german.hit@4=0.66",
    ("both", "later"): "hit@1=0.51 hit@4=0.82 no_answer=0.66",
    ("both", "asked"): "hit@1=0.54 hit@4=0.79 no_answer=0.74",
    ("words", "handbook"): "hit@1=0.40 hit@4=0.63 no_answer=0.35 keywords.hit@4=0.9",
    ("words", "company"): "hit@1=0.70 hit@4=0.83 no_answer=0.2 cell=0.74 quote=0.7 versions.hit@1=0.8",
    ("words", "library"): "hit@1=0.47 hit@4=0.67 no_answer=0.43 cell=0.8",
    ("words", "ferry"): "hit@1=0.58 hit@4=0.72 no_answer=0.38 cell=0.83",
    ("words", "later"): "hit@1=0.41 hit@4=0.54 no_answer=0.16",
    ("words", "asked"): "hit@1=0.43 hit@4=0.75 no_answer=0.22",
}
MODES = ["words", pytest.param("both", marks=pytest.mark.skipif(not installed(), reason=NO_MODEL))]


@dataclass(frozen=True)
class Asked:
    """What came of the sets, searched `by` words or both, and the documents in the index of each source."""

    by: str
    sets: dict[str, Judged]
    documents: dict[str, set[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all sources are indexed once."""
    made = tmp_path_factory.mktemp("retrieval")
    prepare(made)
    return made


@pytest.fixture(scope="module", params=MODES)
def asked(request: pytest.FixtureRequest, folder: Path) -> Asked:
    """The sets, each asked once: by words alone, and as the service is shipped with the extra `embed`."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WAYSTATION_CONFIG_DIR", str(folder / "config"))
        environment.setenv("WAYSTATION_HOME", str(folder / "home"))
        environment.setenv("WAYSTATION_RAG__TIMEOUT_S", "600")  # figures, whatever else the machine does
        environment.setenv("WAYSTATION_RAG__SEARCH", request.param)
        sets = {name: asyncio.run(Evaluation(HERE / f"{name}.yaml", ADA).runs())[0] for name in SETS}
    manifests = {name: next((folder / "home/index").glob(f"{name}-*.manifest.json")) for name in SOURCES}
    documents = {name: set(json.loads(m.read_bytes())["files"]) for name, m in manifests.items()}
    return Asked(request.param, sets, documents)


@pytest.mark.parametrize("name", SETS)
def test_a_set_stays_above_its_floors(asked: Asked, name: str) -> None:
    floors = [Floor.read(text) for text in FLOORS[asked.by, name].split()]
    assert asked.sets[name].under(floors) == []


@pytest.mark.parametrize("name", SETS)
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
