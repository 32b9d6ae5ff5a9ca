"""Threads of the real graph, looked at by releases whose graphs are others; nothing of them is changed."""

from __future__ import annotations

import enum
import hashlib
import json
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from alembic import command
from alembic.config import Config
from langchain_core.messages import AnyMessage
from langgraph._internal._constants import TASKS
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from typer.testing import CliRunner
from typing_extensions import TypedDict

import graph
from core.access import Principal
from core.registry import discover
from graph.checkpoints.carrying import Carrying
from graph.checkpoints.fingerprint import fingerprint
from graph.checkpoints.renaming import Renaming
from graph.deploy import check as looking
from graph.deploy.check import ThreadVerdict, check, present_graph
from graph.deploy.reading import ThreadAsLeft, reading, threads_as_left
from graph.flow.state import State, merge_messages
from nodes.file_storage import FileManager
from server.cli.deploy import deploy
from waystation.testing.agents import open_agent

WRITTEN = sorted((Path(__file__).parents[1] / "fixtures").glob("threads-*.sql"))
STEPS = ("lookup_config", "retrieve", "call_model", "execute_tools", "store_files")
CALCULATOR = '{"calculator": {"require_approval": ["*"]}}'


class Narrow(TypedDict, total=False):
    """The state of a release that has no files any more."""

    messages: Annotated[list[AnyMessage], DeltaChannel(merge_messages)]


class Call(TypedDict, total=False):
    call: dict[str, Any]


def release(names: Mapping[str, str] | None = None, *, state: Any = State, gone: str = "") -> Any:
    """The graph of another release: steps by other names, without one, or on another state."""
    found = {name: (names or {}).get(name, name) for name in STEPS if name != gone}

    def step(_: Any) -> dict[str, Any]:
        return {}

    graph: Any = StateGraph(state)
    for name, named in found.items():
        graph.add_node(named, step, input_schema=Call if name == "execute_tools" else state)
    line = [found[name] for name in STEPS if name in found and name != "execute_tools"]
    for start, end in zip([START, *line], [*line, END], strict=True):
        graph.add_edge(start, end)
    if "execute_tools" in found:
        graph.add_edge(found["execute_tools"], found["call_model"])
    return graph.compile()


async def make_threads(folder: Path, **settings: Any) -> None:
    """One thread that is done and has a file, and one that waits for a person."""
    async with open_agent(folder, files={"mcp.json": CALCULATOR}, **settings) as agent:
        files = await agent.container.get(FileManager)
        kept = await files.put(Principal("local"), "fees.csv", b"length,fee\n8,12\n")
        await agent.ask("Who are you?", thread="done", files=[kept.key])
        reply = await agent.ask("What is 5 + 3?", thread="waits")
        assert reply["status"] == "interrupted"


