"""A message to a thread that has a run going or a question open: refused, in line, or in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from graph.agent import Agent
from tests.kit.counted_tools import CountedTools
from tests.kit.http import assert_problem, data_of, turn
from tests.kit.runs import begin, ended, events_of, resumed, said_on, until_active
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, calls, hang, say

LIMIT = 3


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, model: ModelServer, storage: dict[str, str]
) -> AsyncIterator[Agent]:
    folder = tmp_path_factory.mktemp("busy")
    CountedTools(folder / "home")
    limits = {"queued_runs": LIMIT}
    opening = open_agent(folder, model_url=model.url, storage=storage, mcp={"bundled": False}, limits=limits)
    async with opening as agent:
        yield agent


@pytest.fixture(autouse=True)
def _reset(model: ModelServer) -> None:
    model.reset()


def asks(text: str = "add") -> dict[str, object]:
    """What the model says so that the turn waits for a person."""
    return call("counted_add", {"a": 5, "b": 3}, text=text)


@pytest.mark.always
async def test_a_message_to_a_busy_thread_is_refused_and_leaves_nothing(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang())
    run_id = await begin(http, "refused", "first")
    await until_active(model, 1)
    body = {"input": {"message": "second"}}
    for answer in (
        await http.post("/threads/refused/runs", json=body),
        await http.post("/threads/refused/runs", json={**body, "on_busy": "reject"}),
        await http.post("/agent/invoke", json=turn("second", thread_id="refused")),
        await http.post("/agent/stream", json=turn("second", thread_id="refused")),
    ):
        assert_problem(answer, 409, "thread_busy")
        assert answer.headers["retry-after"] == "1"
    model.release()
    await ended(http, run_id)
    assert [role for role, _ in await said_on(http, "refused")].count("user") == 1
    assert len((await http.get("/threads/refused/runs")).json()) == 1


async def test_of_ten_messages_at_once_one_is_taken(http: httpx.AsyncClient, model: ModelServer) -> None:
    model.script(hang())
    posting = [http.post("/threads/ten/runs", json={"input": {"message": str(n)}}) for n in range(10)]
    answers = await asyncio.gather(*posting)
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    model.release()
    (taken,) = [answer.json()["run_id"] for answer in answers if answer.status_code == 202]
    assert (await ended(http, taken))["status"] == "done"


async def test_messages_that_wait_in_line_are_answered_in_their_order(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang())
    first = await begin(http, "line", "one")
    await until_active(model, 1)
    behind = [await begin(http, "line", text, on_busy="enqueue") for text in ("two", "three")]
    # A caller that wants its answer on the line waits in it too.
    asking = asyncio.create_task(
        http.post("/agent/invoke", json=turn("four", thread_id="line", on_busy="enqueue"))
    )
    while len((await http.get("/threads/line/runs", params={"status": "queued"})).json()) < LIMIT:
        pass
    full = await http.post("/threads/line/runs", json={"input": {"message": "x"}, "on_busy": "enqueue"})
    assert "wait for one to end" in assert_problem(full, 429, "queue_full")["detail"]
    assert full.headers["retry-after"] == "1"
    model.release()
    for run_id in (first, *behind):
        assert (await ended(http, run_id))["status"] == "done"
    assert (await asking).json()["output"]["status"] == "done"
    users = [text for role, text in await said_on(http, "line") if role == "user"]
    assert users == ["one", "two", "three", "four"]
    last = [m["content"] for m in model.requests()[-1]["messages"] if m["role"] == "user"]
    assert last == users, "each saw what came before it"


async def test_a_stream_that_waits_in_line_tells_of_its_run_when_that_begins(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(hang())
    first = await begin(http, "streamed", "one")
    await until_active(model, 1)
    body = turn("two", thread_id="streamed", on_busy="enqueue")
    async with http.stream("POST", "/agent/stream", json=body) as answer:
        assert answer.status_code == 200
        model.release()
        await answer.aread()
    events = data_of(answer.text)
    assert (events[0]["type"], events[-1]["status"]) == ("run_started", "done")
    assert (await ended(http, first))["status"] == "done"


async def test_a_caller_in_line_that_goes_away_leaves_it(http: httpx.AsyncClient, model: ModelServer) -> None:
    model.script(hang())
    first = await begin(http, "gone", "one")
    await until_active(model, 1)
    body = turn("two", thread_id="gone", on_busy="enqueue")
    async with http.stream("POST", "/agent/stream", json=body) as answer:
        run_id = answer.headers["x-run-id"]
    assert (await ended(http, run_id))["status"] == "cancelled"
    model.release()
    await ended(http, first)


async def test_a_message_takes_the_place_of_a_run_at_its_next_checkpoint_with_its_calls_answered(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script({**calls(("counted_book", {"boat": "Ada"})), "text": "I book it", "hang_after": 2})
    first = await begin(http, "instead", "book a berth")
    await until_active(model, 1)
    second = await begin(http, "instead", "no, leave it", on_busy="interrupt")
    assert (await http.get(f"/runs/{second}")).json()["status"] == "queued"
    model.release()
    stopped, done = await ended(http, first), await ended(http, second)
    assert (stopped["status"], stopped["reason"]) == ("cancelled", "superseded")
    assert done["status"] == "done"
    told = await events_of(http, first)
    assert (told[-1]["type"], told[-1]["status"]) == ("done", "cancelled")
    results = [m["content"] for m in model.requests()[-1]["messages"] if m["role"] == "tool"]
    assert len(results) == 1, "the call that was open is answered before the next message"


async def test_a_run_that_comes_to_no_checkpoint_is_cut_and_its_words_are_kept(
    http: httpx.AsyncClient, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.service.stops.GRACE_SECONDS", 0.2)
    model.script(say("half an answer", hang_after=2))
    first = await begin(http, "cut", "one")
    await until_active(model, 1)
    second = await begin(http, "cut", "two", on_busy="interrupt")
    assert (await ended(http, second))["status"] == "done"
    stopped = (await http.get(f"/runs/{first}")).json()
    assert (stopped["status"], stopped["reason"]) == ("cancelled", "superseded")
    assert await said_on(http, "cut") == [
        ("user", "one"),
        ("assistant", "half an "),
        ("user", "two"),
        ("assistant", "Scripted reply."),
    ]


async def test_the_newest_that_takes_the_place_goes_before_those_in_line(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script({**hang(), "text": "one is answered"})
    first = await begin(http, "order", "one")
    await until_active(model, 1)
    behind = await begin(http, "order", "two", on_busy="enqueue")
    instead = await begin(http, "order", "three", on_busy="interrupt")
    model.release()
    for run_id in (first, behind, instead):
        await ended(http, run_id)
    users = [text for role, text in await said_on(http, "order") if role == "user"]
    assert users == ["one", "three", "two"]


async def test_beside_an_open_question_a_message_is_refused_by_default(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(asks())
    asked = await ended(http, await begin(http, "question", "5 + 3?"))
    assert (asked["status"], asked["reason"]) == ("interrupted", "person")
    for answer in (
        await http.post("/threads/question/runs", json={"input": {"message": "hm"}}),
        await http.post("/agent/invoke", json=turn("hm", thread_id="question")),
    ):
        problem = assert_problem(answer, 409, "thread_waiting")
        assert "on_busy=interrupt" in problem["detail"]
        assert "retry-after" not in answer.headers, "waiting alone does not help"
    waiting = (await http.get("/threads", params={"status": "interrupted"})).json()
    assert "question" in [thread["id"] for thread in waiting]


async def test_beside_an_open_question_a_message_waits_for_the_answer(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(asks())
    asked = await ended(http, await begin(http, "behind", "5 + 3?"))
    behind = await begin(http, "behind", "and then?", on_busy="enqueue")
    still = (await http.get(f"/runs/{behind}/wait", params={"timeout": 0.1})).json()
    assert still["status"] == "queued"
    await resumed(http, asked["run_id"], {"approve": True})
    assert (await ended(http, asked["run_id"]))["status"] == "done"
    assert (await ended(http, behind))["status"] == "done"
    users = [text for role, text in await said_on(http, "behind") if role == "user"]
    assert users == ["5 + 3?", "and then?"]


async def test_a_question_that_is_cancelled_lets_the_next_one_in_line_go(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(asks())
    asked = await ended(http, await begin(http, "let-go", "5 + 3?"))
    behind = await begin(http, "let-go", "and then?", on_busy="enqueue")
    assert (await http.post(f"/runs/{asked['run_id']}/cancel")).json()["status"] == "cancelled"
    assert (await ended(http, behind))["status"] == "done"
    results = [m["content"] for m in model.requests()[-1]["messages"] if m["role"] == "tool"]
    assert len(results) == 1


async def test_a_message_takes_the_place_of_an_open_question_and_says_so(
    http: httpx.AsyncClient, model: ModelServer
) -> None:
    model.script(asks())
    asked = await ended(http, await begin(http, "superseded", "5 + 3?"))
    reply = await http.post(
        "/agent/invoke", json=turn("never mind", thread_id="superseded", on_busy="interrupt")
    )
    assert reply.json()["output"]["status"] == "done"
    old = (await http.get(f"/runs/{asked['run_id']}")).json()
    assert (old["status"], old["reason"]) == ("cancelled", "superseded")
    answer = await http.post(f"/runs/{asked['run_id']}/resume", json={"resume": {"approve": True}})
    assert_problem(answer, 409, "nothing_to_resume")
    waiting = (await http.get("/threads", params={"status": "interrupted"})).json()
    assert "superseded" not in [thread["id"] for thread in waiting]
