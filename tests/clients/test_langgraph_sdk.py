"""The Python SDK of LangGraph against a real service: every method that is served, and the rest refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, UnprocessableEntityError

from tests.kit.langgraph import GRAPH, asks, named, parts_of, texts
from waystation.testing.model_server import ModelServer, call, hang, say

ADD = "calculator_add"
FREE = {"approval": "auto"}


async def test_an_answer_comes_in_pieces_under_the_id_that_it_has_in_values_and_state(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    # What comes at once is one piece: the model says the rest when the first has been read.
    model_server.script(say("The harbour is open.", hang_after=2), match="is it open")
    made: list[Any] = []
    parts: list[Any] = []
    async for part in sdk.runs.stream(
        thread,
        GRAPH,
        input=asks("is it open", id="mine-1"),
        stream_mode=["values", "updates", "messages-tuple", "custom"],
        on_run_created=made.append,
    ):
        parts.append(part)
        if part.event == "messages":
            await asyncio.to_thread(model_server.release)
    assert parts[0].event == "metadata"
    assert parts[0].data["run_id"] == made[0]["run_id"]
    assert made[0]["thread_id"] == thread
    assert [parts[1].event, parts[-1].event] == ["values", "end"]
    assert texts(parts[1].data) == ["is it open"]
    ids = [part.id for part in parts[:-1]]
    assert len(set(ids)) == len(ids)
    assert None not in ids
    pieces = named(parts, "messages")
    assert "".join(chunk["content"] for chunk, _ in pieces) == "The harbour is open."
    assert len([chunk for chunk, _ in pieces if chunk["content"]]) > 1
    last = named(parts, "values")[-1]
    state: Any = await sdk.threads.get_state(thread)
    (update,) = named(parts, "updates")
    answers = {chunk["id"] for chunk, _ in pieces} | {
        values["messages"][-1]["id"] for values in (last, state["values"], update["call_model"])
    }
    assert len(answers) == 1
    assert state["values"]["messages"][0]["id"] == "mine-1"
    assert {told["type"] for told in named(parts, "custom")} >= {"config", "usage"}
    assert (await sdk.runs.get(thread, made[0]["run_id"]))["status"] == "success"


async def test_a_tool_call_is_shown_with_its_result(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(call(ADD, {"a": 5, "b": 3}), say("It is 8."), match="5 and 3")
    modes: Any = ["messages-tuple", "updates", "events"]
    parts = await parts_of(
        sdk.runs.stream(thread, GRAPH, input=asks("5 and 3"), stream_mode=modes, context=FREE)
    )
    pieces = [chunk for chunk, _ in named(parts, "messages")]
    (calling,) = [chunk for chunk in pieces if chunk.get("tool_call_chunks")]
    (result,) = [chunk for chunk in pieces if chunk["type"] == "tool"]
    assert calling["tool_call_chunks"][0]["name"] == ADD
    assert result["tool_call_id"] == calling["tool_calls"][0]["id"]
    assert "8" in result["content"]
    assert [list(update) for update in named(parts, "updates")] == [
        ["call_model"],
        ["execute_tools"],
        ["call_model"],
    ]
    events = [event["event"] for event in named(parts, "events")]
    assert events[0] == "on_chain_start"
    assert {"on_tool_start", "on_tool_end", "on_chat_model_stream"} < set(events)
    state: Any = await sdk.threads.get_state(thread)
    assert [message["type"] for message in state["values"]["messages"]] == ["human", "ai", "tool", "ai"]


async def test_the_older_mode_gives_the_whole_message_each_time(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(say("One two three"), match="count")
    parts = await parts_of(sdk.runs.stream(thread, GRAPH, input=asks("count"), stream_mode="messages"))
    so_far = [messages[0]["content"] for messages in named(parts, "messages/partial")]
    assert so_far == sorted(so_far, key=len)
    assert so_far[-1] == "One two three"
    (described,) = named(parts, "messages/metadata")
    (whole,) = named(parts, "messages/complete")
    assert list(described) == [whole[0]["id"]]


async def paused(sdk: LangGraphClient, thread: str, model_server: ModelServer) -> dict[str, Any]:
    model_server.script(call(ADD, {"a": 5, "b": 3}), match="with a question")
    ended: Any = await sdk.runs.wait(thread, GRAPH, input=asks("with a question"))
    (question,) = ended["__interrupt__"]
    return dict(question)


async def test_a_question_is_told_everywhere_and_answered_by_its_id(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(call(ADD, {"a": 5, "b": 3}), match="told everywhere")
    modes: Any = ["values", "updates"]
    parts = await parts_of(sdk.runs.stream(thread, GRAPH, input=asks("told everywhere"), stream_mode=modes))
    (question,) = named(parts, "values")[-1]["__interrupt__"]
    assert named(parts, "updates")[-1] == {"__interrupt__": [question]}
    known = await sdk.threads.get(thread)
    assert known["status"] == "interrupted"
    assert list(known["interrupts"].values()) == [[question]]
    state: Any = await sdk.threads.get_state(thread)
    assert state["interrupts"] == state["tasks"][0]["interrupts"] == [question]
    assert state["next"] == ["execute_tools"]

    model_server.script(say("It is 8."))
    answers: Any = {"resume": {question["id"]: {"approve": True}}}
    more = await parts_of(sdk.runs.stream(thread, GRAPH, command=answers, stream_mode=modes))
    assert [list(update) for update in named(more, "updates")] == [["execute_tools"], ["call_model"]]
    assert texts(named(more, "values")[-1])[-1] == "It is 8."
    assert (await sdk.threads.get(thread))["status"] == "idle"


@pytest.mark.parametrize("answer", [True, {"decisions": [{"type": "approve"}]}])
async def test_an_answer_for_all_that_waits_will_do(
    sdk: LangGraphClient, thread: str, model_server: ModelServer, answer: Any
) -> None:
    await paused(sdk, thread, model_server)
    model_server.script(say("It is 8."))
    ended: Any = await sdk.runs.wait(thread, GRAPH, command={"resume": answer})
    assert texts(ended)[-1] == "It is 8."
    assert "__interrupt__" not in ended


async def test_a_message_takes_the_place_of_an_open_question(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    await paused(sdk, thread, model_server)
    model_server.script(say("As you like."), match="never mind")
    ended: Any = await sdk.runs.wait(thread, GRAPH, input=asks("never mind"))
    assert texts(ended)[-1] == "As you like."
    assert [m["type"] for m in ended["messages"]] == ["human", "ai", "tool", "human", "ai"]


async def test_history_has_one_state_before_a_turn_and_one_behind_it(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    for number in ("one", "two", "three"):
        model_server.script(say(f"answer {number}"), match=number)
        await sdk.runs.wait(thread, GRAPH, input=asks(number))
    states: Any = await sdk.threads.get_history(thread)
    assert [len(state["values"].get("messages", [])) for state in states] == [6, 5, 4, 3, 2, 1, 0]
    parents = [(state["parent_checkpoint"] or {}).get("checkpoint_id") for state in states]
    assert parents == [state["checkpoint"]["checkpoint_id"] for state in states[1:]] + [None]
    assert [state["next"] == [] for state in states] == [True, False, True, False, True, False, False]
    older = states[2]["checkpoint"]
    forms: list[Any] = [older["checkpoint_id"], older, {"configurable": older}]
    for before in forms:
        found = await sdk.threads.get_history(thread, before=before, limit=2)
        assert [state["checkpoint"] for state in found] == [s["checkpoint"] for s in states[3:5]]
    at: Any = await sdk.threads.get_state(thread, checkpoint=older)
    assert at == states[2] == await sdk.threads.get_state(thread, checkpoint_id=older["checkpoint_id"])
    only: Any = await sdk.threads.get_state(thread, select=["values.messages"])
    assert list(only) == ["values"]


async def test_a_message_is_edited_by_going_on_from_the_state_before_it(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    for number in ("first", "second"):
        model_server.script(say(f"to the {number}"), match=number)
        await sdk.runs.wait(thread, GRAPH, input=asks(number))
    states: Any = await sdk.threads.get_history(thread)
    before_second = states[1]["parent_checkpoint"]
    model_server.script(say("to the edited"), match="edited")
    ended: Any = await sdk.runs.wait(thread, GRAPH, input=asks("edited"), checkpoint=before_second)
    assert texts(ended) == ["first", "to the first", "edited", "to the edited"]
    now: Any = await sdk.threads.get_history(thread)
    siblings = [
        state for state in now if state["parent_checkpoint"] and state["parent_checkpoint"] == before_second
    ]
    assert len(siblings) == 2
    older: Any = await sdk.threads.get_state(thread, checkpoint=states[0]["checkpoint"])
    assert texts(older["values"]) == ["first", "to the first", "second", "to the second"]

    before_first = states[3]["parent_checkpoint"]
    model_server.script(say("to the other"), match="other")
    again: Any = await sdk.runs.wait(thread, GRAPH, input=asks("other"), checkpoint=before_first)
    assert texts(again) == ["other", "to the other"]


async def test_an_answer_is_given_again_from_the_state_that_asked(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(say("one way"), say("another way"), match="which way")
    await sdk.runs.wait(thread, GRAPH, input=asks("which way"))
    states: Any = await sdk.threads.get_history(thread)
    ended: Any = await sdk.runs.wait(thread, GRAPH, input=None, checkpoint=states[0]["parent_checkpoint"])
    assert texts(ended) == ["which way", "another way"]
    older: Any = await sdk.threads.get_state(thread, checkpoint=states[0]["checkpoint"])
    assert texts(older["values"]) == ["which way", "one way"]


async def test_a_stream_is_taken_up_behind_any_part_also_after_the_end(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(call(ADD, {"a": 5, "b": 3}), say("It is eight, I think."), match="taken up")
    modes: Any = ["values", "messages-tuple", "updates"]
    whole = await parts_of(
        sdk.runs.stream(thread, GRAPH, input=asks("taken up"), stream_mode=modes, context=FREE)
    )
    run_id = whole[0].data["run_id"]
    for last in ("-1", None):
        assert told(await joined(sdk, thread, run_id, modes, last)) == told(whole)
    for place in range(len(whole) - 1):
        rest = await joined(sdk, thread, run_id, modes, whole[place].id)
        assert told(rest) == told(whole[place + 1 :]), place


async def joined(sdk: LangGraphClient, thread: str, run_id: str, modes: Any, last: str | None) -> list[Any]:
    stream = sdk.runs.join_stream(thread, run_id, stream_mode=modes, last_event_id=last)
    return await parts_of(stream)


def told(parts: list[Any]) -> list[Any]:
    """The parts; the text of pieces that follow each other is one, as it may have been stored so."""
    found: list[Any] = []
    for part in parts:
        piece = part.event == "messages" and part.data[0].get("chunk_position") is None
        if piece and part.data[0]["type"] == "AIMessageChunk":
            text = part.data[0]["content"]
            if found and found[-1][0] == "text":
                found[-1] = ("text", found[-1][1] + text)
            else:
                found.append(("text", text))
        else:
            found.append((part.event, part.data))
    return found


async def test_a_run_in_the_background_is_joined_listed_and_deleted(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(say("done at last"), match="background")
    run = await sdk.runs.create(thread, GRAPH, input=asks("background"), metadata={"from": "a test"})
    assert run["status"] in ("pending", "running", "success")
    ended: Any = await sdk.runs.join(thread, run["run_id"])
    assert texts(ended)[-1] == "done at last"
    (listed,) = await sdk.runs.list(thread, status="success")
    assert listed["run_id"] == run["run_id"]
    assert listed["metadata"] == {"from": "a test"}
    await sdk.runs.delete(thread, run["run_id"])
    assert await sdk.runs.list(thread) == []
    assert len(texts((await sdk.threads.get_state(thread))["values"])) == 2


async def test_joining_a_run_gives_what_it_ended_with_also_when_others_came_behind_it(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    for what in ("first", "second"):
        model_server.script(call(ADD, {"a": 1, "b": 1}), say(f"the {what} answer"), match=f"{what} question")
    first, second = [
        (await sdk.runs.create(thread, GRAPH, input=asks(f"{what} question"), context=FREE))["run_id"]
        for what in ("first", "second")
    ]
    later: Any = await sdk.runs.join(thread, second)
    state = await sdk.threads.get_state(thread)
    await sdk.threads.update_state(thread, {"messages": [{"role": "user", "content": "noted"}]})
    ended: Any = await sdk.runs.join(thread, first)
    assert (texts(ended)[0], texts(ended)[-1]) == ("first question", "the first answer")
    assert len(ended["messages"]) == 4
    assert texts(later) == texts(state["values"])
    assert texts(later)[-1] == "the second answer"
    assert texts(await sdk.runs.join(thread, second)) == texts(later)


async def test_a_run_is_cancelled_and_the_next_one_waits_its_turn(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    model_server.script(hang(), match="hang")
    first = await sdk.runs.create(thread, GRAPH, input=asks("hang"))
    model_server.script(say("now it is my turn"), match="waits")
    second = await sdk.runs.create(thread, GRAPH, input=asks("waits"))
    assert second["status"] == "pending"
    with pytest.raises(ConflictError):
        await sdk.runs.create(thread, GRAPH, input=asks("no"), multitask_strategy="reject")
    assert (await sdk.threads.get(thread))["status"] == "busy"
    await sdk.runs.cancel(thread, first["run_id"], wait=True)
    assert (await sdk.runs.get(thread, first["run_id"]))["status"] == "interrupted"
    ended: Any = await sdk.runs.join(thread, second["run_id"])
    assert texts(ended)[-1] == "now it is my turn"
    await sdk.runs.cancel_many(thread_id=thread, run_ids=[first["run_id"], second["run_id"]])


async def test_a_failed_run_says_so_in_the_stream_in_wait_and_on_the_thread(
    sdk: LangGraphClient, thread: str, model_server: ModelServer
) -> None:
    context = {"model": "no-such-model"}
    with pytest.raises(UnprocessableEntityError):
        await sdk.runs.create(thread, GRAPH, input=asks("hi"), context=context)
    turn: Any = {"max_steps": 1, **FREE}
    model_server.script(call(ADD, {"a": 1, "b": 1}), call(ADD, {"a": 1, "b": 1}), match="too far")
    parts = await parts_of(sdk.runs.stream(thread, GRAPH, input=asks("too far"), context=turn))
    (error,) = named(parts, "error")
    assert error["error"] == "step_limit"
    model_server.script(call(ADD, {"a": 1, "b": 1}), call(ADD, {"a": 1, "b": 1}), match="again")
    with pytest.raises(Exception, match="step_limit"):
        await sdk.runs.wait(thread, GRAPH, input=asks("again"), context=turn)
    known: Any = await sdk.threads.get(thread)
    assert (known["status"], known["error"]["error"]) == ("error", "step_limit")


async def test_runs_without_a_thread_leave_none_behind(
    sdk: LangGraphClient, model_server: ModelServer
) -> None:
    model_server.script(say("gone with it"), match="stateless")
    ended: Any = await sdk.runs.wait(None, GRAPH, input=asks("stateless"))
    assert texts(ended)[-1] == "gone with it"
    model_server.script(say("streamed"), match="and streamed")
    parts = await parts_of(sdk.runs.stream(None, GRAPH, input=asks("and streamed")))
    assert texts(named(parts, "values")[-1])[-1] == "streamed"
    model_server.script(say("kept"), match="but kept")
    made: list[Any] = []
    kept = sdk.runs.stream(
        None, GRAPH, input=asks("but kept"), on_completion="keep", on_run_created=made.append
    )
    assert named(await parts_of(kept), "values")
    assert made[0]["thread_id"] is None
    batch = await sdk.runs.create_batch([{"assistant_id": GRAPH, "input": asks("hi")}])  # type: ignore[typeddict-item]
    assert len(batch) == 1
