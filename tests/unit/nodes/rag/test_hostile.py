"""A folder of documents that nobody means well with: each is told with its reason, nothing else suffers."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

from core.access import Principal
from nodes.rag import RAGClient, RagSettings
from nodes.rag.models import IngestReport
from nodes.rag.reading import kind_of
from tests.kit.hostile import READ, REFUSED
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.kit.samples import WHOLE
from tests.unit.nodes.rag.corpus import write
from tests.unit.nodes.rag.test_tasks import local

# Fifty documents go through the child process that reads them.
pytestmark = pytest.mark.slow

ADA = Principal("ada")
ALL = {**REFUSED, **READ}
# Most of the time. One document that unpacks to much stays; `test_documents.py` has the rows of a sheet.
LATER = {
    "a sheet of more rows than Excel has",
    "a sheet that unpacks to 100 MB",
    "slides that unpack to 100 MB",
    "a book that unpacks to 100 MB",
}
HERE = {what: each for what, each in ALL.items() if what not in LATER or WHOLE in os.environ}
KINDS = {"pdf", "docx", "xlsx", "pptx", "html", "eml", "epub", "json", "yaml", "csv"}


class Ingested:
    """What came of it: the report, and what the process went through meanwhile."""

    def __init__(self, rag: RAGClient, report: IngestReport, *, answered: int, grown: int) -> None:
        self.rag = rag
        self.report = report
        self.answered = answered
        self.grown = grown


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    folder = tmp_path_factory.mktemp("hostile")
    docs = folder / "docs"
    docs.mkdir()
    for name, make, _ in HERE.values():
        (docs / name).write_bytes(make())
    write(docs, {"zz-last.md": "The pangolin is read last."})
    write(folder / "others", {"a.md": "The lemur lives elsewhere."})
    return asyncio.run(_ingested(folder))


async def _ingested(folder: Path) -> Ingested:
    """Index the folder, while somebody searches another source all the time."""
    rag = RAGClient({name: local(folder, name) for name in ("docs", "others")}, RagSettings())
    await rag.ingest("others")
    answered, done, before = 0, asyncio.Event(), _memory()

    async def asking() -> None:
        nonlocal answered
        while not done.is_set():
            found = await rag.query("lemur", sources=["others"], principal=ADA)
            answered += bool(found.passages)
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.1)

    asker = asyncio.create_task(asking())
    async with asyncio.timeout(10 * A_BUSY_MACHINE_S):
        report = await rag.ingest("docs")
    done.set()
    await asker
    return Ingested(rag, report, answered=answered, grown=_memory() - before)


def _memory() -> int:
    """Bytes of memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_forty_documents_of_ten_kinds_are_meant() -> None:
    names = [name for name, _, _ in ALL.values()]
    assert len(set(names)) == len(names) >= 40
    assert {name.rpartition(".")[2] for name in names} == KINDS
    assert all(kind_of(name) for name in names)


@pytest.mark.parametrize("what", [what for what in REFUSED if what in HERE])
def test_what_cannot_be_read_is_named_with_its_reason(ingested: Ingested, what: str) -> None:
    name, _, expected = REFUSED[what]
    assert re.search(expected, ingested.report.skipped[name])


@pytest.mark.parametrize("what", READ)
async def test_what_can_be_read_is_found(ingested: Ingested, what: str) -> None:
    name, _, word = READ[what]
    assert name not in ingested.report.skipped
    found = await ingested.rag.query(word, sources=["docs"], principal=ADA, limit=50)
    assert name in {passage.document for passage in found.passages}


@pytest.mark.always
async def test_what_comes_after_them_is_read_and_others_were_answered_all_the_while(
    ingested: Ingested,
) -> None:
    found = await ingested.rag.query("pangolin", sources=["docs"], principal=ADA)
    assert [passage.document for passage in found.passages] == ["zz-last.md"]
    assert ingested.answered > 10


def test_the_memory_of_the_process_is_not_theirs(ingested: Ingested) -> None:
    # Some of them unpack to hundreds of MB, and ten of these would not fit.
    assert ingested.grown < 150_000_000


def test_no_reason_tells_of_paths_or_of_our_code(ingested: Ingested) -> None:
    told = " ".join(ingested.report.skipped.values())
    assert not re.search(r"\B/\w|Traceback|\.py\b|Error\b", told)
