"""Answers of people over HTTP: one grammar on every route, edits that run as edited, a floor that holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.kit.counted_tools import CountedTools
from tests.kit.http import assert_problem, client_of, data_of, served, turn
from tests.kit.runs import begin, ended, events_of, resumed
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, calls, say

APPROVE: dict[str, Any] = {"decisions": [{"type": "approve"}]}
Answering = Callable[[httpx.AsyncClient, str, str, Any], Awaitable[httpx.Response]]


def edit(name: str, **args: Any) -> dict[str, Any]:
    return {"type": "edit", "edited_action": {"name": name, "args": args}}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


class House:
    """A home with the counted tools, and services on it."""

    def __init__(self, folder: Path, model: ModelServer, **opened: Any) -> None:
        model.reset()
        self.tools = CountedTools(folder / "home")
        mcp = {"bundled": False, **opened.pop("mcp", {})}
        self._opened: dict[str, Any] = {"model_url": model.url, "mcp": mcp, **opened}
        self._folder = folder

    @asynccontextmanager
    async def service(self) -> AsyncIterator[httpx.AsyncClient]:
        async with AsyncExitStack() as stack:
            agent = await stack.enter_async_context(open_agent(self._folder, **self._opened))
            base = await stack.enter_async_context(served(agent))
            yield await stack.enter_async_context(client_of(base))


@pytest.fixture
def house(tmp_path: Path, model: ModelServer) -> House:
    return House(tmp_path, model)


@pytest.fixture(scope="module")
async def standing(
    tmp_path_factory: pytest.TempPathFactory, model: ModelServer
) -> AsyncIterator[tuple[House, httpx.AsyncClient]]:
    """One service for the tables below: each row takes a thread of its own."""
    house = House(tmp_path_factory.mktemp("standing"), model)
    async with house.service() as http:
        yield house, http


async def by_invoke(http: httpx.AsyncClient, thread: str, run: str, answer: Any) -> httpx.Response:
    body = {"input": {"resume": answer}, "config": {"configurable": {"thread_id": thread}}}
    return await http.post("/agent/invoke", json=body)


async def by_stream(http: httpx.AsyncClient, thread: str, run: str, answer: Any) -> httpx.Response:
    body = {"input": {"resume": answer}, "config": {"configurable": {"thread_id": thread}}}
    return await http.post("/agent/stream", json=body)


async def by_chat(http: httpx.AsyncClient, thread: str, run: str, answer: Any) -> httpx.Response:
    body = {"input": {"resume": answer}, "config": {"configurable": {"thread_id": thread}}}
    return await http.post("/chat/invoke", json=body)


async def by_run(http: httpx.AsyncClient, thread: str, run: str, answer: Any) -> httpx.Response:
    return await http.post(f"/runs/{run}/resume", json={"resume": answer})


WAYS = [by_invoke, by_stream, by_chat, by_run]


async def asked(http: httpx.AsyncClient, thread: str) -> dict[str, Any]:
    answer = await http.post("/agent/invoke", json=turn("5 and 3?", thread_id=thread))
    output: dict[str, Any] = answer.json()["output"]
    assert output["status"] == "interrupted", output
    return output


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("answer", "made", "status", "told"),
    [
        (APPROVE, ["add 5 3"], "ok", "8"),
        ({"type": "approve"}, ["add 5 3"], "ok", "8"),
        ([{"type": "accept", "args": None}], ["add 5 3"], "ok", "8"),
        (True, ["add 5 3"], "ok", "8"),
        ([True], ["add 5 3"], "ok", "8"),
        ([[{"type": "approve"}]], ["add 5 3"], "ok", "8"),
        ({"decisions": [edit("counted_add", a=1, b=2)]}, ["add 1 2"], "ok", "3"),
        ({"approve": True, "arguments": {"a": 1, "b": 2}}, ["add 1 2"], "ok", "3"),
        ({"decisions": [{"type": "reject", "message": "use 4"}]}, [], "denied", "denied: use 4"),
        (False, [], "denied", "denied by the user"),
        ({"decisions": [{"type": "respond", "message": "seven"}]}, [], "answered", "seven"),
    ],
)
async def test_st2_each_form_of_an_answer_is_taken_on_each_route(  # noqa: PLR0917 - two tables
    standing: tuple[House, httpx.AsyncClient],
    model: ModelServer,
    way: Answering,
    answer: Any,
    made: list[str],
    status: str,
    told: str,
) -> None:
    house, http = standing
    thread, before = f"t-{uuid4().hex}", len(house.tools.made)
    model.reset()
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    run_id = (await asked(http, thread))["run_id"]
    taken = await way(http, thread, run_id, answer)
    assert taken.status_code in (200, 202), taken.text
    run = await ended(http, run_id)
    assert run["status"] == "done"
    (call_made,) = run["output"]["tool_calls"]
    assert (house.tools.made[before:], call_made["status"]) == (made, status)
    heard = model.requests()[-1]["messages"][-1]["content"]
    assert heard.endswith(told)


async def test_st2_who_edited_what_is_told_to_the_model_the_stream_the_reply_and_the_transcript(
    house: House, model: ModelServer
) -> None:
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    async with house.service() as http:
        run_id = (await asked(http, "t"))["run_id"]
        await resumed(http, run_id, {"decisions": [edit("counted_add", a=1, b=2)]})
        run = await ended(http, run_id)
        events = await events_of(http, run_id)
        page = (await http.get("/threads/t/transcript")).json()["messages"]
    decision = {"type": "edit", "by": "local", "before": {"a": 5, "b": 3}, "after": {"a": 1, "b": 2}}
    (told,) = [event for event in events if event["type"] == "tool_call"]
    assert (told["arguments"], told["decision"]) == ({"a": 1, "b": 2}, decision)
    (made,) = run["output"]["tool_calls"]
    assert (made["arguments"], made["decision"]) == ({"a": 1, "b": 2}, decision)
    (row,) = [message for message in page if message["role"] == "tool"]
    assert row["decision"] == decision
    heard = model.requests()[-1]["messages"][-1]["content"]
    assert heard.startswith('A person changed this call on purpose. It was made with {"a": 1, "b": 2}.')
    lines = (house.tools._log.parents[2] / "logs" / "audit.jsonl").read_text().splitlines()
    (reviewed,) = [line for line in map(json.loads, lines) if line["what"] == "ToolReviewed"]
    assert (reviewed["who"], reviewed["run_id"]) == ("local", run_id)
    assert reviewed["details"] == {
        "server": "counted",
        "tool": "add",
        "decision": "edit",
        "changed": ["a", "b"],
    }


WRONG: list[tuple[Any, str]] = [
    ({"decisions": [{"type": "approve"}] * 2}, "2 decisions for 1 actions that wait"),
    ([True, True], "2 decisions for 1 actions that wait"),
    ({"decisions": [{"type": "perhaps"}]}, "type: 'perhaps' is no decision here"),
    ({"decisions": [edit("counted_times", a=1, b=2)]}, "'counted_times' is another tool"),
    ({"decisions": [{"type": "edit", "edited_action": {"args": "1 2"}}]}, "must be an object"),
    ({"decisions": [{"type": "edit"}]}, "an edit is"),
    ({"decisions": [edit("counted_add", a="one", b=2)]}, "'a': 'one' is not of type 'number'"),
    ({"decisions": [edit("counted_add", a=1)]}, "'b' is a required property"),
    ({"decisions": [edit("counted_add", a=10**30, b=1)]}, "more than 64"),
    ({"decisions": [{"type": "reject", "message": "a\x00b"}]}, "NUL"),
    ({"decisions": [{"type": "respond"}]}, "message must be text"),
    ({"decisions": [{"type": "approve", "message": "but"}]}, "has no key 'message'"),
    ({"decisions": [{"type": "approve"}], "approve": True}, "beside 'decisions'"),
    ({"e6f47555927c372f34d2c437a53f8ab1": True}, "no interrupt 'e6f47555"),
    ({"action": "accept"}, "an answer has no key 'action'"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_st2_a_wrong_answer_is_refused_with_a_sentence_and_the_question_stays_open(
    standing: tuple[House, httpx.AsyncClient], model: ModelServer, way: Answering
) -> None:
    house, http = standing
    thread, before = f"t-{uuid4().hex}", len(house.tools.made)
    model.reset()
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    output = await asked(http, thread)
    run_id = output["run_id"]
    for answer, says in WRONG:
        refused = assert_problem(await way(http, thread, run_id, answer), 422, "invalid_input")
        assert says in refused["detail"]
        assert (await http.get(f"/threads/{thread}/state")).json()["interrupts"] == output["interrupts"]
    await resumed(http, run_id, APPROVE)
    assert (await ended(http, run_id))["status"] == "done"
    assert house.tools.made[before:] == ["add 5 3"]


@pytest.fixture
def stored(tmp_path: Path, model: ModelServer, storage: dict[str, str]) -> House:
    return House(tmp_path, model, storage=storage)


async def test_st2_several_questions_take_their_decisions_in_the_order_in_which_they_stand(
    stored: House, model: ModelServer
) -> None:
    wanted = [("counted_times", {"a": n, "b": 1}) for n in range(1, 7)]
    model.script(calls(*wanted), say("All done."))
    async with stored.service() as http:
        output = await asked(http, "t")
        told = [e for e in await events_of(http, output["run_id"]) if e["type"] == "interrupt"]
        shown = (await http.get("/threads/t/state")).json()["interrupts"]
        for places in (output["interrupts"], told, shown):
            assert [place["call"]["arguments"]["a"] for place in places] == [1, 2, 3, 4, 5, 6]
        few = await by_invoke(http, "t", "", {"decisions": [{"type": "approve"}]})
        assert "1 decisions for 6 actions" in assert_problem(few, 422, "invalid_input")["detail"]
    async with stored.service() as http:  # another process, later
        decisions = [
            {"type": "approve"},
            edit("counted_times", a=2, b=10),
            {"type": "reject", "message": "no"},
            {"type": "respond", "message": "four"},
            {"type": "edit", "edited_action": {"name": "times", "args": {"a": 5, "b": 10}}},
            {"type": "approve"},
        ]
        await resumed(http, output["run_id"], {"decisions": decisions})
        run = await ended(http, output["run_id"])
    assert run["status"] == "done"
    assert sorted(stored.tools.made) == ["times 1 1", "times 2 10", "times 5 10", "times 6 1"]
    ends = {made["arguments"]["a"]: made["status"] for made in run["output"]["tool_calls"]}
    assert ends == {1: "ok", 2: "ok", 3: "denied", 4: "answered", 5: "ok", 6: "ok"}


async def test_st2_answers_by_id_may_mix_the_forms_and_each_counts_once(
    stored: House, model: ModelServer
) -> None:
    wanted = [("counted_add", {"a": n, "b": 1}) for n in range(1, 5)]
    model.script(calls(*wanted), say("All done."))
    async with stored.service() as http, stored.service() as other:
        output = await asked(http, "t")
        ids = [question["id"] for question in output["interrupts"]]
        mixed = {ids[0]: True, ids[1]: APPROVE, ids[2]: {"approve": True, "arguments": {"a": 3, "b": 9}}}
        await resumed(http, output["run_id"], mixed)
        assert (await ended(http, output["run_id"]))["status"] == "interrupted"
        again = await by_run(other, "t", output["run_id"], {ids[1]: False, ids[3]: True})
        assert ids[1] in assert_problem(again, 409, "already_answered")["detail"]
        again = await by_invoke(other, "t", "", {ids[0]: True})
        assert_problem(again, 409, "already_answered")
        await resumed(other, output["run_id"], {ids[3]: {"type": "respond", "message": "5"}})
        assert (await ended(http, output["run_id"]))["status"] == "done"
        over = await by_run(other, "t", output["run_id"], {ids[3]: True})
        assert_problem(over, 409, "nothing_to_resume")
    assert sorted(stored.tools.made) == ["add 1 1", "add 2 1", "add 3 9"]


async def test_st2_chat_says_what_is_asked_and_takes_the_answer_as_a_message(
    house: House, model: ModelServer
) -> None:
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    async with house.service() as http:
        said = [{"type": "human", "content": "5 and 3?"}]
        output = (await http.post("/chat/invoke", json={"input": {"messages": said}})).json()["output"]
        assert "May counted run 'add'? counted.add(a=5, b=3)" in output["content"]
        assert '{"decisions":[{"type":"approve"}]}' in output["content"]
        data = output["response_metadata"]
        assert data["status"] == "interrupted"
        assert data["interrupts"][0]["review_configs"][0]["allowed_decisions"][0] == "approve"
        assert data["thread_id"] in output["content"]
        said.append({"type": "ai", "content": output["content"]})
        wrong = [*said, {"type": "human", "content": '{"decisions": [{"type": "dance"}]}'}]
        refused = await http.post("/chat/invoke", json={"input": {"messages": wrong}})
        assert "'dance' is no decision" in assert_problem(refused, 422, "invalid_input")["detail"]
        right = [*said, {"type": "human", "content": '{"decisions": [{"type": "approve"}]}'}]
        output = (await http.post("/chat/invoke", json={"input": {"messages": right}})).json()["output"]
        assert output["content"] == "All done."
        model.script(say("Still here."))
        later = [*right, {"type": "ai", "content": "All done."}, {"type": "human", "content": '{"a": 1}'}]
        output = (await http.post("/chat/invoke", json={"input": {"messages": later}})).json()["output"]
        assert output["content"] == "Still here."
        assert len((await http.get("/threads")).json()) == 1
    assert house.tools.made == ["add 5 3"]


async def test_st2_chat_streams_what_is_asked(house: House, model: ModelServer) -> None:
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    async with house.service() as http:
        said = [{"type": "human", "content": "5 and 3?"}]
        chunks = data_of((await http.post("/chat/stream", json={"input": {"messages": said}})).text)
        text = "".join(chunk.get("content", "") for chunk in chunks)
        assert "May counted run 'add'?" in text
        (data,) = [found for chunk in chunks if (found := chunk.get("response_metadata"))]
        said.append({"type": "ai", "content": text})
        body = {"input": {"messages": said, "resume": APPROVE}}
        chunks = data_of((await http.post("/chat/stream", json=body)).text)
        assert "".join(chunk.get("content", "") for chunk in chunks) == "All done."
        assert (await http.get(f"/runs/{data['run_id']}")).json()["status"] == "done"


async def test_the_stream_of_an_answer_tells_what_follows_it(house: House, model: ModelServer) -> None:
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    async with house.service() as http:
        run_id = (await asked(http, "t"))["run_id"]
        events = data_of((await by_stream(http, "t", run_id, APPROVE)).text)
        everything = await events_of(http, run_id)
    assert [event["type"] for event in events if event["type"] in ("run_started", "done")] == [
        "run_started",
        "done",
    ]
    assert (events[0]["attempt"], events[-1]["status"]) == (2, "done")
    assert [event["attempt"] for event in everything if event["type"] == "run_started"] == [1, 2]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [], "resume": None},
        {"resume": "yes"},
        {"messages": [{"type": "human", "content": "hi"}], "resume": True},
    ],
)
async def test_chat_takes_a_message_or_an_answer(house: House, body: dict[str, Any]) -> None:
    async with house.service() as http:
        assert_problem(await http.post("/chat/invoke", json={"input": body}), 422, "invalid_request")


@pytest.mark.parametrize("route", ["invoke", "stream", "chat", "run"])
async def test_g6_no_caller_switches_off_what_the_operator_asked_for(
    house: House, model: ModelServer, route: str
) -> None:
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    async with house.service() as http:
        if route == "run":
            await ended(http, await begin(http, "t", configurable={"approval": "auto"}))
        elif route == "chat":
            said = {"messages": [{"type": "human", "content": "5 and 3?"}]}
            config = {"configurable": {"approval": "auto", "thread_id": "t"}}
            await http.post("/chat/invoke", json={"input": said, "config": config})
        else:
            await http.post(f"/agent/{route}", json=turn("5?", thread_id="t", approval="auto"))
        (question,) = (await http.get("/threads/t/state")).json()["interrupts"]
        assert "approval: auto does not count here" in question["detail"]
        assert house.tools.made == []


async def test_g6_a_setting_lets_callers_approve_beforehand(tmp_path: Path, model: ModelServer) -> None:
    house = House(tmp_path, model, mcp={"callers_may_lower_approval": True})
    model.script(call("counted_add", {"a": 5, "b": 3}), say("All done."))
    async with house.service() as http:
        answer = await http.post("/agent/invoke", json=turn("5?", thread_id="t", approval="auto"))
    assert answer.json()["output"]["status"] == "done"
    assert house.tools.made == ["add 5 3"]