@pytest.fixture(scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy")
    await make_threads(folder)
    return folder


def url_of(folder: Path) -> URL:
    return URL.create("sqlite+aiosqlite", database=str(folder / "home" / "waystation.db"))


async def verdicts(
    url: URL, graph: Any, renamed: Mapping[str, str] | None = None
) -> dict[str, ThreadVerdict]:
    async with reading(url) as (engine, saver):
        saver.renaming = Renaming(renamed or {})
        threads, _ = await threads_as_left(engine, idle=None)
        return {one.thread_id: one async for one in check(graph, saver, threads)}


async def test_the_graph_of_now_goes_on_with_every_thread(home: Path) -> None:
    found = await verdicts(url_of(home), present_graph(discover()))
    assert [one.breaks for one in found.values()] == [(), ()]
    assert (found["waits"].status, found["waits"].next, found["waits"].waits) == (
        "interrupted",
        ("execute_tools",),
        1,
    )
    assert (found["done"].next, found["done"].kept) == ((), ())


async def test_a_step_that_is_gone_breaks_the_thread_that_waits_in_it_and_no_other(home: Path) -> None:
    found = await verdicts(url_of(home), release(gone="execute_tools"))
    assert found["done"].breaks == ()
    step, question = found["waits"].breaks
    assert step.startswith("the step 'execute_tools' comes next, and this graph has none of that name")
    assert question.startswith("the question '")


async def test_a_renamed_step_breaks_until_the_table_names_it(home: Path) -> None:
    graph = release({"execute_tools": "run_tools"})
    assert (await verdicts(url_of(home), graph))["waits"].breaks
    found = (await verdicts(url_of(home), graph, {"execute_tools": "run_tools"}))["waits"]
    assert (found.breaks, found.next, found.mapped) == ((), ("run_tools",), ("execute_tools",))
    assert found.waits == 1


async def test_a_channel_that_is_gone_is_kept(home: Path) -> None:
    found = await verdicts(url_of(home), release(state=Narrow))
    assert found["done"].breaks == ()
    assert "files" in found["done"].kept
    assert found["done"].fingerprint in {"different", "none"}


@contextmanager
def a_class_of_another_release() -> Any:
    module = ModuleType("a_release_ago")
    Colour = enum.Enum("Colour", {"RED": "red"}, module="a_release_ago")  # noqa: N806 - a class
    module.Colour = Colour  # type: ignore[attr-defined]
    sys.modules["a_release_ago"] = module
    try:
        yield Colour
    finally:
        del sys.modules["a_release_ago"]


async def add_thread(
    folder: Path,
    name: str,
    writes: dict[str, Any],
    *,
    after: str = "store_files",
    pending: Sequence[tuple[str, Any]] = (),
) -> None:
    """A thread whose newest checkpoint holds `writes`, with the `pending` ones of a step that is done."""
    path = folder / "home" / "waystation.db"
    graph = present_graph(discover())
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        config: Any = {"configurable": {"thread_id": name, "checkpoint_ns": ""}}
        written = graph.copy(update={"checkpointer": saver})
        config = await written.aupdate_state(config, writes, as_node=after)
        if pending:
            await saver.aput_writes(config, pending, "6dd0ad37-3f2c-0b39-7b5c-5f9ec7a05a4f")
    status = "idle" if after == "store_files" else "interrupted"
    with sqlite3.connect(path) as db:
        # The row of a thread that is there, under another id: whatever columns this revision has.
        db.execute("CREATE TEMP TABLE one AS SELECT * FROM threads WHERE id = 'done'")
        db.execute("UPDATE one SET id = ?, status = ?", [name, status])
        db.execute("INSERT INTO threads SELECT * FROM one")
    db.close()


async def test_a_thread_that_stands_before_a_step_needs_it_and_what_leads_to_it(tmp_path: Path) -> None:
    await make_threads(tmp_path)
    await add_thread(tmp_path, "before", {}, after="lookup_config")
    assert (await verdicts(url_of(tmp_path), present_graph(discover())))["before"].next == ("retrieve",)
    (why,) = (await verdicts(url_of(tmp_path), release(gone="retrieve")))["before"].breaks
    assert why.startswith("the step 'retrieve' comes next, and this graph has none of that name")
    found = await verdicts(url_of(tmp_path), release({"retrieve": "search"}), {"retrieve": "search"})
    assert (found["before"].breaks, found["before"].mapped) == ((), ("retrieve",))


async def test_what_finished_steps_have_written_must_have_somewhere_to_go(tmp_path: Path) -> None:
    await make_threads(tmp_path)
    pending: Any = [("notes", "x"), ("branch:to:review", None), (TASKS, Send("translate", {})), ("files", [])]
    await add_thread(tmp_path, "halfway", {}, after="lookup_config", pending=pending)
    notes, review, translate = (await verdicts(url_of(tmp_path), release()))["halfway"].breaks
    assert notes == "what a finished step wrote to 'notes' would be dropped: no such channel in this graph"
    assert review.startswith("a finished step leads to 'review', and this graph has none of that name")
    assert translate.startswith("a finished step called 'translate', and this graph has none of that name")


async def test_a_class_that_no_longer_comes_back_breaks_a_thread(tmp_path: Path) -> None:
    await make_threads(tmp_path)
    with a_class_of_another_release() as colour:
        await add_thread(tmp_path, "coloured", {"files": [{"key": "k", "colour": colour["RED"]}]})
    found = await verdicts(url_of(tmp_path), present_graph(discover()))
    assert found["coloured"].breaks == ("a_release_ago.Colour is not there any more",)
    assert found["done"].breaks == ()


async def test_in_a_channel_that_is_only_kept_a_lost_class_breaks_nothing(tmp_path: Path) -> None:
    await make_threads(tmp_path)
    with a_class_of_another_release() as colour:
        await add_thread(tmp_path, "coloured", {"artifacts": [{"id": "a", "colour": colour["RED"]}]})
    found = await verdicts(url_of(tmp_path), release(state=Narrow))
    assert (found["coloured"].breaks, found["coloured"].kept) == ((), ("artifacts",))


async def test_a_checkpoint_that_cannot_be_read_is_a_finding_and_not_a_crash(tmp_path: Path) -> None:
    await make_threads(tmp_path)
    with sqlite3.connect(tmp_path / "home" / "waystation.db") as db:
        db.execute("UPDATE checkpoints SET checkpoint = x'c1' WHERE thread_id = 'done'")
    db.close()
    found = await verdicts(url_of(tmp_path), present_graph(discover()))
    (why,) = found["done"].breaks
    assert why.startswith("its newest checkpoint cannot be read: ")
    assert found["waits"].breaks == ()


async def test_the_same_on_postgresql_where_nothing_can_be_written(postgres_url: URL, tmp_path: Path) -> None:
    plain = postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)
    await make_threads(tmp_path, storage={"url": plain})
    url = make_url(plain).set(drivername="postgresql+psycopg")
    graph = release({"execute_tools": "run_tools"})
    assert (await verdicts(url, graph))["waits"].breaks
    assert (await verdicts(url, graph, {"execute_tools": "run_tools"}))["waits"].breaks == ()
    assert "files" in (await verdicts(url, release(state=Narrow)))["done"].kept
    async with reading(url) as (engine, saver):
        with pytest.raises(Exception, match="read-only"):
            await saver.adelete_thread("done")
        async with engine.connect() as db:
            with pytest.raises(Exception, match="read-only"):
                await db.exec_driver_sql("DELETE FROM threads")


