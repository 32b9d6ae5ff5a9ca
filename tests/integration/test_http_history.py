"""The history of sessions over HTTP: checkpoints, forks, search, tags, out and in again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from tests.kit.http import assert_problem, turn


async def say(http: httpx.AsyncClient, thread: str, message: str) -> dict[str, Any]:
    answer = await http.post("/agent/invoke", json=turn(message, thread_id=thread))
    assert answer.status_code == 200, answer.text
    output: dict[str, Any] = answer.json()["output"]
    return output


async def messages(http: httpx.AsyncClient, thread: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get(f"/threads/{thread}/transcript")).json()["messages"]
    return found


async def test_an_older_checkpoint_is_read_and_compared(http: httpx.AsyncClient) -> None:
    await say(http, "h1", "What is 5 + 3?")
    checkpoints = (await http.get("/threads/h1/history", params={"limit": 50})).json()["checkpoints"]
    oldest = checkpoints[-1]["checkpoint_id"]
    state = (await http.get("/threads/h1/state", params={"checkpoint_id": oldest})).json()
    assert (state["checkpoint_id"], state["messages"]) == (oldest, [])
    newest = (await http.get("/threads/h1/state")).json()
    assert state.keys() == newest.keys()
    diff = (await http.get("/threads/h1/diff", params={"from": oldest})).json()
    assert diff["to"]["checkpoint_id"] == newest["checkpoint_id"]
    assert [m["role"] for m in diff["messages"]["added"]] == ["user", "assistant", "tool", "assistant"]
    last = (await http.get("/threads/h1/diff")).json()
    assert last["from"]["checkpoint_id"] == checkpoints[1]["checkpoint_id"]
    for route in ("state?checkpoint_id=nope", "diff?from=nope", "diff?to=nope"):
        assert_problem(await http.get(f"/threads/h1/{route}"), 404, "checkpoint_not_found")
    assert_problem(await http.get("/threads/h1/state?checkpoint_id=a/b"), 422, "invalid_request")


async def test_a_fork_goes_on_apart_from_its_original(http: httpx.AsyncClient) -> None:
    await say(http, "h2", "What is 5 + 3?")
    fork = await http.post("/threads/h2/fork")
    assert fork.status_code == 201
    assert (fork.json()["parent"], fork.json()["turns"]) == ("h2", 1)
    assert "16" in (await say(http, fork.json()["id"], "And doubled?"))["answer"]
    assert len(await messages(http, "h2")) == 4
    older = (await http.get("/threads/h2/history", params={"limit": 50})).json()["checkpoints"]
    for checkpoint in older:
        point = {"checkpoint_id": checkpoint["checkpoint_id"]}
        made = (await http.post("/threads/h2/fork", json=point)).json()["id"]
        assert (await say(http, made, "What is 1 + 1?"))["status"] == "done"
    assert_problem(await http.post("/threads/h2/fork", json={"checkpoint_id": "nope"}), 404)
    assert_problem(await http.post("/threads/nobody/fork"), 404, "thread_not_found")


async def test_a_message_is_said_differently_in_a_thread_of_its_own(http: httpx.AsyncClient) -> None:
    await say(http, "h3", "What is 5 + 3?")
    await say(http, "h3", "And doubled?")
    second = [m["id"] for m in await messages(http, "h3") if m["role"] == "user"][1]
    edit = {"message_id": second, "message": "What is 2 + 2?"}
    begun = await http.post("/threads/h3/edit", json=edit)
    assert begun.status_code == 202, begun.text
    run = (await http.get(f"/runs/{begun.json()['run_id']}/wait", params={"timeout": 30})).json()
    assert run["status"] == "done"
    made = begun.json()["thread_id"]
    said = [m["text"] for m in await messages(http, made) if m["role"] == "user"]
    assert said == ["What is 5 + 3?", "What is 2 + 2?"]
    assert [m["text"] for m in await messages(http, "h3") if m["role"] == "user"][1] == "And doubled?"


async def test_an_edit_that_cannot_begin_leaves_no_fork(http: httpx.AsyncClient) -> None:
    await say(http, "h4", "What is 5 + 3?")
    first = (await messages(http, "h4"))[0]["id"]
    before = [thread["id"] for thread in (await http.get("/threads")).json()]
    edit = {"message_id": first, "message": "x"}
    wrong = {"model": "nope"}
    assert_problem(
        await http.post("/threads/h4/edit", json={**edit, "configurable": wrong}), 422, "unknown_model"
    )
    assert_problem(
        await http.post("/threads/h4/edit", json={**edit, "message_id": "nope"}), 404, "message_not_found"
    )
    elsewhere = {"thread_id": "h1"}
    assert_problem(await http.post("/threads/h4/edit", json={**edit, "configurable": elsewhere}), 422)
    assert [thread["id"] for thread in (await http.get("/threads")).json()] == before


async def test_messages_are_found_by_their_words(http: httpx.AsyncClient) -> None:
    await say(http, "h5", "Who is the harbour pilot of Älmhult?")
    (hit,) = (await http.get("/threads/search", params={"q": '"harbour pilot" almhult'})).json()
    assert (hit["thread_id"], hit["role"]) == ("h5", "user")
    assert [hit["snippet"][a:b] for a, b in hit["marks"]] == ["harbour pilot", "Älmhult"]
    page = (await http.get("/threads/search", params={"q": "pilot", "after": hit["seq"]})).json()
    assert page == []
    assert (await http.get("/threads/search", params={"q": 'AND OR ( " *'})).status_code == 200
    assert_problem(await http.get("/threads/search"), 422, "invalid_request")
    assert_problem(await http.get("/threads/search", params={"q": "a\0"}), 422, "invalid_input")


async def test_threads_are_tagged_and_found_by_a_tag(http: httpx.AsyncClient) -> None:
    await http.post("/threads", json={"thread_id": "h6", "title": "Tagged"})
    changed = (await http.patch("/threads/h6", json={"tags": ["work", "x y"]})).json()
    assert (changed["title"], changed["tags"]) == ("Tagged", ["work", "x y"])
    found = (await http.get("/threads", params={"tag": "x y"})).json()
    assert [thread["id"] for thread in found] == ["h6"]
    for wrong in (["x" * 41], [str(n) for n in range(21)], [""], "work", [1]):
        assert_problem(await http.patch("/threads/h6", json={"tags": wrong}), 422)
    assert (await http.patch("/threads/h6", json={})).json()["tags"] == ["work", "x y"]


async def test_a_thread_is_downloaded_for_people_and_for_machines(http: httpx.AsyncClient) -> None:
    await say(http, "h7", "What is 5 + 3?")
    lines = await http.post("/threads/h7/export")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert lines.headers["content-disposition"] == 'attachment; filename="h7.jsonl"'
    types = [json.loads(line)["type"] for line in lines.text.splitlines()]
    assert types == ["thread", *["message"] * 4, *["window"] * 4, "state", "end"]
    text = await http.post("/threads/h7/export", json={"format": "markdown"})
    assert text.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "## User" in text.text
    assert_problem(await http.post("/threads/h7/export", json={"format": "pdf"}), 422)
    assert_problem(await http.post("/threads/nobody/export"), 404, "thread_not_found")


async def test_what_went_out_comes_in_as_a_new_thread(http: httpx.AsyncClient) -> None:
    await say(http, "h8", "What is 5 + 3?")
    lines = (await http.post("/threads/h8/export")).content
    ndjson = {"content-type": "application/x-ndjson"}
    made = await http.post("/threads/import", content=lines, headers=ndjson)
    assert made.status_code == 201
    assert made.json()["id"] != "h8"
    assert "16" in (await say(http, made.json()["id"], "And doubled?"))["answer"]
    cut = b"\n".join(lines.splitlines()[:-1])
    assert_problem(await http.post("/threads/import", content=cut, headers=ndjson), 422, "export_invalid")
    assert_problem(await http.post("/threads/import", content=lines), 415, "unsupported_media_type")


async def test_nothing_of_a_deleted_thread_answers(http: httpx.AsyncClient) -> None:
    run = (await say(http, "h9", "What is 5 + 3?"))["run_id"]
    assert (await http.delete("/threads/h9")).status_code == 204
    for route in (
        "/threads/h9",
        "/threads/h9/state",
        "/threads/h9/transcript",
        f"/runs/{run}",
        f"/runs/{run}/events",
    ):
        assert_problem(await http.get(route), 404)
    assert (await http.post("/threads", json={"thread_id": "h9"})).status_code == 201
    assert await messages(http, "h9") == []


async def test_ten_forks_at_once_are_ten_threads(http: httpx.AsyncClient) -> None:
    await say(http, "h10", "What is 5 + 3?")
    made = await asyncio.gather(*(http.post("/threads/h10/fork") for _ in range(10)))
    assert len({answer.json()["id"] for answer in made}) == 10
