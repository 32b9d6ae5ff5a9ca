"""Runs over HTTP: begun in the background, followed, waited for and cancelled, by anybody who has the id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from graph.agent import Agent
from tests.kit.http import assert_problem, data_of, sse, turn
from tests.kit.runs import begin, ended, until_active
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, hang, refuse, say


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, model: ModelServer, storage: dict[str, str]
) -> AsyncIterator[Agent]:
    opening = open_agent(
        tmp_path_factory.mktemp("runs"),
        model_url=model.url,
        storage=storage,
        mcp={"bundled": False},
        limits={"message_bytes": 1000},
    )
    async with opening as agent:
        yield agent


@pytest.fixture(autouse=True)
def _reset(model: ModelServer) -> None:
    model.reset()


async def test_a_background_run_is_stored_when_it_is_accepted_and_ends_by_itself(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script({**hang(), "text": "Here I am."})
    run_id = await begin(http, "background", "Are you there?")
    shown = (await http.get(f"/runs/{run_id}")).json()
    assert (shown["status"], shown["attempts"], shown["output"]) == ("running", 1, None)
    page = (await http.get("/threads/background/transcript")).json()
    assert [m["text"] for m in page["messages"]] == ["Are you there?"]
    await until_active(model, 1)
    model.release()
    run = await ended(http, run_id)
    assert (run["status"], run["reason"], run["error"]) == ("done", "", None)
    assert run["output"]["answer"] == "Here I am."
    assert run["usage"]["output_tokens"] > 0
    assert run["created_at"] <= run["started_at"] <= run["ended_at"]


async def test_waiting_returns_when_the_run_ends_and_at_its_deadline_otherwise(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang())
    run_id = await begin(http, "waited")
    await until_active(model, 1)
    for timeout in (0, 0.05):
        answer = await http.get(f"/runs/{run_id}/wait", params={"timeout": timeout})
        assert (answer.status_code, answer.json()["status"]) == (200, "running")
    waiting = asyncio.create_task(ended(http, run_id))
    began = time.monotonic()
    model.release()
    assert (await waiting)["status"] == "done"
    assert time.monotonic() - began < 15, "it waits for a notification and not for its deadline"
    for wrong in ("-1", "601", "soon"):
        assert_problem(await http.get(f"/runs/{run_id}/wait", params={"timeout": wrong}), 422)


async def test_a_running_run_is_cancelled_and_what_it_said_is_kept(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(say("one two three", hang_after=2))
    run_id = await begin(http, "cancelled")
    await until_active(model, 1)
    async with http.stream("GET", f"/runs/{run_id}/events") as answer:
        async for line in answer.aiter_lines():
            if '"two "' in line or "one two" in line:
                break
    accepted = await http.post(f"/runs/{run_id}/cancel")
    assert accepted.status_code == 202
    run = await ended(http, run_id)
    assert (run["status"], run["reason"]) == ("cancelled", "asked")
    assert run["output"]["answer"] == "one two "
    await until_active(model, 0)
    page = (await http.get("/threads/cancelled/transcript")).json()["messages"]
    assert [(m["role"], m["text"], m.get("partial")) for m in page] == [
        ("user", "hi", None),
        ("assistant", "one two ", True),
    ]
    assert_problem(await http.post(f"/runs/{run_id}/cancel"), 409, "run_ended")
    reply = await http.post("/agent/invoke", json=turn("And now?", thread_id="cancelled"))
    assert reply.json()["output"]["status"] == "done"


async def test_a_run_that_waits_in_line_is_cancelled_at_once(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang())
    first = await begin(http, "line")
    queued = await begin(http, "line", on_busy="enqueue")
    accepted = (await http.post(f"/runs/{queued}/cancel")).json()
    assert accepted == {"run_id": queued, "thread_id": "line", "status": "cancelled"}
    (last,) = data_of((await http.get(f"/runs/{queued}/events")).text)
    assert (last["type"], last["status"]) == ("done", "cancelled")
    await until_active(model, 1)
    model.release()
    assert (await ended(http, first))["status"] == "done"


async def test_a_failed_run_says_why_and_ends_its_events_with_it(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(refuse(400))
    run = await ended(http, run_id := await begin(http, "failed"))
    assert (run["status"], run["output"]) == ("failed", None)
    assert run["error"].keys() == {"code", "title", "detail", "retryable"}
    assert run["reason"] == run["error"]["code"] == "model_refused"
    events = data_of((await http.get(f"/runs/{run_id}/events")).text)
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "model_refused")


async def test_a_finished_run_is_replayed_exactly_from_any_place(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    said = "a few words that are told one by one"
    model.script(say(said, reasoning="let me think"))
    live = data_of((await http.post("/agent/stream", json=turn("say", thread_id="replay"))).text)
    run_id = live[0]["run_id"]

    def text(events: list[dict[str, Any]], kind: str, after: int = 0) -> str:
        return "".join(e["delta"] for e in events if e["type"] == kind and e["seq"] > after)

    def others(events: list[dict[str, Any]], after: int) -> list[dict[str, Any]]:
        return [e for e in events if e["type"] not in ("token", "reasoning") and e["seq"] > after]

    for after in range(live[-1]["seq"]):
        for how in ({"params": {"after": after}}, {"headers": {"Last-Event-ID": str(after)}}):
            answer = await http.get(f"/runs/{run_id}/events", **how)
            again = data_of(answer.text)
            assert [int(e["id"]) for e in sse(answer.text) if "id" in e] == [e["seq"] for e in again]
            for kind in ("token", "reasoning"):
                assert text(again, kind) == text(live, kind, after)
            assert others(again, 0) == others(live, after)
    assert text(live, "token") == said
    none = await http.get(f"/runs/{run_id}/events", params={"after": live[-1]["seq"]})
    assert data_of(none.text) == []
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_many_readers_follow_a_run_and_the_last_event_id_wins(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(say("one two three four", hang_after=2))
    run_id = await begin(http, "followed")
    await until_active(model, 1)
    url = f"/runs/{run_id}/events"
    reading = [asyncio.create_task(http.get(url)) for _ in range(20)]
    late = asyncio.create_task(http.get(url, params={"after": 1}, headers={"Last-Event-ID": "3"}))
    model.release()
    answers = await asyncio.gather(*reading)
    for answer in answers:
        events = data_of(answer.text)
        assert "".join(e["delta"] for e in events if e["type"] == "token") == "one two three four"
        assert events[-1]["type"] == "done"
    assert data_of((await late).text)[0]["seq"] > 3


async def test_a_reader_of_events_ends_nothing_by_going(http: httpx.AsyncClient, model: ModelServer) -> None:
    model.script({**hang(), "text": "Still here."})
    run_id = await begin(http, "left")
    await until_active(model, 1)
    async with http.stream("GET", f"/runs/{run_id}/events") as answer:
        assert answer.status_code == 200
    model.release()
    assert (await ended(http, run_id))["output"]["answer"] == "Still here."


async def test_runs_are_listed_by_thread_and_status_in_pages(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    made = []
    for n in range(3):
        model.script(*([refuse(400)] if n == 1 else []))
        made.append(await begin(http, "listed", str(n)))
        await ended(http, made[-1])
    listed = (await http.get("/threads/listed/runs")).json()
    assert [run["run_id"] for run in listed] == made[::-1]
    failed = (await http.get("/threads/listed/runs", params={"status": "failed"})).json()
    assert [run["run_id"] for run in failed] == [made[1]]
    page = (await http.get("/runs", params={"limit": 2})).json()
    assert [run["run_id"] for run in page] == made[:0:-1]
    rest = (await http.get("/runs", params={"after": page[-1]["run_id"], "limit": 1})).json()
    assert [run["run_id"] for run in rest] == [made[0]]
    assert_problem(await http.get("/runs", params={"after": "made-up"}), 404, "run_not_found")
    assert_problem(await http.get("/threads/nowhere/runs"), 404, "thread_not_found")
    assert_problem(await http.get("/runs", params={"limit": 0}), 422)


@pytest.mark.parametrize("suffix", ["", "/events", "/wait"])
async def test_a_run_that_is_not_there_is_404_and_a_wrong_id_422(
    http: httpx.AsyncClient, suffix: str
) -> None:
    assert_problem(await http.get(f"/runs/made-up{suffix}"), 404, "run_not_found")
    assert_problem(await http.get(f"/runs/not%20an%20id{suffix}"), 422)


BAD: list[tuple[dict[str, Any], int, str, str]] = [
    ({}, 422, "invalid_request", "input"),
    ({"input": {}}, 422, "invalid_request", "exactly one"),
    ({"input": {"message": " "}}, 422, "invalid_request", "exactly one"),
    ({"input": {"message": "hi", "resume": {"approve": True}}}, 422, "invalid_request", "both are given"),
    ({"input": {"message": "hi", "mesage": "x"}}, 422, "invalid_request", "mesage"),
    ({"input": {"message": "hi"}, "on_bussy": "reject"}, 422, "invalid_request", "on_bussy"),
    ({"input": {"message": "hi"}, "on_busy": "wait"}, 422, "invalid_request", "'enqueue'"),
    ({"input": {"message": "hi"}, "configurable": {"user": "eve"}}, 422, "invalid_request", "user"),
    ({"input": {"message": "hi"}, "configurable": {"modle": "x"}}, 422, "invalid_request", "'model'"),
    (
        {"input": {"message": "hi"}, "configurable": {"thread_id": "other"}},
        422,
        "invalid_request",
        "leave it out",
    ),
    ({"input": {"message": "hi"}, "configurable": {"model": "none"}}, 422, "unknown_model", "none"),
    ({"input": {"message": "hi", "files": ["f_x"]}}, 404, "file_not_found", "f_x"),
    ({"input": {"message": "x" * 1001}}, 413, "message_too_long", "1000"),
    ({"input": {"resume": {"approve": True}}}, 404, "thread_not_found", "refused"),
    ({"input": {"message": "hi"}, "webhook": "https://evil.example/x"}, 422, "webhook_not_allowed", ""),
]


@pytest.mark.parametrize(("body", "status", "code", "remedy"), BAD, ids=lambda value: str(value)[:40])
async def test_a_request_that_cannot_be_accepted_says_what_to_change_and_leaves_nothing(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, remedy: str
) -> None:
    problem = assert_problem(await http.post("/threads/refused/runs", json=body), status, code)
    assert remedy in problem["detail"]
    assert_problem(await http.get("/threads/refused"), 404, "thread_not_found")


async def test_wrong_headers_are_refused(http: httpx.AsyncClient) -> None:
    body = {"input": {"message": "hi"}}
    for key in ("", "two words", "ä", "x" * 129):
        headers = {b"Idempotency-Key": key.encode()}
        answer = await http.post("/threads/refused/runs", json=body, headers=headers)
        assert "Idempotency-Key" in assert_problem(answer, 422, "invalid_request")["detail"]
    run_id = await begin(http, "headers")
    for last in ("-1", "one", "1" * 16, "²"):
        answer = await http.get(f"/runs/{run_id}/events", headers={b"Last-Event-ID": last.encode()})
        assert "Last-Event-ID" in assert_problem(answer, 422, "invalid_request")["detail"]
    for after in ("-1", "x"):
        assert_problem(await http.get(f"/runs/{run_id}/events", params={"after": after}), 422)
    await ended(http, run_id)


async def test_the_same_key_is_the_same_run_and_its_message_stands_once(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang())
    headers = {"Idempotency-Key": "order-66"}
    asked = [begin(http, "once", headers=headers) for _ in range(10)]
    ids = set(await asyncio.gather(*asked))
    assert len(ids) == 1
    await until_active(model, 1)
    model.release()
    (run_id,) = ids
    await ended(http, run_id)
    assert await begin(http, "once", headers=headers) == run_id
    other = await http.post("/threads/once/runs", json={"input": {"message": "other"}}, headers=headers)
    assert "new key" in assert_problem(other, 422, "idempotency_key_reused")["detail"]
    page = (await http.get("/threads/once/transcript")).json()["messages"]
    assert [m["role"] for m in page] == ["user", "assistant"]
    assert len(model.requests()) == 1


async def test_a_repeated_invoke_gives_the_answer_of_the_first(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    headers = {"Idempotency-Key": "invoke-1"}
    body = turn("say it once")
    first, second = [await http.post("/agent/invoke", json=body, headers=headers) for _ in range(2)]
    assert first.json()["output"] == second.json()["output"]
    assert len(model.requests()) == 1
    at_once = {"Idempotency-Key": "invoke-2"}
    answers = await asyncio.gather(
        *(http.post("/agent/invoke", json=body, headers=at_once) for _ in range(5))
    )
    assert len({answer.json()["output"]["run_id"] for answer in answers}) == 1
    assert len(model.requests()) == 2


async def test_a_cut_stream_is_gone_on_with_by_its_key_and_its_last_event(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(say("one two three four", hang_after=2))
    headers = {"Idempotency-Key": "stream-1"}
    body = turn("count", thread_id="cut", on_disconnect="continue")
    seen: list[dict[str, Any]] = []
    async with http.stream("POST", "/agent/stream", json=body, headers=headers) as answer:
        run_id = answer.headers["x-run-id"]
        buffered = ""
        async for chunk in answer.aiter_text():
            buffered += chunk
            if "two " in buffered:
                break
    whole = buffered[: buffered.rindex("\n\n") + 2]
    seen = data_of(whole + "event: end\n\n")
    model.release()
    again = await http.post(
        "/agent/stream", json=body, headers={**headers, "Last-Event-ID": str(seen[-1]["seq"])}
    )
    assert again.headers["x-run-id"] == run_id
    events = [*seen, *data_of(again.text)]
    assert "".join(e["delta"] for e in events if e["type"] == "token") == "one two three four"
    seqs = [e["seq"] for e in events]
    assert seqs == sorted(set(seqs))
    assert events[-1]["status"] == "done"


async def test_a_batch_has_no_key(http: httpx.AsyncClient) -> None:
    body = {"inputs": [{"message": "one"}, {"message": "two"}]}
    headers = {"Idempotency-Key": "batch"}
    replies = (await http.post("/agent/batch", json=body, headers=headers)).json()["output"]
    assert len({reply["run_id"] for reply in replies}) == 2
