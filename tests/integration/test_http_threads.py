"""Sessions over HTTP."""

from __future__ import annotations

import httpx

from tests.kit.http import assert_problem, turn


async def test_a_thread_is_made_renamed_and_deleted(http: httpx.AsyncClient) -> None:
    made = await http.post("/threads", json={"thread_id": "mine", "title": "First"})
    again = await http.post("/threads", json={"thread_id": "mine"})
    renamed = await http.patch("/threads/mine", json={"title": "Second"})
    assert (made.status_code, again.json()["title"], renamed.json()["title"]) == (201, "First", "Second")
    assert (await http.get("/threads/mine")).json()["status"] == "idle"
    assert (await http.delete("/threads/mine")).status_code == 204
    assert_problem(await http.get("/threads/mine"), 404, "thread_not_found")


async def test_a_thread_needs_nothing_to_begin(http: httpx.AsyncClient) -> None:
    assert (await http.post("/threads")).status_code == 201
    assert (await http.post("/threads", json={})).json()["id"]


async def test_a_turn_is_seen_in_list_transcript_state_and_history(http: httpx.AsyncClient) -> None:
    await http.post("/agent/invoke", json=turn("What is 41 + 1?", thread_id="seen"))
    listed = (await http.get("/threads", params={"q": "41"})).json()
    transcript = (await http.get("/threads/seen/transcript")).json()
    state = (await http.get("/threads/seen/state")).json()
    history = (await http.get("/threads/seen/history", params={"limit": 2})).json()
    older = (await http.get("/threads/seen/history", params={"before": history["before"]})).json()
    assert [(thread["id"], thread["turns"]) for thread in listed] == [("seen", 1)]
    assert [m["role"] for m in transcript["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert "42" in transcript["messages"][-1]["text"]
    assert (state["next"], state["interrupts"]) == ([], [])
    assert len(history["checkpoints"]) == 2
    assert older["checkpoints"][0]["checkpoint_id"] not in {
        c["checkpoint_id"] for c in history["checkpoints"]
    }


async def test_a_transcript_is_paged_from_the_newest(http: httpx.AsyncClient) -> None:
    await http.post("/agent/invoke", json=turn("What is 2 + 2?", thread_id="paged"))
    page = (await http.get("/threads/paged/transcript", params={"limit": 3})).json()
    rest = (await http.get("/threads/paged/transcript", params={"limit": 3, "before": page["before"]})).json()
    assert [m["role"] for m in rest["messages"]] == ["user"]
    assert rest["before"] is None


async def test_lists_go_on_after_the_last_id(http: httpx.AsyncClient) -> None:
    for name in ("l1", "l2", "l3"):
        await http.post("/threads", json={"thread_id": name, "title": "listed"})
    first = (await http.get("/threads", params={"q": "listed", "limit": 2})).json()
    second = (await http.get("/threads", params={"q": "listed", "limit": 2, "after": first[-1]["id"]})).json()
    assert len({thread["id"] for thread in [*first, *second]}) == 3
    assert (await http.get("/threads", params={"status": "failed"})).json() == []
