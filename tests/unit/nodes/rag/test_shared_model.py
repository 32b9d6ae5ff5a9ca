"""Another model for an index that is shared: what is published is searched by words until the new one is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from core.access import Principal
from nodes.rag import RAGClient
from tests.unit.nodes.rag.corpus import write
from tests.unit.nodes.rag.test_shared import Homes, server
from waystation.testing.rag_server import RagServer
from waystation.testing.s3 import S3Server

pytestmark = pytest.mark.slow
__all__ = ["server"]

ADA, HAL = Principal("ada"), Principal("hal", frozenset({"hr"}))
# Found by meaning alone: no word of it stands in a document.
MEANT, NAMED = "holiday vacation", "days of leave"
BY_WORDS = ["searched_by_words"]
SOURCE = """docs:
  type: local
  path: {{path}}
  embedder: {{{{url: '{url}/v1', model: {model}}}}}
  access: {{{{rules: [{{{{path: "hr/**", groups: [hr]}}}}]}}}}
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[RagServer]:
    with RagServer() as found:
        yield found


@pytest.fixture
async def homes(tmp_path: Path, server: S3Server, endpoint: RagServer) -> AsyncIterator[Homes]:
    endpoint.forget()
    async with AsyncExitStack() as stack:
        made = Homes(tmp_path, server, stack)
        write(
            made.docs,
            {"leave.txt": "Thirty days of leave.", "hr/pay.txt": "Wages and days of leave come in March."},
        )
        yield made


def entry(endpoint: RagServer, model: str) -> str:
    return SOURCE.format(url=endpoint.url, model=model)


async def found(rag: RAGClient, question: str, who: Principal = ADA) -> tuple[set[str], list[str]]:
    answer = await rag.query(question, sources=["docs"], principal=who)
    assert answer.failed == ()
    return {p.document for p in answer.passages}, [code for code, _ in answer.notices]


async def test_the_old_index_answers_everywhere_until_the_new_one_is_published(
    homes: Homes, endpoint: RagServer
) -> None:
    writer = await homes.home("first", source=entry(endpoint, "one"))
    reader = await homes.home("second", "read", source=entry(endpoint, "one"))
    await writer.ingest("docs")
    await reader.prepare()
    for rag in (writer, reader):
        assert await found(rag, MEANT) == ({"leave.txt"}, [])
        assert (await found(rag, NAMED, HAL))[0] == {"leave.txt", "hr/pay.txt"}
    await writer.aclose()

    early = await homes.home("third", "read", source=entry(endpoint, "wide"))
    endpoint.behave(fault="status", only="embeddings")
    writer = await homes.home("first", source=entry(endpoint, "wide"))
    (report,) = await writer.prepare()
    assert report.problems
    await early.prepare()
    for rag in (writer, early):
        assert await found(rag, NAMED) == ({"leave.txt"}, BY_WORDS)
        assert (await found(rag, NAMED, HAL))[0] == {"leave.txt", "hr/pay.txt"}
    assert await homes.pointer() == 1

    endpoint.behave()
    asked: list[tuple[set[str], list[str]]] = []
    done = asyncio.Event()

    async def asking() -> None:
        while not done.is_set():
            asked.extend([await found(early, NAMED), await found(writer, NAMED)])

    task = asyncio.create_task(asking())
    (report,) = await writer.prepare()
    assert (report.problems, report.files) == ((), 2)
    await writer.sharing.once()
    await early.prepare()
    done.set()
    await task
    assert await homes.pointer() == 2
    assert {frozenset(documents) for documents, _ in asked} == {frozenset({"leave.txt"})}
    for rag in (writer, early):
        assert await found(rag, MEANT) == ({"leave.txt"}, [])
    # One that still has the model of before finds words in the new index, and says so.
    await reader.prepare()
    assert await found(reader, NAMED) == ({"leave.txt"}, BY_WORDS)
    assert await found(reader, MEANT) == (set(), BY_WORDS)
