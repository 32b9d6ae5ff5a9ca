"""The LangGraph wire over plain HTTP: headers, what is odd, whose it is, and both databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from core.access import Principal
from graph.agent import Agent
from server.protocols.langgraph.words import ASSISTANT
from tests.kit.http import assert_refused, sse
from tests.kit.langgraph import turn_of
from tests.kit.samples import pairs
from waystation.testing.agents import open_agent

ROOT = "/langgraph"
RUN = {"assistant_id": "waystation", "input": {"messages": [{"type": "human", "content": "What is 5 + 3?"}]}}
LOCAL = Principal("local")


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str]) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("langgraph"), storage=storage) as agent:
        yield agent


async def made(http: httpx.AsyncClient, **more: Any) -> str:
    return str((await http.post(f"{ROOT}/threads", json=more)).json()["thread_id"])


async def test_headers_name_the_run_relative_to_the_mount_and_lines_end_in_crlf(
    http: httpx.AsyncClient,
) -> None:
    thread = await made(http)
    answer = await http.post(f"{ROOT}/threads/{thread}/runs/stream", json=RUN)
    run = answer.headers["content-location"].rpartition("/")[2]
    assert answer.headers["content-location"] == f"/threads/{thread}/runs/{run}"
    assert answer.headers["location"] == f"/threads/{thread}/runs/{run}/stream"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("\n") == answer.text.count("\r\n")
    events = sse(answer.text)
    assert events[0]["event"] == "metadata"
    assert json.loads(events[0]["data"]) == {"run_id": run, "attempt": 1}
    assert events[-1] == {"event": "end", "data": "null"}
    waited = await http.post(f"{ROOT}/threads/{thread}/runs/wait", json=RUN)
    assert waited.headers["location"].endswith("/join")
    found = (await http.get(f"{ROOT}{answer.headers['content-location']}")).json()
    assert (found["status"], found["assistant_id"]) == ("success", ASSISTANT)


async def test_what_a_wire_did_stands_in_the_threads_of_every_other(
    agent: Agent, http: httpx.AsyncClient
) -> None:
    thread = await made(http, metadata={"channel": "mail"})
    await http.post(f"{ROOT}/threads/{thread}/runs/wait", json=turn_of("Who are you?"))
    page = await agent.threads.transcript(LOCAL, thread)
    assert [message["role"] for message in page["messages"]] == ["user", "assistant"]
    assert (await http.get(f"/threads/{thread}")).json()["metadata"] == {"channel": "mail"}
    begun = await http.post(f"/threads/{thread}/runs", json={"input": {"message": "And now?"}})
    run = begun.json()["run_id"]
    joined = await http.get(
        f"{ROOT}/threads/{thread}/runs/{run}/stream", params={"stream_mode": ["values", "messages-tuple"]}
    )
    events = sse(joined.text)
    last = [json.loads(event["data"]) for event in events if event["event"] == "values"][-1]
    assert [message["type"] for message in last["messages"]] == ["human", "ai", "human", "ai"]
    pieces = [json.loads(event["data"])[0] for event in events if event["event"] == "messages"]
    assert "".join(piece["content"] for piece in pieces) == last["messages"][-1]["content"]


async def test_a_thread_is_found_by_the_title_that_a_written_message_gives_it(
    http: httpx.AsyncClient,
) -> None:
    thread = await made(http)
    values = {"messages": [{"type": "human", "content": "Which berth is free?"}]}
    await http.post(f"{ROOT}/threads/{thread}/state", json={"values": values})
    found = (await http.get("/threads", params={"q": "WHICH berth"})).json()
    assert [row["id"] for row in found] == [thread]


async def test_a_branch_leaves_the_other_in_history_and_not_in_the_transcript(
    agent: Agent, http: httpx.AsyncClient
) -> None:
    thread = await made(http)
    for text in ("Who are you?", "What can you do?"):
        await http.post(f"{ROOT}/threads/{thread}/runs/wait", json=turn_of(text))
    states = (await http.post(f"{ROOT}/threads/{thread}/history", json={})).json()
    assert [len(state["values"].get("messages", ())) for state in states] == [4, 3, 2, 1, 0]
    body = turn_of("What is 5 + 3?", checkpoint=states[1]["parent_checkpoint"])
    await http.post(f"{ROOT}/threads/{thread}/runs/wait", json=body)
    page = await agent.threads.transcript(LOCAL, thread)
    said = [message["text"] for message in page["messages"] if message["role"] == "user"]
    assert said == ["Who are you?", "What is 5 + 3?"]
    old = await http.get(f"{ROOT}/threads/{thread}/state/{states[0]['checkpoint_id']}")
    assert old.json()["values"] == states[0]["values"]
    shown = await http.get(f"/threads/{thread}/history")
    assert shown.json()["checkpoints"]


async def test_threads_are_found_by_what_is_noted(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await made(http, metadata={"shelf": "a b'\"c", "n": number, "odd": bool(number % 2)})
    shelf = {"shelf": "a b'\"c"}

    async def found(**metadata: Any) -> int:
        answer = await http.post(f"{ROOT}/threads/search", json={"metadata": {**shelf, **metadata}})
        assert answer.headers["x-pagination-total"] == str(len(answer.json()))
        return len(answer.json())

    assert [await found(), await found(n=1), await found(odd=False)] == [3, 1, 2]
    assert [await found(n=7), await found(graph_id="other"), await found(graph_id="waystation")] == [0, 0, 3]
    page = await http.post(f"{ROOT}/threads/search", json={"metadata": shelf, "limit": 2})
    assert page.headers["x-pagination-next"] == "2"
    for name in ("a" * 65, "$.x", 'a"b'):
        answer = await http.post(f"{ROOT}/threads/search", json={"metadata": {name: 1}})
        assert_refused(answer, 422, "invalid_input")


ODD: list[Any] = [
    *(None, 0, -1, 2**63, 1.5, "", "x", "\x00", "../..", [], [None], [[]], {}, {"": None}, True),
    *({"messages": []}, {"messages": [{"type": "ai", "content": "x"}]}, {"messages": {"content": {}}}),
    *({"configurable": {"user": "root"}}, {"configurable": {"checkpoint_id": 7}}, {"resume": {"x": [None]}}),
]
FIELDS = (
    *("assistant_id", "input", "command", "config", "context", "metadata", "stream_mode", "checkpoint"),
    *("checkpoint_id", "multitask_strategy", "if_not_exists", "on_disconnect", "webhook", "after_seconds"),
)
OTHERS = {
    "/threads": ("thread_id", "metadata", "if_exists", "ttl"),
    "/threads/search": ("metadata", "values", "ids", "status", "limit", "offset", "sort_by", "select"),
    "/threads/T/history": ("limit", "before", "checkpoint", "metadata", "select"),
    "/threads/T/state": ("values", "as_node", "checkpoint", "checkpoint_id"),
    "/threads/T/state/checkpoint": ("checkpoint", "select"),
    "/assistants/search": ("metadata", "graph_id", "name", "limit", "offset", "select"),
    "/runs/cancel": ("thread_id", "run_ids", "status"),
    "/threads/count": ("metadata", "values", "ids", "status"),
    "/threads/prune": ("thread_ids", "strategy"),
    "/runs/crons": ("schedule", "timezone", "end_time", "input", "enabled"),
    "/runs/crons/search": ("thread_id", "limit", "metadata", "enabled", "select"),
}


PLAN = {**RUN, "schedule": "0 0 1 1 *"}


async def test_whatever_is_sent_is_no_fault_of_ours(http: httpx.AsyncClient) -> None:
    thread = await made(http)
    wishes = [
        (f"/threads/{thread}/runs/wait", {**RUN, name: odd}) for name, odd in pairs(FIELDS, ODD, here=5)
    ]
    others = [(path, name) for path, names in OTHERS.items() for name in names]
    wishes += [
        (path.replace("T/", f"{thread}/"), {**(PLAN if path == "/runs/crons" else {}), name: odd})
        for (path, name), odd in pairs(others, ODD, here=5)
    ]
    # No turn more than there must be: a field that is fine as it is would have one each time.
    wishes = [(path, body) for path, body in wishes if not path.endswith("wait") or _is_odd(body)]
    for path, body in wishes:
        answer = await http.post(f"{ROOT}{path}", json=body)
        assert answer.status_code < 500 or answer.status_code == 501, (path, body, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()) == {"detail", "code"}, (path, body)
    for last in ("x", "1-", "-5", "9" * 40, "1-1-1"):
        answer = await http.get(f"{ROOT}/threads/{thread}/runs/r_x/stream", headers={"last-event-id": last})
        assert_refused(answer, 422, "invalid_request")


def _is_odd(body: dict[str, Any]) -> bool:
    """Of bodies that only say nothing, or the same, one will do."""
    return any(body[name] not in (None, {}, [], "", 0) for name in FIELDS if body.get(name) != RUN.get(name))


async def test_who_comes_back_with_a_number_beyond_the_last_gets_the_end(http: httpx.AsyncClient) -> None:
    thread = await made(http)
    begun = (await http.post(f"{ROOT}/threads/{thread}/runs", json=RUN)).json()
    path = f"{ROOT}/threads/{thread}/runs/{begun['run_id']}"
    await http.get(f"{path}/join")
    answer = await http.get(f"{path}/stream", headers={"last-event-id": "99999-3"})
    assert sse(answer.text) == [{"event": "end", "data": "null"}]


async def test_a_reader_that_goes_away_ends_the_run_only_where_it_said_so(
    agent: Agent, http: httpx.AsyncClient
) -> None:
    for wish, status in (("cancel", "cancelled"), ("continue", "done")):
        thread = await made(http)
        body = {**RUN, "on_disconnect": wish}
        async with http.stream("POST", f"{ROOT}/threads/{thread}/runs/stream", json=body) as answer:
            run = answer.headers["content-location"].rpartition("/")[2]
        record = await agent.runs.wait(LOCAL, run, timeout=30)
        # One that had ended before its reader went is no answer to the question.
        assert record.status in (status, "done")


async def test_many_readers_of_a_run_read_the_same(http: httpx.AsyncClient) -> None:
    thread = await made(http)
    begun = (await http.post(f"{ROOT}/threads/{thread}/runs", json=RUN)).json()
    path = f"{ROOT}/threads/{thread}/runs/{begun['run_id']}/stream?stream_mode=values&stream_mode=updates"
    found = await asyncio.gather(*(http.get(path, headers={"last-event-id": "-1"}) for _ in range(4)))
    assert len({answer.text for answer in found}) == 1
