"""Sources, tool servers, tools and files looked at and tried, and what whoever runs the service looks at."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from core.identity.keys import KeyStore
from core.resilience.status import StatusFile, TargetStatus, breakers_folder
from core.settings import Places
from graph.agent import Agent
from tests.kit.http import assert_problem, client_of, served, turn
from tests.kit.task_queues import eventually
from waystation.testing.agents import BUNDLED, open_agent

ASKS = {"clock": {"require_approval": ["*"]}, "tables": {"groups": ["staff"]}}


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    folder = tmp_path_factory.mktemp("parts")
    files = {"mcp.json": json.dumps(ASKS)}
    async with open_agent(
        folder, tools=BUNDLED, files=files, auth={"user": "ada"}, rag={"search": "words"}
    ) as agent:
        yield agent


@pytest.fixture(scope="module")
async def http(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    async with served(agent) as base, client_of(base) as client:
        yield client


async def test_a_source_shows_its_documents_and_their_pieces(http: httpx.AsyncClient) -> None:
    found = (await http.get("/sources/harbour/documents")).json()
    assert found["total"] == len(found["documents"]) == 1
    [document] = found["documents"]
    assert (document["name"], document["problem"]) == ("handbook.md", "")
    pieces = (await http.get("/sources/harbour/chunks", params={"document": "handbook.md"})).json()
    assert len(pieces) == document["chunks"]
    assert pieces == sorted(pieces, key=lambda piece: piece["start"])
    assert (await http.get("/sources/harbour/chunks", params={"document": "it's not there"})).json() == []
    none = (await http.get("/sources/harbour/documents", params={"skipped": True})).json()
    assert none == {"total": 0, "documents": []}
    assert (await http.get("/sources/harbour/documents", params={"q": "HAND", "offset": 1})).json()[
        "total"
    ] == 1


async def test_a_question_is_tried_on_one_source(http: httpx.AsyncClient) -> None:
    [piece, *_] = (await http.get("/sources/harbour/chunks", params={"document": "handbook.md"})).json()
    words = " ".join(piece["text"].split()[-6:])
    found = (await http.post("/sources/harbour/query", json={"query": words, "limit": 1})).json()
    [passage] = found["passages"]
    assert passage["document"] == "handbook.md"
    assert 0 < passage["score"] <= 1
    for body in ({"query": ""}, {"query": "x", "limit": 0}, {"query": 5}, {}):
        assert_problem(await http.post("/sources/harbour/query", json=body), 422, "invalid_request")


async def test_a_source_that_is_not_there_says_which_are(http: httpx.AsyncClient) -> None:
    for path in ("documents", "chunks?document=x"):
        answer = await http.get(f"/sources/harbor/{path}")
        assert "harbour" in assert_problem(answer, 404, "source_not_found")["detail"]
    assert_problem(await http.post("/sources/x/query", json={"query": "x"}), 404, "source_not_found")


async def test_a_tool_server_shows_how_it_does_and_is_started_again(http: httpx.AsyncClient) -> None:
    async def listed() -> bool:
        return bool((await http.get("/servers/calculator")).json()["tools"])

    await eventually(listed)  # it starts beside the service
    before = (await http.get("/servers/calculator")).json()
    assert "calculator_add" in [tool["name"] for tool in before["tools"]]
    assert not any(tool["approval"] for tool in before["tools"])
    after = (await http.post("/servers/calculator/restart")).json()
    assert (after["state"], after["restarts"]) == ("up", before.get("restarts", 0) + 1)


async def test_the_log_of_a_server_is_told_without_secrets(http: httpx.AsyncClient, agent: Agent) -> None:
    folder = (await agent.container.get(Places)).home / "logs"
    folder.mkdir(exist_ok=True)
    lines = [f"line {n}" for n in range(20_000)] + ["api_key=sk-abcdefghijklmnopqrstuvwxyz123456"]
    (folder / "mcp-calculator.log").write_text("\n".join(lines))
    found = (await http.get("/servers/calculator/log", params={"lines": 2})).json()["lines"]
    assert found[0] == "line 19999"
    assert "abcdefghijklmnop" not in found[1]


async def test_a_server_of_other_groups_is_not_there(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("GET", "/log"), ("POST", "/restart")):
        for name in ("tables", "made-up"):
            answer = await http.request(method, f"/servers/{name}{path}")
            assert_problem(answer, 404, "unknown_server")
    assert_problem(await http.post("/tools/tables_head/call", json={}), 404, "unknown_tool_of_server")


async def test_a_tool_is_tried_with_the_checks_of_a_turn(http: httpx.AsyncClient) -> None:
    found = (await http.post("/tools/calculator_add/call", json={"arguments": {"a": 5, "b": 3}})).json()
    assert (found["status"], found["content"]) == ("ok", "8")
    wrong = (await http.post("/tools/calculator_add/call", json={"arguments": {"a": "x"}})).json()
    assert wrong["status"] == "error"
    assert "not called" in wrong["content"]


async def test_a_tool_that_asks_first_wants_to_be_looked_at(http: httpx.AsyncClient) -> None:
    assert_problem(await http.post("/tools/clock_now/call", json={}), 409, "approval_needed")
    allowed = await http.post("/tools/clock_now/call", json={"approve": True})
    assert allowed.json()["status"] == "ok"


@pytest.mark.parametrize(
    ("name", "content", "kind", "cut"),
    [
        ("a.txt", "grüße".encode(), "text", False),
        ("b.txt", "ü".encode() * 40_000, "text", True),
        ("c.bin", b"\x00\x01\x02", "none", False),
        ("d.bin", b"\xff\xfe\xfd", "none", False),
    ],
)
async def test_a_file_shows_how_it_begins(
    http: httpx.AsyncClient, name: str, content: bytes, kind: str, cut: bool
) -> None:
    key = (await http.post("/files", files={"file": (name, content)})).json()["key"]
    found = (await http.get(f"/files/{key}/preview")).json()
    assert (found["kind"], found["cut"], found["size"]) == (kind, cut, len(content))
    assert found["content"] == ("" if kind == "none" else content.decode()[: len(found["content"])])


async def test_breakers_are_seen_and_reset(http: httpx.AsyncClient, agent: Agent) -> None:
    status = StatusFile(breakers_folder(await agent.container.get(Places)))
    status.write([TargetStatus("model", "m", "open", datetime.now().astimezone(), 5, 8, "no answer")])
    try:
        assert {row["name"]: row["state"] for row in (await http.get("/breakers")).json()}["m"] == "open"
        assert (await http.post("/breakers/reset", json={"target": "model:m"})).json() == {"reset": "model:m"}
        assert status.reset_asked("model:m", 0)
        assert_problem(await http.post("/breakers/reset", json={"target": "model:x"}), 404, "not_found")
    finally:
        status.remove()


async def test_tasks_say_what_they_take_and_run_when_asked(http: httpx.AsyncClient) -> None:
    known = {task["name"]: task for task in (await http.get("/tasks/known")).json()}
    assert known["forget_tasks"]["next_at"]
    assert "source" in known["index_source"]["arguments"]
    made = await http.post("/tasks", json={"name": "index_source", "arguments": {"source": "harbour"}})
    assert (made.status_code, made.json()["status"]) == (201, "queued")
    assert_problem(await http.post("/tasks", json={"name": "nope"}), 422, "unknown_task")
    wrong = {"name": "index_source", "arguments": {"source": {}}}
    assert_problem(await http.post("/tasks", json=wrong), 422, "task_arguments_invalid")


async def test_what_threads_take_is_listed_by_size(http: httpx.AsyncClient) -> None:
    await http.post("/agent/invoke", json=turn(thread_id="large"))
    found = (await http.get("/storage/top", params={"limit": 1, "files": True})).json()
    assert found["threads"][0]["bytes"]["total"] > 0
    assert found["totals"]["threads"] >= 1


async def test_settings_say_where_they_come_from(http: httpx.AsyncClient) -> None:
    found = {each["key"]: each for each in (await http.get("/settings")).json()}
    assert found["auth.user"]["value"] == "ada"
    assert found["limits.steps"]["origin"] == "default"
    assert_problem(await http.get("/settings", params={"part": "nope"}), 422, "unknown_config_part")


async def test_the_deploy_check_speaks_of_the_graph_that_runs(http: httpx.AsyncClient) -> None:
    await http.post("/agent/invoke", json=turn(thread_id="checked"))
    found = (await http.get("/deploy/check")).json()
    assert found["breaks"] == 0
    assert {thread["fingerprint"] for thread in found["threads"]} == {"same"}


async def test_keys_are_listed_and_ended(http: httpx.AsyncClient, agent: Agent) -> None:
    record, secret = await KeyStore(agent.engine).create("bob", name="laptop")
    listed = await http.get("/keys")
    assert secret.rpartition("_")[2] not in listed.text
    assert [key["name"] for key in listed.json() if key["id"] == record.id] == ["laptop"]
    assert (await http.delete(f"/keys/{record.id}")).json()["state"] == "revoked"
    assert_problem(await http.delete("/keys/none"), 404, "key_not_found")


async def test_planned_runs_are_listed_and_taken_away(http: httpx.AsyncClient) -> None:
    asked = {"assistant_id": "waystation", "input": {"messages": "hi"}, "schedule": "0 7 * * *"}
    await http.post("/langgraph/runs/crons", json=asked)
    [plan] = (await http.get("/plans")).json()
    assert plan["schedule"] == "0 7 * * *"
    assert (await http.delete(f"/plans/{plan['id']}")).status_code == 204
    assert (await http.get("/plans")).json() == []


async def test_a_threads_line_shows_its_branches(http: httpx.AsyncClient) -> None:
    await http.post("/agent/invoke", json=turn(thread_id="line"))
    await http.post("/agent/invoke", json=turn("And 6 + 3?", thread_id="line"))
    found = (await http.get("/threads/line/line")).json()
    assert [each["created_at"] for each in found] == sorted((e["created_at"] for e in found), reverse=True)
    known = {each["checkpoint_id"] for each in found}
    assert {each["parent"] for each in found} <= known | {None}
    assert [each["what"] for each in found].count("ended") == 2
    state = await http.get("/threads/line/state", params={"checkpoint_id": found[0]["checkpoint_id"]})
    assert state.status_code == 200
    rest = await http.get("/threads/line/line", params={"before": found[0]["checkpoint_id"]})
    assert rest.json() == found[1:]


ODD = ("", "x" * 3000, "-1", "1e999", "\0", "null", "[]", "{}", "💥", "9" * 30, "%", "'; --", "../x", "c.x")
ASKED: dict[str, tuple[str, ...]] = {
    "/runs": ("status", "thread", "model", "q", "since", "until", "user", "limit", "after"),
    "/runs/counts": ("since", "user"),
    "/runs/made-up/events/page": ("after", "limit", "type"),
    "/runs/made-up/compare": ("with",),
    "/costs": ("by", "since", "until", "model", "user"),
    "/graph": ("format", "user"),
    "/threads/made-up/line": ("limit", "before"),
    "/sources/harbour/documents": ("q", "skipped", "limit", "offset"),
    "/sources/harbour/chunks": ("document", "limit"),
    "/servers/calculator/log": ("lines",),
    "/storage/top": ("limit", "files"),
    "/settings": ("part",),
    "/deploy/check": ("limit",),
    "/audit": ("q", "user", "what", "run", "before", "limit"),
    "/plans": ("limit",),
}
SENT = {
    "/sources/harbour/query": ("query", "limit"),
    "/tools/calculator_add/call": ("arguments", "approve"),
    "/breakers/reset": ("target",),
    "/tasks": ("name", "arguments"),
}


@pytest.mark.parametrize("path", ASKED)
async def test_odd_words_in_a_query_are_no_fault_of_ours(http: httpx.AsyncClient, path: str) -> None:
    for name in ASKED[path]:
        for odd in ODD:
            answer = await http.get(path, params={name: odd})
            assert answer.status_code < 500, (name, odd[:20], answer.text[:300])


@pytest.mark.parametrize("path", SENT)
async def test_odd_bodies_are_no_fault_of_ours(http: httpx.AsyncClient, path: str) -> None:
    values: tuple[Any, ...] = (*ODD, None, -1, 1e300, [], {}, [[{}]], {"a": {"b": None}}, True)
    bodies = [{name: odd} for name in SENT[path] for odd in values]
    sent: list[Any] = [*bodies, [], "x", None, {"more": 1}]
    for body in sent:
        answer = await http.post(path, json=body)
        assert answer.status_code < 500, (body, answer.text[:300])


@pytest.mark.parametrize("odd", ["%00", "x" * 3000, "%F0%9F%92%A5", "..%2Fx", "%25", "'--"])
async def test_odd_names_in_a_path_are_no_fault_of_ours(http: httpx.AsyncClient, odd: str) -> None:
    paths = ("runs/{}/spans", "sources/{}/documents", "servers/{}", "files/{}/preview", "threads/{}/line")
    for path in paths:
        assert (await http.get("/" + path.format(odd))).status_code < 500, path
    for path in ("keys/{}", "plans/{}"):
        assert (await http.delete("/" + path.format(odd))).status_code < 500, path
    assert (await http.post(f"/tools/{odd}/call", json={})).status_code < 500
