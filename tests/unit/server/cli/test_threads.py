"""`waystation threads` as people and scripts call it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from graph.db.tables import threads
from server.cli.main import app
from server.cli.sessions import opened
from server.cli.threads import difference_lines
from waystation.testing.agents import write_config

pytestmark = pytest.mark.slow

runner = CliRunner()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the file: a session "s" with two turns, made once."""
    folder = tmp_path_factory.mktemp("cli")
    write_config(folder)
    with pytest.MonkeyPatch.context() as patch:
        _point_to(folder, patch)
        call("ask", "What is 5 + 3?", "--thread", "s", "--json")
        call("ask", "And doubled, Amélie?", "--thread", "s", "--json")
    return folder


@pytest.fixture(autouse=True)
def _places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _point_to(home, monkeypatch)


def _point_to(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("WAYSTATION_CONFIG_DIR", str(folder / "config"))
    patch.setenv("WAYSTATION_HOME", str(folder / "home"))
    patch.setenv("WAYSTATION_MCP__BUNDLED", "true")


def call(*words: str, code: int = 0, stdin: bytes | None = None) -> str:
    found = runner.invoke(app, list(words), input=stdin)
    assert found.exit_code == code, found.output + found.stderr
    return found.stdout if code == 0 else found.stderr


def told(*words: str) -> Any:
    return json.loads(call("threads", *words, "--json"))


def test_a_session_is_listed_shown_and_its_checkpoints_read() -> None:
    assert "s" in [thread["id"] for thread in told("list")]
    assert "And doubled, Amélie?" in call("threads", "show", "s")
    checkpoints = told("history", "s", "--limit", "50")["checkpoints"]
    oldest = checkpoints[-1]["checkpoint_id"]
    assert told("state", "s", "--checkpoint", oldest)["messages"] == []
    assert "And doubled, Amélie?" in call("threads", "state", "s")
    assert "checkpoint_not_found: " in call("threads", "state", "s", "--checkpoint", "nope", code=1)


def test_two_checkpoints_are_compared() -> None:
    checkpoints = told("history", "s", "--limit", "50")["checkpoints"]
    oldest = checkpoints[-1]["checkpoint_id"]
    assert len(told("diff", "s", "--from", oldest)["messages"]["added"]) >= 6
    said = call("threads", "diff", "s", "--from", oldest)
    assert "+ user: What is 5 + 3?" in said
    assert call("threads", "diff", "s").startswith(checkpoints[1]["checkpoint_id"])


def test_a_fork_is_a_session_of_its_own() -> None:
    made = call("threads", "fork", "s").strip()
    assert told("show", made)["parent"] == "s"
    messages = told("show", "s")["messages"]
    second = [m["id"] for m in messages if m["role"] == "user"][1]
    before = told("fork", "s", "--before", second)
    assert before["turns"] == 1
    assert "- user: And doubled, Amélie?" in call("threads", "diff", "s", "--other", before["id"])
    assert "not both" in call("threads", "fork", "s", "--before", "x", "--checkpoint", "y", code=1)
    assert "message_not_found: " in call("threads", "fork", "s", "--before", "nope", code=1)
    for name in (made, before["id"]):
        call("threads", "delete", name)


def test_messages_are_found_by_their_words() -> None:
    (hit, *_) = told("search", "amelie doubled")
    assert (hit["thread_id"], hit["role"]) == ("s", "user")
    assert "[Amélie]" in call("threads", "search", "amelie")
    assert call("threads", "search", "zanzibar") == "(nothing found)\n"
    assert call("threads", "search", "amelie", "--user", "bob") == "(nothing found)\n"


def test_tags_are_added_shown_and_taken_away() -> None:
    assert call("threads", "tag", "s") == "(no tags)\n"
    assert call("threads", "tag", "s", "work", "trip") == "work, trip\n"
    assert [thread["id"] for thread in told("list", "--tag", "trip")] == ["s"]
    assert told("tag", "s", "--remove", "work")["tags"] == ["trip"]
    assert call("threads", "tag", "s", "--remove", "trip") == "(no tags)\n"
    assert "invalid_input: " in call("threads", "tag", "s", "x" * 41, code=1)


def test_a_session_is_renamed() -> None:
    assert call("threads", "rename", "s", "Sums") == "Sums\n"
    assert told("rename", "s", "More sums")["title"] == "More sums"


def test_a_session_goes_out_and_comes_in(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    wrote = told("export", "s", "--output", str(file))
    assert (wrote["format"], wrote["bytes"]) == ("jsonl", file.stat().st_size)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
    made = call("threads", "import", str(file)).strip()
    assert [m["text"] for m in told("show", made)["messages"]] == [
        m["text"] for m in told("show", "s")["messages"]
    ]
    again = runner.invoke(app, ["threads", "import", "-", "--json"], input=file.read_bytes())
    assert json.loads(again.stdout)["turns"] == 2
    assert call("threads", "export", "s", "--format", "markdown").startswith("# ")
    assert "wrote" in call("threads", "export", "s", "--format", "markdown", "-o", str(tmp_path / "s.md"))
    for name in (made, json.loads(again.stdout)["id"]):
        call("threads", "delete", name)


def test_what_cannot_go_out_or_come_in_is_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("{}\n")
    for words, line in (
        (["import", str(wrong)], "export_invalid: line 1: "),
        (["import", str(tmp_path / "nowhere")], "invalid_input: 'nowhere' cannot be read: "),
        (["export", "s", "--json"], "invalid_input: --json"),
        (["export", "s", "-o", str(tmp_path / "no" / "x")], "invalid_input: 'x' cannot be written: "),
        (["export", "nobody"], "thread_not_found: "),
    ):
        said = call("threads", *words, code=1)
        assert said.startswith(line)
        assert said.count("\n") == 1
        assert str(tmp_path) not in said


async def _wait_for_a_person() -> None:
    question = {
        "id": "i1",
        "kind": "approval",
        "call": {"server": "sums", "tool": "add", "arguments": {"a": 5}},
    }
    async with opened() as (agent, who):
        await agent.threads.create(who, thread_id="w", title="Waits")
        async with agent.engine.begin() as db:
            values = {"status": "interrupted", "waiting": [question]}
            await db.execute(update(threads).where(threads.c.id == "w").values(**values))


def test_what_waits_for_a_person_is_listed_with_its_question() -> None:
    assert call("threads", "waiting") == "(nothing waits)\n"
    asyncio.run(_wait_for_a_person())
    (found,) = told("waiting")
    assert (found["id"], found["waiting"][0]["id"]) == ("w", "i1")
    assert "Allow sums.add(a=5)?" in call("threads", "waiting")
    assert call("threads", "delete", "w") == "deleted w\n"


def test_a_difference_is_told_line_by_line() -> None:
    point = {"checkpoint_id": "a"}
    changed = {"from": {"role": "user", "text": "x"}, "to": {"role": "user", "text": "y" * 200}}
    found = {
        "from": point,
        "to": {"checkpoint_id": "b"},
        "messages": {"added": [], "removed": [], "changed": [changed]},
        "files": {"added": [{"name": "f"}], "removed": [], "changed": []},
        "channels": {"summary": {"from": None, "to": "notes"}},
        "next": {"from": ["call_model"], "to": []},
        "interrupts": {"from": [], "to": []},
    }
    lines = difference_lines(found)
    assert lines[0] == "a -> b"
    assert lines[1].startswith("~ user: x -> user: yyy")
    assert lines[2:] == ["+ file f", "~ summary: None -> notes", "~ next: ['call_model'] -> []"]
