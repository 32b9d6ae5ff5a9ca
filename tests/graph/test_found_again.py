"""What was said in whole turns is found again, on each database: no way into the transcript leaves it out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from graph.db.tables import threads, transcript
from waystation.testing.agents import open_agent

LOCAL = Principal("local")


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'elsewhere.db'}"
    url = request.getfixturevalue("postgres_url")
    return str(url.set(drivername="postgresql").render_as_string())


async def test_rd5_questions_answers_imports_and_titles_of_turns_are_found(
    storage_url: str, tmp_path: Path
) -> None:
    async with open_agent(tmp_path, storage={"url": storage_url}) as agent:
        await agent.ask("What is 5 + 3?", thread="t")
        await agent.ask("Was ist Größe?", thread="t")
        exported = [line async for line in await agent.threads.export(LOCAL, "t")]

        async def lines() -> AsyncIterator[bytes]:
            for line in exported:
                yield line

        made = await agent.threads.import_lines(LOCAL, lines())
        hits = await agent.threads.search(LOCAL, "grosse")
        assert {hit["thread_id"] for hit in hits} == {"t", made["id"]}
        assert await agent.threads.search(LOCAL, '"5 3 8"')
        assert len(await agent.threads.list(LOCAL, q="WHAT IS")) == 2
        engine = await agent.container.get(AsyncEngine)
        async with engine.connect() as db:
            unsaid = select(transcript.c.text).where(transcript.c.words.is_(None))
            unnamed = or_(threads.c.title_folded.is_(None), threads.c.tags_folded.is_(None))
            assert (await db.execute(unsaid)).all() == []
            assert (await db.execute(select(threads.c.id).where(unnamed))).all() == []
