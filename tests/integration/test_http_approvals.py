"""Questions to a person: stored, answered in any order, by another process, after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.counted_tools import CountedTools
from tests.kit.http import assert_problem, client_of, served, turn
from tests.kit.runs import begin, ended, events_of, resumed
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, calls

YES: dict[str, Any] = {"approve": True}
NO: dict[str, Any] = {"approve": False, "reason": "not today"}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


class House:
    """A database and a home, and the services on them."""

    def __init__(self, folder: Path, model: ModelServer, storage: dict[str, str]) -> None:
        self.tools = CountedTools(folder / "home")
        self._opened = {"model_url": model.url, "storage": storage, "mcp": {"bundled": False}}
        self._folder = folder

    @asynccontextmanager
    async def service(self) -> AsyncIterator[httpx.AsyncClient]:
        """One process of the service; open several for several."""
        async with AsyncExitStack() as stack:
            agent = await stack.enter_async_context(open_agent(self._folder, **self._opened))  # type: ignore[arg-type]
            base = await stack.enter_async_context(served(agent))
            yield await stack.enter_async_context(client_of(base))


@pytest.fixture
def house(tmp_path: Path, model: ModelServer, storage: dict[str, str]) -> House:
    model.reset()
    return House(tmp_path, model, storage)


def both(model: ModelServer) -> None:
    """The model wants two calls at once that a person has to approve."""
    model.script(calls(("counted_add", {"a": 5, "b": 3}), ("counted_times", {"a": 5, "b": 3})))


def questions(run: dict[str, Any]) -> dict[str, str]:
    """The ids of a run's open questions, by their tool."""
    assert run["status"] == "interrupted", run
    return {asked["call"]["tool"]: asked["id"] for asked in run["output"]["interrupts"]}


@pytest.mark.parametrize("order", [("add", "times"), ("times", "add")])
@pytest.mark.always
async def test_two_questions_are_answered_one_at_a_time_in_any_order(
    house: House, model: ModelServer, order: tuple[str, str]
) -> None:
    both(model)
    thread = f"two-{order[0]}"
    async with house.service() as http:
        run_id = await begin(http, thread, "5 and 3?")
        asked = questions(await ended(http, run_id))
        assert set(asked) == {"add", "times"}
        listed = (await http.get("/threads", params={"status": "interrupted"})).json()
        assert thread in [each["id"] for each in listed]

        await resumed(http, run_id, {asked[order[0]]: YES})
        left = questions(await ended(http, run_id))
        assert left == {order[1]: asked[order[1]]}
        assert len(house.tools.made) == 1
        again = await http.post(f"/runs/{run_id}/resume", json={"resume": {asked[order[0]]: YES}})
        assert "waiting: " in assert_problem(again, 409, "already_answered")["detail"]

        await resumed(http, run_id, {asked[order[1]]: NO})
        run = await ended(http, run_id)
        assert (run["status"], run["attempts"]) == ("done", 3)
        assert {c["tool"]: c["status"] for c in run["output"]["tool_calls"]} == {
            order[0]: "ok",
            order[1]: "denied",
        }
        assert len(house.tools.made) == 1, "each call was made once, and the refused one never"
        events = await events_of(http, run_id)
        seqs = [event["seq"] for event in events]
        assert seqs == sorted(set(seqs))
        assert [e["status"] for e in events if e["type"] == "done"] == ["interrupted", "interrupted", "done"]
        assert [e["attempt"] for e in events if e["type"] == "run_started"] == [1, 2, 3]


async def test_another_process_answers_and_the_first_hears_of_it(house: House, model: ModelServer) -> None:
    both(model)
    async with house.service() as here, house.service() as there:
        run_id = await begin(here, "elsewhere", "5 and 3?")
        asked = questions(await ended(there, run_id))
        last = (await events_of(there, run_id))[-1]["seq"]
        await resumed(there, run_id, {asked["times"]: YES})
        assert set(questions(await ended(here, run_id))) == {"add"}
        await resumed(here, run_id, {asked["add"]: YES})
        run = await ended(there, run_id)
        assert run["status"] == "done"
        assert sorted(house.tools.made) == ["add 5 3", "times 5 3"]
        rest = await events_of(there, run_id, after=last)
        assert all(event["seq"] > last for event in rest)
        assert rest[-1]["status"] == "done"
        results = {e["content"] for e in rest if e["type"] == "tool_result"}
        assert results == {"8", "15"}


@pytest.mark.always
async def test_a_question_outlives_the_service(house: House, model: ModelServer) -> None:
    both(model)
    async with house.service() as http:
        run_id = await begin(http, "later", "5 and 3?")
        asked = questions(await ended(http, run_id))
    async with house.service() as http:
        listed = (await http.get("/threads", params={"status": "interrupted"})).json()
        assert "later" in [each["id"] for each in listed]
        await resumed(http, run_id, {asked["add"]: YES})
        await ended(http, run_id)
    async with house.service() as http:
        await resumed(http, run_id, YES)
        assert (await ended(http, run_id))["status"] == "done"
    assert house.tools.made == ["add 5 3", "times 5 3"]


async def test_the_answer_may_come_over_invoke_and_stream_as_well(house: House, model: ModelServer) -> None:
    for path in ("invoke", "stream"):
        model.script(call("counted_add", {"a": 5, "b": 3}))
        async with house.service() as http:
            asked = (await http.post("/agent/invoke", json=turn("5 + 3?", thread_id=path))).json()["output"]
            assert asked["status"] == "interrupted"
            body = {"input": {"resume": YES}, "config": {"configurable": {"thread_id": path}}}
            answer = await http.post(f"/agent/{path}", json=body)
            assert answer.status_code == 200, answer.text
            run = await ended(http, asked["run_id"])
            assert (run["status"], run["run_id"], run["attempts"]) == ("done", asked["run_id"], 2)


async def test_answers_that_do_not_fit_are_refused_with_what_would(house: House, model: ModelServer) -> None:
    model.script(call("counted_add", {"a": 5, "b": 3}))
    async with house.service() as http:
        run_id = await begin(http, "form", "5 + 3?")
        (question,) = questions(await ended(http, run_id)).values()
        bad: list[tuple[Any, int, str, str]] = [
            (None, 409, "nothing_to_resume", "send them"),
            ({}, 409, "nothing_to_resume", "send them"),
            ({"resume": None}, 409, "nothing_to_resume", "send them"),
            ({"resume": {"made-up": YES}}, 422, "invalid_input", question),
            ({"resume": {question: {"approve": "yes"}}}, 422, "invalid_input", "true or false"),
            ({"resume": {question: {"aprove": True}}}, 422, "invalid_input", "approve"),
            ({"answers": YES}, 422, "invalid_request", "answers"),
            ({"resume": "yes"}, 422, "invalid_request", "resume"),
        ]
        for body, status, code, remedy in bad:
            problem = assert_problem(await http.post(f"/runs/{run_id}/resume", json=body), status, code)
            assert remedy in problem["detail"], body
        assert house.tools.made == []
        assert (await http.get(f"/runs/{run_id}")).json()["status"] == "interrupted"
        await resumed(http, run_id, {question: NO})
        assert (await ended(http, run_id))["output"]["tool_calls"][0]["status"] == "denied"
        for answers in (YES, None):
            over = await http.post(f"/runs/{run_id}/resume", json={"resume": answers})
            assert_problem(over, 409, "nothing_to_resume")
        assert_problem(await http.post("/runs/made-up/resume"), 404, "run_not_found")
