"""Threads, state, assistants and crons of the LangGraph SDK for Python, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5
from zoneinfo import ZoneInfo

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, InternalServerError, NotFoundError, UnprocessableEntityError

from tests.kit.langgraph import GRAPH, asks, texts
from waystation.testing.model_server import ModelServer, say

ADD = "calculator_add"
FREE = {"approval": "auto"}


async def test_threads_are_made_found_changed_copied_and_deleted(
    sdk: LangGraphClient, model_server: ModelServer
) -> None:
    key, tag = str(uuid4()), str(uuid4())
    made = await sdk.threads.create(thread_id=key, metadata={"tag": tag, "n": 1}, graph_id=GRAPH)
    assert made["thread_id"] == key
    with pytest.raises(ConflictError):
        await sdk.threads.create(thread_id=key)
    assert (await sdk.threads.create(thread_id=key, if_exists="do_nothing"))["thread_id"] == key
    other = await sdk.threads.create(metadata={"tag": tag, "n": 2})
    assert await sdk.threads.count(metadata={"tag": tag}) == 2
    (found,) = await sdk.threads.search(metadata={"tag": tag, "n": 2, "graph_id": GRAPH})
    assert found["thread_id"] == other["thread_id"]
    model_server.script(say("kept"), match="copy me")
    await sdk.runs.wait(key, GRAPH, input=asks("copy me"))
    changed = await sdk.threads.update(key, metadata={"more": True})
    assert {"tag": tag, "n": 1, "more": True}.items() <= (changed["metadata"] or {}).items()
    found_ids = [t["thread_id"] for t in await sdk.threads.search(metadata={"tag": tag}, status="idle")]
    assert sorted(found_ids) == sorted([key, other["thread_id"]])
    page = await sdk.threads.search(metadata={"tag": tag}, limit=1, offset=1, select=["thread_id"])
    assert len(page) == 1
    assert list(page[0]) == ["thread_id"]
    copy: Any = sdk.threads.copy
    copied = await copy(key)
    assert texts((await sdk.threads.get_state(copied["thread_id"]))["values"]) == ["copy me", "kept"]
    await sdk.threads.delete(key)
    for reach in (sdk.threads.get(key), sdk.threads.get_state(key), sdk.threads.get_history(key)):
        with pytest.raises(NotFoundError):
            await reach
    await sdk.threads.prune([other["thread_id"], copied["thread_id"]])
    assert await sdk.threads.count(metadata={"tag": tag}) == 0


async def test_the_state_is_changed_and_the_run_goes_on_from_there(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(say("nothing yet"), match="state")
    await sdk.runs.wait(thread, GRAPH, input=asks("state"))
    state: Any = await sdk.threads.get_state(thread)
    answer = {**state["values"]["messages"][-1], "content": "changed by hand"}
    made: Any = await sdk.threads.update_state(thread, {"messages": [answer]}, as_node="call_model")
    now: Any = await sdk.threads.get_state(thread)
    assert texts(now["values"]) == ["state", "changed by hand"]
    assert made["checkpoint"] == now["checkpoint"]
    with pytest.raises(UnprocessableEntityError, match="no step"):
        await sdk.threads.update_state(thread, {"messages": []}, as_node="nobody")
    with pytest.raises(UnprocessableEntityError):
        await sdk.threads.update_state(thread, {"config": {"user": "root"}})
    question = {"messages": [{"type": "human", "content": "by a command"}]}
    model_server.script(say("so be it"), match="by a command")
    ended: Any = await sdk.runs.wait(thread, GRAPH, command={"update": question})
    assert texts(ended)[-1] == "so be it"


async def test_the_assistant_is_the_one_that_langgraph_dev_would_name(sdk: LangGraphClient) -> None:
    (found,) = await sdk.assistants.search(graph_id=GRAPH)
    assert found["assistant_id"] == str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), GRAPH))
    assert await sdk.assistants.get(found["assistant_id"]) == found
    graph = await sdk.assistants.get_graph(GRAPH)
    assert {"call_model", "execute_tools"} <= {str(node["id"]) for node in graph["nodes"]}
    schemas: Any = await sdk.assistants.get_schemas(found["assistant_id"])
    assert "messages" in schemas["input_schema"]["properties"]
    assert {"model", "tools", "approval"} <= schemas["context_schema"]["properties"].keys()
    assert await sdk.assistants.count() == 1
    with pytest.raises(NotFoundError):
        await sdk.assistants.get("another")
    with pytest.raises(NotFoundError):
        await sdk.runs.create(None, "another", input=asks("hi"))


async def test_what_is_not_served_is_refused_with_a_code(sdk: LangGraphClient, thread: str) -> None:
    unserved: list[Any] = [
        lambda: sdk.crons.create(GRAPH, schedule="0 7 * * *", input=asks("hi"), on_run_completed="delete"),
        lambda: sdk.assistants.create(GRAPH, name="mine"),
        lambda: sdk.threads.create(ttl={"ttl": 5, "strategy": "keep_latest"}),
        lambda: sdk.runs.create(thread, GRAPH, input=asks("hi"), interrupt_before=["call_model"]),
        lambda: sdk.runs.create(thread, GRAPH, input=asks("hi"), stream_mode="debug"),
        lambda: sdk.http.post(f"/threads/{thread}/commands", json={"id": 1, "method": "run.start"}),
    ]
    for reach in unserved:
        with pytest.raises(InternalServerError) as refused:
            await reach()
        assert refused.value.status_code == 501
        assert refused.value.code == "not_offered"
        assert refused.value.body
        assert set(refused.value.body) == {"detail", "code"}  # type: ignore[call-overload]
    with pytest.raises(UnprocessableEntityError):
        await sdk.runs.create(thread, GRAPH, input=asks("hi"), stream_mode="nonsense")  # type: ignore[arg-type]
    with pytest.raises(UnprocessableEntityError):
        await sdk.threads.get("no such id")
    with pytest.raises(NotFoundError):
        await sdk.runs.create(str(uuid4()), GRAPH, input=asks("hi"))
    made = await sdk.runs.create(str(uuid4()), GRAPH, input=asks("hi"), if_not_exists="create")
    await sdk.runs.join(made["thread_id"], made["run_id"])


async def test_the_store_keeps_what_the_client_puts_there(sdk: LangGraphClient) -> None:
    await sdk.store.put_item(["users", "ada"], "likes", {"tea": "green"}, ttl=60)
    found: Any = await sdk.store.get_item(["users", "ada"], "likes")
    assert (found["namespace"], found["value"]) == (["users", "ada"], {"tea": "green"})
    searched: Any = await sdk.store.search_items(["users"], query="green", filter={"tea": "green"})
    assert [item["key"] for item in searched["items"]] == ["likes"]
    assert (await sdk.store.list_namespaces(prefix=["users"]))["namespaces"] == [["users", "ada"]]
    await sdk.store.delete_item(["users", "ada"], "likes")
    with pytest.raises(NotFoundError):
        await sdk.store.get_item(["users", "ada"], "likes")


async def test_a_thread_is_kept_for_a_time(sdk: LangGraphClient) -> None:
    made = await sdk.threads.create(ttl=5)
    await sdk.threads.update(made["thread_id"], metadata={}, ttl={"ttl": 0.5, "strategy": "delete"})
    for odd in (0, -1, "x", {"ttl": None}, 10**12):
        with pytest.raises(UnprocessableEntityError):
            await sdk.threads.create(ttl=odd)  # type: ignore[arg-type]


async def test_runs_are_planned_by_the_clock_of_a_time_zone(sdk: LangGraphClient, thread: str) -> None:
    zone = ZoneInfo("Pacific/Auckland")
    plan: Any = await sdk.crons.create(
        GRAPH, schedule="30 7 * * 1-5", timezone=zone, input=asks("good morning"), metadata={"for": "a test"}
    )
    due = datetime.fromisoformat(plan["next_run_date"])
    assert due.utcoffset() == timedelta(0)
    assert (due.astimezone(zone).hour, due.astimezone(zone).minute) == (7, 30)
    bound: Any = await sdk.crons.create_for_thread(thread, GRAPH, schedule="0 0 * * *", input=asks("hi"))
    assert bound["thread_id"] == thread
    (found,) = await sdk.crons.search(metadata={"for": "a test"})
    assert found["cron_id"] == plan["cron_id"]
    assert found["payload"]["input"] == asks("good morning")
    assert await sdk.crons.count(thread_id=thread) == 1
    changed = await sdk.crons.update(plan["cron_id"], enabled=False, timezone="UTC", schedule="0 9 * * *")
    assert (changed["enabled"], str(changed["next_run_date"])[11:16]) == (False, "09:00")
    for bad in ("often", "0 0 30 2 *", "* * * * * *"):
        with pytest.raises(UnprocessableEntityError):
            await sdk.crons.create(GRAPH, schedule=bad, input=asks("hi"))
    with pytest.raises(UnprocessableEntityError, match="no time zone"):
        await sdk.crons.create(GRAPH, schedule="0 7 * * *", timezone="Moon/Base", input=asks("hi"))
    await sdk.crons.delete(plan["cron_id"])
    with pytest.raises(NotFoundError):
        await sdk.crons.delete(plan["cron_id"])
    await sdk.threads.delete(thread)
    assert await sdk.crons.count(thread_id=thread) == 0


async def test_a_thread_is_followed_over_several_runs_and_taken_up(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    for word in ("first", "second"):
        model_server.script(say(f"The {word}."), match=f"sdk follows {word}")
        await sdk.runs.wait(thread, GRAPH, input=asks(f"sdk follows {word}"))

    async def read(last: str, ends: int) -> list[Any]:
        found: list[Any] = []
        async for part in await sdk.threads.join_stream(thread, last_event_id=last):
            found.append(part)
            ends -= part.event == "metadata" and part.data.get("status") == "run_done"
            if not ends:
                break
        return found

    told = await read("-1", 2)
    assert texts(next(part.data for part in reversed(told) if part.event == "values"))[-1] == "The second."
    middle = len(told) // 2
    assert await read(str(told[middle].id), 2 if middle < 3 else 1) == told[middle + 1 :]
