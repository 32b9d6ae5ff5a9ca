"""Another model at the endpoint for embeddings: the old index answers by words until the new one is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from dishka import AsyncContainer

from core.access import Principal
from core.container import opened_service
from nodes.rag import RAGClient
from nodes.rag.manifest import IndexPlace, ManifestFile, index_name
from nodes.rag.module import MODULE
from tests.unit.nodes.rag.corpus import write
from waystation.testing.agents import context_at
from waystation.testing.rag_server import RagServer

ADA = Principal("ada", frozenset({"staff"}))
DOCUMENTS = {
    "docs/leave.txt": "Thirty days of leave.",
    "docs/train.txt": "Journeys go by train.",
    "docs/hr/pay.txt": "Wages come in March.",
}
# Found by meaning alone: no word of it stands in a document.
MEANT, NAMED = "holiday vacation", "days of leave"
BY_WORDS = ["searched_by_words"]


@pytest.fixture(scope="module")
def started() -> Iterator[RagServer]:
    with RagServer() as found:
        yield found


@pytest.fixture
def server(started: RagServer, tmp_path: Path) -> RagServer:
    started.forget()
    write(tmp_path, DOCUMENTS)
    (tmp_path / "more").mkdir()
    return started


def opened(
    folder: Path, server: RagServer, model: str, *, search: str = "both"
) -> AbstractAsyncContextManager[tuple[RAGClient, AsyncContainer]]:
    """The module as it starts with this model; "" for none."""
    write(folder / "config", {"sources.yaml": _entry(server, model)})
    rules = {"source": {"attempts": 1}}
    return opened_service(MODULE, RAGClient, context_at(folder, rag={"search": search}, resilience=rules))


def _entry(server: RagServer, model: str) -> str:
    return f"""docs:
  type: local
  path: [../docs, ../more]
  embedder: {{url: '{server.url}/v1', model: {model}}}
  access: {{rules: [{{path: hr, groups: [hr]}}]}}
