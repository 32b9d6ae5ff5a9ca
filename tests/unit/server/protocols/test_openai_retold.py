"""What a further attempt of a run says again, on a wire that cannot take text back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from graph.runs.events import LoggedEvent
from server.protocols.openai.chunks import ChatStream
from server.protocols.openai.retold import Retold


def heard(events: list[str]) -> str:
    """What a reader has in the end; `|` is a further attempt, `!` a call of a tool."""
    retold, told = Retold(), ""
    for event in events:
        if event == "|":
            retold.begun()
        elif event == "!":
            retold.called()
        else:
            told += retold.told(event)
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


ATTEMPTS = [
    {"seq": 1, "type": "run_started", "attempt": 1},
    {"seq": 2, "type": "token", "delta": "one tw"},
    {"seq": 1001, "type": "run_started", "attempt": 2},
    {"seq": 1002, "type": "token", "delta": "one "},
    {"seq": 1003, "type": "token", "delta": "two"},
]


def test_a_stream_of_chunks_goes_on_where_the_attempt_before_broke_off() -> None:
    run: Any = SimpleNamespace(id="r_1", thread_id="t_1", record=SimpleNamespace(created_at=0.0))
    chat = ChatStream(run, model="waystation", with_usage=False, stall=1)
    found = [LoggedEvent(event) for event in ATTEMPTS]
    chunks = [orjson.loads(line.removeprefix(b"data: ")) for line in chat.encoded(found)]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "one tw", "o"]
