"""What a further attempt of a run says again, on wires that cannot take text back."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from graph.runs.events import LoggedEvent
from graph.runs.streams import WAITS
from server.protocols.a2a.stream import TaskStream
from server.protocols.ag_ui.translating import Translator as AgUi
from server.protocols.langgraph.translating import Translator as LangGraph
from server.protocols.openai.chunks import ChatStream
from server.protocols.openai.items import EchoedRequest
from server.protocols.openai.stream import ResponseStream
from server.repeats import RepeatedText, WithoutRepeats


def heard(events: list[str]) -> str:
    """What a reader has in the end; `|` is a further attempt, `!` a call of a tool."""
    repeats, told = RepeatedText(), ""
    for event in events:
        if event == "|":
            repeats.attempt_began()
        elif event == "!":
            repeats.tool_called()
        else:
            told += repeats.unsent(event)
    return told


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (["|", "one ", "two"], "one two"),
        (["|", "one ", "tw", "|", "one", " two", " three"], "one two three"),
        (["|", "one ", "|", "o", "|", "one t", "wo"], "one two"),
        (["|", "one ", "|", "one two", "|", "one ", "two three"], "one two three"),
        (["|", "one two", "|", "one"], "one two"),
    ],
)
def test_what_an_attempt_says_again_is_told_once(events: list[str], text: str) -> None:
    assert heard(events) == text


def test_another_answer_stands_apart_from_what_cannot_be_taken_back() -> None:
    assert heard(["|", "one ", "|", "on", "ly", " this"]) == "one \n\nonly this"
    assert heard(["|", "one ", "|", "only", "|", "one ", "\n\nonly", " this"]) == "one \n\nonly this"


def test_what_was_said_before_a_call_of_a_tool_is_not_waited_for_again() -> None:
    assert heard(["|", "one ", "!", "two ", "|", "two ", "three"]) == "one two three"
    assert heard(["|", "one ", "!", "|", "one "]) == "one one "


REPLY = {
    "answer": "one two",
    "status": "done",
    "thread_id": "t_1",
    "run_id": "r_1",
    "interrupts": [],
    "citations": [],
    "files": [],
    "tool_calls": [],
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
WAITING = {"seq": 2, "type": "notice", "code": WAITS, "detail": "none has taken it up yet"}
ATTEMPTS = [
    {"seq": 1, "type": "run_started", "attempt": 1},
    {"seq": 2, "type": "token", "delta": "one tw"},
    WAITING,
    {"seq": 1001, "type": "run_started", "attempt": 2},
    {"seq": 1002, "type": "reasoning", "delta": "Hm"},
    {"seq": 1003, "type": "token", "delta": "one "},
    {"seq": 1004, "type": "token", "delta": "two"},
    {"seq": 1005, "type": "done", **REPLY},
]
FOUND = [LoggedEvent(event) for event in ATTEMPTS]
RUN: Any = SimpleNamespace(
    id="r_1",
    thread_id="t_1",
    record=SimpleNamespace(created_at=0.0, id="r_1", thread_id="t_1", message_id="m"),
)


def lines_of(parts: Iterable[bytes]) -> list[Any]:
    return [
        orjson.loads(line.removeprefix(b"data: "))
        for part in parts
        for line in part.splitlines()
        if line.startswith(b"data: {")
    ]


def test_thoughts_and_words_are_told_apart_and_nothing_twice() -> None:
    repeats = WithoutRepeats()
    told = [repeats.of(event) for event in (*ATTEMPTS[:5], *ATTEMPTS[3:])]
    said = [(event["type"], event["delta"]) for event in told if event and "delta" in event]
    assert said == [("token", "one tw"), ("reasoning", "Hm"), ("token", "o")]
    repeats.anew()
    assert repeats.of({"type": "token", "delta": "one"}) == {"type": "token", "delta": "one"}


def test_a_stream_of_chunks_goes_on_where_the_attempt_before_broke_off_and_says_that_it_waits() -> None:
    chat = ChatStream(RUN, model="waystation", with_usage=False, stall=1)
    chunks = lines_of(chat.encoded(FOUND))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["content"] for delta in deltas if "content" in delta] == ["", "one tw", "o"]
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == ["Hm"]
    notices = [chunk["waystation"] for chunk in chunks if "notice" in chunk.get("waystation", {})]
    assert notices == [{"notice": {"code": WAITS, "detail": "none has taken it up yet"}}]


def test_a_task_of_a2a_goes_on_in_its_artifact_and_is_submitted_while_it_waits() -> None:
    task = TaskStream(RUN, rpc_id=1, base="", history=None, stall=1)
    task._begun = True
    told = [line["result"] for line in lines_of(task.encoded(FOUND))]
    pieces = [each["artifactUpdate"] for each in told if "artifactUpdate" in each]
    texts = [(piece["artifact"]["parts"][0]["text"], piece.get("append", False)) for piece in pieces]
    # The last piece is the whole answer, which replaces what came before.
    assert texts == [("one tw", False), ("o", True), ("one two", False)]
    states = [each["statusUpdate"]["status"]["state"] for each in told if "statusUpdate" in each]
    assert states == [f"TASK_STATE_{name}" for name in ("WORKING", "SUBMITTED", "WORKING", "COMPLETED")]


def test_a_message_of_ag_ui_goes_on_and_a_notice_says_that_it_waits() -> None:
    steps: Any = dict.fromkeys(("config", "passages", "model", "tools", "files"), "step")
    made = AgUi("t", "r", ours={"run_id": "r_1"}, state=None, steps=steps)
    without_thoughts = [event for event in ATTEMPTS if event["type"] != "reasoning"]
    told = lines_of([part for event in without_thoughts for part in made.events(event)])
    texts = [event for event in told if event["type"].startswith("TEXT_MESSAGE")]
    assert [event["type"].removeprefix("TEXT_MESSAGE_") for event in texts] == [
        "START", "CONTENT", "CONTENT", "END",
    ]  # fmt: skip
    assert "".join(event.get("delta", "") for event in texts) == "one two"
    assert len({event["messageId"] for event in texts}) == 1
    (notice,) = [event for event in told if event["type"] == "CUSTOM"]
    assert (notice["name"], notice["value"]["code"]) == ("notice", WAITS)


def answers(*ids: str) -> list[dict[str, Any]]:
    """The attempts as a run tells them that says under which id each answer will stand."""
    ids_left, found = iter(ids), list[dict[str, Any]]()
    for event in ATTEMPTS[:-1]:
        found.append(event)
        if event["type"] == "run_started":
            found.append({"seq": event["seq"], "type": "answer", "id": next(ids_left)})
    return found


@pytest.mark.parametrize(
    ("ids", "pieces"),
    [
        (("ai-1", "ai-1"), [("ai-1", "one tw"), ("ai-1", ""), ("ai-1", "o")]),
        (("ai-1", "ai-2"), [("ai-1", "one tw"), ("ai-2", ""), ("ai-2", "one "), ("ai-2", "two")]),
    ],
)
def test_a_message_of_langgraphs_wire_goes_on_where_it_is_the_same(
    ids: tuple[str, str], pieces: list[tuple[str, str]]
) -> None:
    wire = LangGraph("r_1", "t_1", ["messages-tuple"], model="call_model", tools="execute_tools")
    parts = [part for event in answers(*ids) for part in wire.parts(event)]
    told = [orjson.loads(data)[0] for name, data in parts if name == b"messages"]
    assert [(piece["id"], piece["content"]) for piece in told] == pieces


def test_a_response_is_queued_while_it_waits_and_its_numbers_grow() -> None:
    told = EchoedRequest(model="waystation")
    stream = ResponseStream(RUN, told=told, stall=1)
    found = lines_of(stream.encoded(FOUND[:5]))
    numbers = [event["sequence_number"] for event in found]
    assert numbers == sorted(set(numbers))
    assert [event["type"] for event in found][-1] == "response.queued"
    assert found[-1]["response"]["status"] == "queued"