"""


async def found(rag: RAGClient, question: str) -> tuple[str, list[str]]:
    """The first document, and the codes of the notices."""
    answer = await rag.query(question, sources=["docs"], principal=ADA)
    assert answer.failed == ()
    first = answer.passages[0].document if answer.passages else ""
    return first, [code for code, _ in answer.notices]


def embedded(server: RagServer) -> list[str]:
    return [
        text for one in server.requests() if one["route"] == "embeddings" for text in one["body"]["input"]
    ]


async def test_words_are_found_in_the_old_index_until_the_new_one_takes_its_place(
    tmp_path: Path, server: RagServer
) -> None:
    extra = write(tmp_path / "extra", {"ferry.txt": "The ferry leaves at noon."})
    async with opened(tmp_path, server, "one") as (rag, _):
        await rag.ingest("docs", path=extra)
        assert await found(rag, MEANT) == ("leave.txt", [])

    server.behave(fault="status", only="embeddings")
    async with opened(tmp_path, server, "wide") as (rag, _):
        for _ in range(6):  # an endpoint that is left alone keeps nobody from the words
            (report,) = await rag.prepare()
            assert report.problems
        assert await found(rag, NAMED) == ("leave.txt", BY_WORDS)
        assert await found(rag, "wages in March") == ("", BY_WORDS)
        assert (await rag.stats())[0].files == 4
        assert [chunk.document for chunk in await rag.chunks("docs", "leave.txt", principal=ADA)]
        server.behave()

    async with opened(tmp_path, server, "wide") as (rag, _):
        (report,) = await rag.prepare()
        assert (report.problems, report.files) == ((), 4)
        assert await found(rag, MEANT) == ("leave.txt", [])
        assert (await found(rag, "when does the ferry leave"))[0] == "ferry.txt"
        assert server.requests()[-1]["body"]["model"] == "wide"
        (report,) = await rag.prepare()
        assert report.changed == 0


async def test_words_are_found_within_rights_while_the_endpoint_is_down(
    tmp_path: Path, server: RagServer
) -> None:
    async with opened(tmp_path, server, "one") as (rag, _):
        await rag.prepare()
        server.behave(fault="status", only="embeddings")
        for _ in range(6):  # failing at first, and left alone then
            assert await found(rag, NAMED) == ("leave.txt", BY_WORDS)
            assert await found(rag, "wages in March") == ("", BY_WORDS)


async def test_one_who_is_killed_while_making_it_leaves_the_old_one_which_answers(
    tmp_path: Path, server: RagServer
) -> None:
    async with opened(tmp_path, server, "one") as (rag, _):
        await rag.prepare()
    server.forget()
    server.behave(fault="hang", only="embeddings")
    write(tmp_path / "config", {"sources.yaml": _entry(server, "wide")})
    places = {"WAYSTATION_CONFIG_DIR": str(tmp_path / "config"), "WAYSTATION_HOME": str(tmp_path / "home")}
    places["WAYSTATION_RAG__SEARCH"] = "both"
    command = [sys.executable, "-m", "nodes.rag.cli", "ingest", "docs"]
    with subprocess.Popen(command, env={**os.environ, **places}, stderr=subprocess.PIPE) as process:
        try:
            server.wait_for_requests(1, seconds=60)
        finally:
            process.kill()
    async with opened(tmp_path, server, "wide") as (rag, _):
        assert await found(rag, NAMED) == ("leave.txt", BY_WORDS)
        server.behave()
        await rag.prepare()
        assert await found(rag, MEANT) == ("leave.txt", [])


async def test_what_is_on_a_disk_that_is_not_there_is_waited_for(tmp_path: Path, server: RagServer) -> None:
    write(tmp_path, {"more/ferry.txt": "The ferry leaves at noon."})
    async with opened(tmp_path, server, "one") as (rag, _):
        await rag.prepare()
    (tmp_path / "more").rename(tmp_path / "away")
    async with opened(tmp_path, server, "wide") as (rag, _):
        (report,) = await rag.prepare()
        assert "is not there" in report.problems[0]
        assert await found(rag, "when does the ferry leave") == ("ferry.txt", BY_WORDS)
        (tmp_path / "away").rename(tmp_path / "more")
        (report,) = await rag.prepare()
        assert report.problems == ()
        assert await found(rag, MEANT) == ("leave.txt", [])


async def test_other_vectors_under_the_same_name_are_told_and_words_are_found_until_it_is_made_anew(
    tmp_path: Path, server: RagServer
) -> None:
    async with opened(tmp_path, server, "one") as (rag, _):
        await rag.prepare()
        server.behave(wide=True)
        assert await found(rag, NAMED) == ("leave.txt", BY_WORDS)
        assert await found(rag, MEANT) == ("", BY_WORDS)
        write(tmp_path, {"docs/ferry.txt": "The ferry leaves at noon."})
        (report,) = await rag.prepare()
        assert "the model has changed under its name" in report.problems[0]
        assert "waystation rag rebuild" in report.problems[0]
        assert await found(rag, NAMED) == ("leave.txt", BY_WORDS)
        report = await rag.ingest("docs", anew=True)
        assert (report.problems, report.files) == ((), 4)
        assert await found(rag, MEANT) == ("leave.txt", [])


async def test_what_was_indexed_for_words_alone_has_vectors_when_these_are_wanted_again(
    tmp_path: Path, server: RagServer
) -> None:
    async with opened(tmp_path, server, "one") as (rag, _):
        await rag.prepare()
    write(tmp_path, {"docs/leave.txt": "Thirty days of free time.", "docs/trip.txt": "A journey by ship."})
    async with opened(tmp_path, server, "one", search="words") as (rag, _):
        (report,) = await rag.prepare()
        assert (report.problems, report.changed) == ((), 2)
        assert (await found(rag, "free time"))[0] == "leave.txt"
    async with opened(tmp_path, server, "one") as (rag, _):
        (report,) = await rag.prepare()
        assert report.problems == ()
        assert (await found(rag, "free time")) == ("leave.txt", [])
        assert any("A journey by ship." in text for text in embedded(server))


@pytest.mark.parametrize("rebuilt", [False, True], ids=["at first", "made anew once"])
async def test_an_index_of_an_earlier_version_is_taken_over_with_its_vectors(
    tmp_path: Path, server: RagServer, *, rebuilt: bool
) -> None:
    async with opened(tmp_path, server, "one") as (rag, _):
        await rag.prepare()
        if rebuilt:
            await rag.ingest("docs", anew=True)
    former = _as_earlier_versions_had_it(tmp_path / "home" / "index", f"{server.url}/v1 one")
    server.forget()
    async with opened(tmp_path, server, "one") as (rag, _):
        (report,) = await rag.prepare()
        assert (report.changed, report.files) == (0, 3)
        assert await found(rag, MEANT) == ("leave.txt", [])
    assert embedded(server) == [MEANT]
    assert not former.there()


def _as_earlier_versions_had_it(root: Path, flavour: str) -> ManifestFile:
    """With the model in the name of the index, and nowhere else."""
    now, former = index_name("docs", ""), index_name("docs", flavour)
    for path in sorted(root.rglob(f"{now}*"), reverse=True):  # what is in a folder before the folder
        if path.name != f"{now}.lock":
            path.rename(path.with_name(path.name.replace(now, former)))
    path = IndexPlace(root, former).now() / f"{former}.manifest.json"
    path.write_text(path.read_text().replace('"model"', '"other"'))
    return ManifestFile(root, former)
