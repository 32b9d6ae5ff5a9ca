"""A turn with a tool call over every wire, read as it stands on the line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.kit.http import served
from waystation.testing.agents import open_agent

ASKED = "What is 5 + 3?"
ANSWER = "5 + 3 = 8"
RUN = {"assistant_id": "waystation", "input": {"messages": [{"role": "user", "content": ASKED}]}}
MODES = ["values", "updates", "messages-tuple", "messages", "custom", "events"]


@pytest.fixture(scope="module")
async def base(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with open_agent(tmp_path_factory.mktemp("wires")) as agent, served(agent) as base:
        yield base


def data_of(answer: httpx.Response) -> list[Any]:
    """What the lines of a stream hold."""
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


async def test_chat_completions_streams_pieces_and_one_end(http: httpx.AsyncClient) -> None:
    body = {
        "model": "waystation",
        "messages": [{"role": "user", "content": ASKED}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = await http.post("/v1/chat/completions", json=body)
    *chunks, usage = data_of(answer)
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks) == ANSWER
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"][0]["finish_reason"]] == ["stop"]
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] > 0
    assert answer.text.rstrip().endswith("[DONE]")


async def test_responses_streams_numbered_events_and_is_found_again(http: httpx.AsyncClient) -> None:
    events = data_of(
        await http.post("/v1/responses", json={"model": "waystation", "input": ASKED, "stream": True})
    )
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    assert events[-1]["type"] == "response.completed"
    found = (await http.get(f"/v1/responses/{events[0]['response']['id']}")).json()
    assert found["status"] == "completed"
    assert ANSWER in json.dumps(found["output"])


async def test_langgraph_streams_every_mode(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/langgraph/threads", json={})).json()["thread_id"]
    streamed = await http.post(
        f"/langgraph/threads/{thread}/runs/stream",
        json={**RUN, "stream_mode": MODES, "stream_resumable": True},
    )
    data_of(streamed)
    names = {
        line.removeprefix("event: ") for line in streamed.text.splitlines() if line.startswith("event: ")
    }
    assert {"metadata", "values", "updates", "messages", "messages/partial"} <= names
    run = streamed.headers["content-location"].rpartition("/")[2]
    again = await http.get(f"/langgraph/threads/{thread}/runs/{run}/stream", headers={"last-event-id": "-1"})
    assert ANSWER in json.dumps(data_of(again), ensure_ascii=False)


async def test_langgraph_waits_joins_and_lists(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/langgraph/threads", json={"metadata": {"of": "wires"}})).json()["thread_id"]
    at = f"/langgraph/threads/{thread}"
    waited = (await http.post(f"{at}/runs/wait", json=RUN)).json()
    assert waited["messages"][-1]["content"] == ANSWER
    made = (await http.post(f"{at}/runs", json=RUN)).json()
    assert (await http.get(f"{at}/runs/{made['run_id']}/join")).json()["messages"][-1]["content"] == ANSWER
    assert len((await http.get(f"{at}/runs")).json()) == 2
    assert (await http.post("/langgraph/assistants/search", json={})).json()[0]["graph_id"] == "waystation"
    alone = (await http.post("/langgraph/runs/wait", json=RUN)).json()
    assert alone["messages"][-1]["content"] == ANSWER
