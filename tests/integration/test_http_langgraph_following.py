"""A thread's own stream on the LangGraph wire: its runs as they begin, changes of its state, taking it up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from graph.agent import Agent
from tests.kit.http import assert_refused
from tests.kit.langgraph import turn_of
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, say

ROOT = "/langgraph"


@pytest.fixture(scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str], _model_server: ModelServer
) -> AsyncIterator[Agent]:
    async with open_agent(
        tmp_path_factory.mktemp("following"),
        model_url=_model_server.url,
        storage=storage,
        files={"mcp.json": '{"calculator": {"require_approval": ["*"]}}'},
    ) as agent:
        yield agent


@pytest.fixture
async def thread(http: httpx.AsyncClient) -> str:
    return str((await http.post(f"{ROOT}/threads", json={})).json()["thread_id"])


@dataclass
class Event:
    name: str = ""
    data: Any = None
    id: str = ""


@dataclass
class Reader:
    """Reads a stream until something is seen."""

    lines: AsyncIterator[str]
    seen: list[Event] = field(default_factory=list)

    async def until(self, fits: Callable[[Event], object]) -> list[Event]:
        """The events up to the one that fits."""
        found: list[Event] = []
        async with asyncio.timeout(A_BUSY_MACHINE_S):
            event = Event()
            async for line in self.lines:
                word, _, rest = line.partition(": ")
                if word == "event":
                    event.name = rest
                elif word == "data":
                    event.data = json.loads(rest)
                elif word == "id":
                    event.id = rest
                elif not line and event.name:
                    found.append(event)
                    if fits(event):
                        return found
                    event = Event()
        raise AssertionError(f"the stream ended: {found}")


@asynccontextmanager
async def following(
    http: httpx.AsyncClient, thread: str, last: str = "", **params: Any
) -> AsyncIterator[Reader]:
    headers = {"last-event-id": last} if last else {}
    path = f"{ROOT}/threads/{thread}/stream"
    async with http.stream("GET", path, headers=headers, params=params) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["location"].startswith(f"/threads/{thread}/stream?stream_mode=")
        lines = answer.aiter_lines()
        yield Reader(lines)


def is_over(event: Event) -> bool:
    return event.name == "metadata" and event.data.get("status") == "run_done"


def words_in(events: list[Event]) -> str:
    pieces = [event.data[0] for event in events if event.name == "messages"]
    return "".join(piece["content"] for piece in pieces if piece["type"] == "AIMessageChunk")


def runs_in(events: list[Event]) -> list[str]:
    return [event.data["run_id"] for event in events if event.name == "metadata"]


async def begun(http: httpx.AsyncClient, thread: str, text: str, **more: Any) -> str:
    answer = await http.post(f"{ROOT}/threads/{thread}/runs", json=turn_of(text, **more))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


async def test_runs_are_told_as_they_begin_also_those_of_other_ways_in(
    http: httpx.AsyncClient, thread: str, model_server: ModelServer
) -> None:
    for word in ("one", "two"):
        model_server.script(say(f"Said {word}."), match=f"follow {word}")
    async with following(http, thread) as reader:
        first = await begun(http, thread, "follow one")
        told = await reader.until(is_over)
        assert (words_in(told), runs_in(told)) == ("Said one.", [first, first])
        assert told[-2].data["messages"][-1]["content"] == "Said one."
        other = await http.post(f"/threads/{thread}/runs", json={"input": {"message": "follow two"}})
        told = await reader.until(is_over)
        assert (words_in(told), runs_in(told)[-1]) == ("Said two.", other.json()["run_id"])
        assert all(event.id for event in told)


async def test_a_stream_is_taken_up_behind_any_part_and_nothing_is_told_twice(
    http: httpx.AsyncClient, thread: str, model_server: ModelServer
) -> None:
    for word in ("one", "two"):
        model_server.script(say(f"Here is the {word}."), match=f"again {word}")
        await http.post(f"{ROOT}/threads/{thread}/runs/wait", json=turn_of(f"again {word}"))
    ended: list[Event] = []
    async with following(http, thread, "-1") as reader:
        for _ in range(2):
            ended += await reader.until(is_over)
    assert words_in(ended) == "Here is the one.Here is the two."
    ids = [event.id for event in ended]
    assert len(set(ids)) == len(ids)
    for place in range(0, len(ids) - 1, 3):
        async with following(http, thread, ids[place]) as reader:
            rest: list[Event] = []
            while not rest or rest[-1].id != ids[-1]:
                rest += await reader.until(is_over)
        assert [(event.id, event.name) for event in rest] == [
            (event.id, event.name) for event in ended[place + 1 :]
        ]


async def test_a_reader_that_comes_in_the_middle_of_a_run_has_it_from_its_start(
    http: httpx.AsyncClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(say("One two three four.", hang_after=2), match="middle")
    run = await begun(http, thread, "middle")
    async with following(http, thread) as reader:
        told = await reader.until(lambda event: "two" in words_in([event]))
        last = told[-1].id
        model_server.release()
    async with following(http, thread, last) as reader:
        told += await reader.until(is_over)
    assert (words_in(told), set(runs_in(told))) == ("One two three four.", {run})


async def test_what_came_before_is_not_told_and_an_answered_question_goes_on(
    http: httpx.AsyncClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(call("calculator_add", {"a": 5, "b": 3}), say("Eight."), match="asked")
    await http.post(f"{ROOT}/threads/{thread}/runs/wait", json=turn_of("asked"))
    async with following(http, thread) as reader:
        yes = {"assistant_id": "waystation", "command": {"resume": {"approve": True}}}
        await http.post(f"{ROOT}/threads/{thread}/runs/wait", json=yes)
        told = await reader.until(is_over)
    assert words_in(told) == "Eight."
    assert [event.name for event in told].count("metadata") == 2


async def test_only_beginnings_and_ends_are_told_and_changes_of_the_state(
    http: httpx.AsyncClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(say("Quiet."), match="quietly")
    modes = {"stream_mode": '["lifecycle", "state_update"]'}
    async with following(http, thread, **modes) as reader:
        run = await begun(http, thread, "quietly")
        told = await reader.until(is_over)
        assert [event.name for event in told] == ["metadata", "metadata"]
        assert runs_in(told) == [run, run]
        values = {"messages": [{"type": "ai", "content": "By hand."}]}
        await http.post(f"{ROOT}/threads/{thread}/state", json={"values": values})
        (changed,) = await reader.until(lambda _: True)
    assert changed.name == "state_update"
    assert changed.data["thread_id"] == thread
    assert changed.data["state"]["values"]["messages"][-1]["content"] == "By hand."


async def test_a_stream_ends_soon_after_its_thread_was_deleted(
    http: httpx.AsyncClient, thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.protocols.langgraph.following.LOOK_AGAIN_SECONDS", 0.05)
    model_run = await begun(http, thread, "goes")
    async with following(http, thread, "-1") as reader:
        await reader.until(is_over)
        await http.get(f"/runs/{model_run}/wait")
        await http.delete(f"{ROOT}/threads/{thread}")
        with pytest.raises(AssertionError, match="the stream ended"):
            await reader.until(lambda _: False)


@pytest.mark.parametrize(
    ("query", "last"),
    [("stream_mode=values", ""), ("", "12-0"), ("", "1.r_x.1"), ("", "../x"), ("stream_mode=%5B1%5D", "")],
)
async def test_what_is_no_mode_and_no_id_is_refused(
    http: httpx.AsyncClient, thread: str, query: str, last: str
) -> None:
    headers = {"last-event-id": last} if last else {}
    answer = await http.get(f"{ROOT}/threads/{thread}/stream?{query}", headers=headers)
    assert_refused(answer, 422, "invalid_request")


async def test_a_thread_that_is_not_there_has_no_stream(http: httpx.AsyncClient) -> None:
    assert_refused(await http.get(f"{ROOT}/threads/not-there/stream"), 404, "thread_not_found")
