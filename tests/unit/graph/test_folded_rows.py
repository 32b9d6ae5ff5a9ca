"""Titles, tags and messages as they are compared, on each database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from langchain_core.messages import HumanMessage
from sqlalchemy import update
from sqlalchemy.engine import URL

from graph.db.database import opened_database
from graph.db.tables import threads, transcript
from graph.threads.history.search import Search, tagged
from tests.kit.languages import SENTENCES
from tests.unit.graph.history_kit import ADA, World, opened_world


@pytest.fixture
async def world(database: URL) -> AsyncIterator[World]:
    async with opened_world(database) as world:
        yield world


async def titled(world: World, q: str) -> list[str]:
    return [thread["id"] for thread in await world.threads.list(ADA, q=q)]


async def test_rd5_a_title_is_found_by_a_part_of_it_in_any_script(world: World) -> None:
    for name, (sentence, _) in SENTENCES.items():
        await world.threads.create(ADA, thread_id=name, title=sentence)
    lost = [
        (name, word) for name, (_, words) in SENTENCES.items() for word in words
        if name not in await titled(world, word)
    ]  # fmt: skip
    assert lost == []
    assert await titled(world, "ärger") == ["german"]
    assert await titled(world, "100%_") == []


async def test_rd5_a_tag_is_found_however_it_is_typed(world: World) -> None:
    await world.threads.create(ADA, thread_id="t")
    await world.threads.change(ADA, "t", tags=["Ärger", "Straßen-Bau", 'with "quotes"'])
    for tag in ("ärger", "ARGER", "strassen-bau", 'With "Quotes"'):
        assert [one["id"] for one in await world.threads.list(ADA, tag=tag)] == ["t"]
    for tag in ("ärge", "bau", "quotes"):
        assert await world.threads.list(ADA, tag=tag) == []
    assert (await world.threads.get(ADA, "t"))["tags"] == ["Ärger", "Straßen-Bau", 'with "quotes"']
    await world.threads.change(ADA, "t", tags=[], title="Über alles")
    assert await world.threads.list(ADA, tag="ärger") == []
    assert await titled(world, "uber ALLES") == ["t"]


async def test_rd5_a_fork_is_found_by_its_words_title_and_tags(world: World) -> None:
    await world.say("t", "Der Ärger")
    await world.threads.change(ADA, "t", tags=["Köln"])
    fork = await world.threads.fork(ADA, "t")
    assert fork["id"] in [one["id"] for one in await world.threads.list(ADA, q="arger", tag="koln")]
    hits = await Search(world.engine).find(ADA, "ärger", limit=9)
    assert {hit["thread_id"] for hit in hits} == {"t", fork["id"]}


async def test_rd5_rows_of_an_older_release_are_folded_when_the_database_is_opened(
    database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.db.database.BATCH", 7)
    async with opened_world(database) as world:
        await world.threads.create(ADA, thread_id="t", title="Über Ärger")
        await world.threads.change(ADA, "t", tags=["Köln"])
        said = [HumanMessage(f"Straße {n}", id=f"m{n}") for n in range(20)]
        await world.transcript.append("t", "r", said)
        async with world.engine.begin() as db:  # what it looks like after the migration
            await db.execute(update(transcript).values(words=None))
            await db.execute(update(threads).values(title_folded=None, tags_folded=None))
        assert await Search(world.engine).find(ADA, "strasse", limit=50) == []
    async with opened_database(database) as engine:
        assert len(await Search(engine).find(ADA, "strasse", limit=50)) == 20
        assert len(await Search(engine).find(ADA, "straße 7", limit=50)) == 1
    async with opened_world(database) as world:
        assert await titled(world, "uber arger") == ["t"]
        assert [one["id"] for one in await world.threads.list(ADA, tag="KÖLN")] == ["t"]


def test_a_tag_is_compared_whole() -> None:
    assert "tags_folded" in str(tagged("x"))
