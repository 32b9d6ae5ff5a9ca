"""Threads on disk outlive the release that wrote them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

import graph
from core.access import Principal
from core.database.engine import create_engine
from graph import Agent
from graph.db.database import HEAD, opened_database, revision
from tests.fixtures.make_threads import install_tools, reword
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, say

LOCAL = Principal("local")
ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
WRITTEN = sorted(path.name for path in FIXTURES.glob("threads-*.sql"))
THIS_RELEASE = "this release"
MIGRATIONS = Path(graph.__file__).parent / "db" / "migrations"
ASKED = {
    "finished": ["How long is a berth reserved?", "What do 14 nights cost? ⚓", "And for two boats?"],
    "partial": ["Can you count?", "Then count to six."],
    "killed": ["Are you there?", "Wait for me."],
}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def dump_of_now(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script makes of this release, for the next one."""
    dump = tmp_path_factory.mktemp("dump") / "threads.sql"
    script = [sys.executable, str(FIXTURES / "make_threads.py"), str(dump)]
    subprocess.run(script, cwd=ROOT, check=True, timeout=180)
    return dump


@pytest.fixture(params=[*WRITTEN, THIS_RELEASE])
async def agent(request: pytest.FixtureRequest, model: ModelServer, tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent of this release on threads that another one wrote, or that the same script wrote just now."""
    new = request.param == THIS_RELEASE
    dump = request.getfixturevalue("dump_of_now") if new else FIXTURES / request.param
    home = tmp_path / "home"
    install_tools(home)
    restore(dump, home / "waystation.db")
    model.reset()
    async with open_agent(tmp_path, model_url=model.url, mcp={"bundled": False}) as agent:
        yield agent


def restore(dump: Path, database: Path) -> None:
    """The database as the release left it, some time later: no lease is alive any more."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
        connection.execute("UPDATE threads SET lease_until = 1 WHERE lease_until IS NOT NULL")
        connection.commit()


def told(model: ModelServer) -> list[str]:
    """What people said, as the model was sent it last."""
    return [m["content"] for m in model.requests()[-1]["messages"] if m["role"] == "user"]


async def test_a_finished_thread_is_whole_in_state_transcript_and_history(agent: Agent) -> None:
    state = await agent.threads.state(LOCAL, "finished")
    roles = " ".join(message["role"] for message in state["messages"])
    assert roles == "user assistant user assistant tool tool assistant user assistant tool assistant"
    assert [m["text"] for m in state["messages"] if m["role"] == "user"] == ASKED["finished"]
    assert [m["text"] for m in state["messages"] if m["role"] == "tool"] == ["168", "6", "336"]
    assert state["next"] == []

    page = await agent.threads.transcript(LOCAL, "finished")
    said = [[m for m in each if m["role"] != "tool"] for each in (page["messages"], state["messages"])]
    assert [(m["id"], m["text"]) for m in said[0]] == [(m["id"], m["text"]) for m in said[1]]
    # Of two calls in one answer, the transcript has first what ended first.
    results = [
        {(m["id"], m["text"]) for m in each["messages"] if m["role"] == "tool"} for each in (page, state)
    ]
    assert results[0] == results[1]


async def test_every_checkpoint_of_every_thread_loads(agent: Agent) -> None:
    for thread in (*ASKED, "waiting"):
        seen, before = list[int](), None
        while True:
            page = await agent.threads.history(LOCAL, thread, limit=7, before=before)
            seen += [checkpoint["messages"] for checkpoint in page["checkpoints"]]
            before = page["before"]
            if before is None:
                break
        # Newest first; the first checkpoint of a thread was made before its message came.
        assert seen == sorted(seen, reverse=True)
        assert (seen[0] > 2, seen[-1]) == (True, 0)


async def test_the_next_message_works_at_the_first_try_on_every_thread(
    agent: Agent, model: ModelServer
) -> None:
    for thread, before in ASKED.items():
        reword(model, "And now?", "What is there now?")
        model.script(say(f"Still here, {thread}."))
        reply = await agent.ask("And now?", thread=thread)
        assert (reply["status"], reply["answer"]) == ("done", f"Still here, {thread}.")
        assert told(model) == [*before, "And now?"]
        page = await agent.threads.transcript(LOCAL, thread)
        assert [m["text"] for m in page["messages"] if m["role"] == "user"] == [*before, "And now?"]


async def test_a_partial_answer_is_still_there_and_marked(agent: Agent) -> None:
    page = await agent.threads.transcript(LOCAL, "partial")
    (partial,) = [m for m in page["messages"] if m.get("partial")]
    assert partial["text"].strip() == "one two three"


async def test_a_thread_that_waits_for_a_person_goes_on_with_the_answer(
    agent: Agent, model: ModelServer
) -> None:
    (interrupt,) = (await agent.threads.state(LOCAL, "waiting"))["interrupts"]
    assert (interrupt["kind"], interrupt["call"]["tool"]) == ("approval", "add")
    assert [t["id"] for t in await agent.threads.list(LOCAL, status="interrupted")] == ["waiting"]

    model.script(say("It is 8."))
    reply = await agent.ask(thread="waiting", resume={interrupt["id"]: {"approve": True}})
    assert (reply["status"], reply["answer"]) == ("done", "It is 8.")
    results = [m for m in model.requests()[-1]["messages"] if m["role"] == "tool"]
    assert [m["content"] for m in results] == ["8"]

    model.script(say("You are welcome."))
    assert (await agent.ask("Thank you.", thread="waiting"))["answer"] == "You are welcome."


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    if request.param == "sqlite":
        return URL.create("sqlite+aiosqlite", database=str(tmp_path / "old.db"))
    found: URL = request.getfixturevalue("postgres_url")
    return found


@pytest.mark.parametrize("old", ["0001", "0002"])
async def test_a_database_of_an_earlier_revision_keeps_its_rows(url: URL, old: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as db:
        await db.run_sync(upgrade, old)
        await db.execute(
            text(
                "INSERT INTO threads (id, owner, title, status, turns, created_at, updated_at, dirty)"
                " VALUES ('t', 'ada', 'Berths', 'idle', 3, 1.5, 2.5, :dirty)"
            ),
            {"dirty": True},
        )
        await db.execute(
            text(
                "INSERT INTO transcript (thread_id, message_id, role, text, extra, run_id, created_at)"
                " VALUES ('t', 'm', 'user', 'How long? ⚓', '{}', 'r', 1.5)"
            )
        )
    await engine.dispose()

    async with opened_database(url) as engine, engine.connect() as db:
        assert await db.run_sync(revision) == HEAD
        row = (await db.execute(text("SELECT * FROM threads"))).mappings().one()
        assert (row["id"], row["owner"], row["turns"], bool(row["dirty"])) == ("t", "ada", 3, True)
        assert (row["fence"], row["waiting"], row["parent"]) == (0, None, None)
        assert (await db.execute(text("SELECT text FROM transcript"))).scalar_one() == "How long? ⚓"
        assert await db.run_sync(lambda sync: inspect(sync).has_table("runs"))


def upgrade(connection: Connection, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
