"""The list that a command reads from the file is the list of an opened database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from core.access import Principal
from graph import Agent
from graph.db.tables import named, threads
from graph.threads import quick_list
from graph.threads.quick_list import list_in
from graph.threads.threads import STATUSES
from waystation.testing.agents import context_at

pytestmark = pytest.mark.slow

ADA = Principal("ada")
ROWS = [
    ("a", "Berth plan", "idle", ["work", "Trip"], None),
    ("b", "Über  den Hafen", "interrupted", [], [{"id": "1", "kind": "approval"}]),
    ("c", "50% off_er", "failed", ["trip to Rome"], None),
]
WANTED: list[dict[str, Any]] = [
    {},
    {"limit": 2},
    {"status": "interrupted"},
    {"q": "uber den"},
    {"q": "%"},
    {"q": "off_"},
    {"q": "nothing"},
    {"tag": "trip"},
    {"tag": "TRIP  to rome"},
    {"status": "idle", "q": "plan", "tag": "work"},
]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with Agent.open(context_at(tmp_path), idle=True) as agent:
        async with agent.engine.begin() as db:
            for place, (key, title, status, tags, waiting) in enumerate(ROWS):
                row = {"id": key, "owner": "ada", "status": status, "waiting": waiting, "turns": place}
                times = {"created_at": 1.5, "updated_at": 10.25 + place}
                await db.execute(insert(threads).values(**row, **times, **named(title=title, tags=tags)))
            other = {"id": "d", "owner": "bob", "created_at": 1, "updated_at": 1}
            await db.execute(insert(threads).values(**other, **named(title="Berth", tags=[])))
        yield agent


def file_of(agent: Agent) -> Path:
    return Path(str(agent.engine.url.database))


@pytest.mark.parametrize("wanted", WANTED, ids=str)
async def test_it_is_the_same_list(agent: Agent, wanted: dict[str, Any]) -> None:
    found = list_in(file_of(agent), "ada", **wanted)
    assert found == await agent.threads.list(ADA, **wanted)
    assert set(STATUSES) == quick_list.STATUSES


@pytest.mark.parametrize("wanted", [{"status": "odd"}, {"q": "a\x00"}, {"tag": "a\nb"}], ids=str)
async def test_what_is_odd_is_left_to_the_database_s_own_way(agent: Agent, wanted: dict[str, Any]) -> None:
    assert list_in(file_of(agent), "ada", **wanted) is None


async def test_a_database_that_is_not_as_it_should_be_is_left_alone(agent: Agent, tmp_path: Path) -> None:
    assert list_in(tmp_path / "nothing.db", "ada") is None
    assert not (tmp_path / "nothing.db").exists()
    (tmp_path / "odd.db").write_text("no database")
    assert list_in(tmp_path / "odd.db", "ada") is None
    async with agent.engine.begin() as db:
        await db.execute(text("UPDATE threads SET title_folded = NULL WHERE id = 'a'"))
    assert list_in(file_of(agent), "ada") is None
    async with agent.engine.begin() as db:
        await db.execute(text("UPDATE threads SET title_folded = '' WHERE id = 'a'"))
        await db.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert list_in(file_of(agent), "ada") is None