async def test_a_thread_without_a_checkpoint_has_nothing_to_break(home: Path) -> None:
    async with reading(url_of(home)) as (_, saver):
        (found,) = [
            one async for one in check(present_graph(discover()), saver, [ThreadAsLeft("new", "running")])
        ]
    assert (found.breaks, found.checkpoint_id) == ((), "")


# ---- the command


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WAYSTATION_HOME", str(home / "home"))
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(home / "config"))

    def invoke(*words: str) -> Any:
        return CliRunner().invoke(deploy, ["check", *words])

    return invoke


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "home" / "waystation.db").read_bytes()).hexdigest()


def test_the_command_reports_and_changes_nothing(run: Any, home: Path) -> None:
    before = digest(home)
    result = run("--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["checked"], report["left_out"], report["breaks"]) == (2, 0, 0)
    assert len(report["fingerprint"]) == 16
    assert digest(home) == before


def test_the_command_fails_where_a_thread_would_break_and_says_why(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "present_graph", lambda _: release(gone="execute_tools"))
    result = run()
    assert result.exit_code == 1
    assert "waits" in result.stdout
    assert "the step 'execute_tools' comes next" in result.stdout
    assert "would break: 1" in result.stdout


def test_the_command_lists_what_is_kept_and_what_is_renamed(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        looking, "present_graph", lambda _: release({"execute_tools": "run_tools"}, state=Narrow)
    )
    monkeypatch.setattr(Carrying, "renaming", Renaming({"execute_tools": "run_tools"}))
    result = run()
    assert result.exit_code == 0, result.stdout
    assert "kept: files" in result.stdout
    assert "renamed: execute_tools" in result.stdout


def test_live_and_waiting_threads_are_looked_at_whatever_the_limit(run: Any) -> None:
    report = json.loads(run("--json", "--limit", "0").stdout)
    assert [one["thread_id"] for one in report["threads"]] == ["waits"]
    assert report["left_out"] == 1
    assert json.loads(run("--json", "--limit", "0", "--all").stdout)["checked"] == 2


def test_a_database_of_an_older_release_is_read_and_stays_at_its_revision(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    engine = create_engine(f"sqlite:///{folder / 'waystation.db'}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(graph.__file__).parent / "db" / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO threads (id, owner, title, status, turns, created_at, updated_at, dirty)"
            " VALUES ('old', 'ada', '', 'running', 1, 0, 0, 0)"
        )
    engine.dispose()
    monkeypatch.setenv("WAYSTATION_HOME", str(folder))
    before = digest(tmp_path)
    report = json.loads(run("--json").stdout)
    assert report["revision"] == "0001"
    assert report["note"].startswith("the database is at revision 0001; this release migrates it to")
    assert digest(tmp_path) == before
    assert "migrates it" in run().stderr


def test_a_database_of_a_newer_release_is_read_as_far_as_it_is_known(
    run: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "waystation.db"
    with (
        closing(sqlite3.connect(home / "home" / "waystation.db")) as here,
        closing(sqlite3.connect(copy)) as there,
    ):
        here.backup(there)
        there.execute("UPDATE alembic_version SET version_num = '9999'")
        there.commit()
    monkeypatch.setenv("WAYSTATION_HOME", str(tmp_path))
    report = json.loads(run("--json").stdout)
    assert "newer than this release's" in report["note"]
    assert report["checked"] == 2


@pytest.mark.parametrize("dump", WRITTEN, ids=lambda dump: dump.name)
def test_threads_of_releases_before_go_on_under_this_one(
    run: Any, dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "waystation.db")) as db:
        db.executescript(dump.read_text(encoding="utf-8"))
    monkeypatch.setenv("WAYSTATION_HOME", str(tmp_path))
    result = run("--json", "--all")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["breaks"]) == (0, 0)
    assert report["checked"] == len(report["threads"]) > 0


def test_without_a_database_there_is_nothing_to_check(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYSTATION_HOME", str(tmp_path))
    result = run()
    assert result.exit_code == 1
    assert "there is no database yet" in result.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_service_that_runs_is_not_in_the_way(run: Any, tmp_path: Path) -> None:
    async with open_agent(tmp_path) as agent:
        await agent.ask("Who are you?", thread="live")
        found = await verdicts(url_of(tmp_path), agent.graph.copy(update={"checkpointer": None}))
        assert found["live"].breaks == ()
        assert fingerprint(agent.graph) == fingerprint(present_graph(discover()))
