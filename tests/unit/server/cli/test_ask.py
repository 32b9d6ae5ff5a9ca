"""How a turn looks in a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest

from core.access import Principal
from core.choices import Choices
from server.cli.ask import Question, Screen
from server.owner import request_of


def shown(*events: dict[str, Any]) -> tuple[str, str]:
    out, aside = io.StringIO(), io.StringIO()
    screen = Screen(out, aside)
    for event in events:
        screen.show(event)
    return out.getvalue(), aside.getvalue()


def test_tokens_go_to_stdout_and_the_line_is_closed() -> None:
    out, aside = shown(
        {"type": "token", "delta": "5 + 3"}, {"type": "token", "delta": " = 8"}, {"type": "done"}
    )
    assert out == "5 + 3 = 8\n"
    assert not aside


def ended(answer: str, status: str = "done") -> dict[str, Any]:
    return {"type": "done", "status": status, "answer": answer}


def test_an_answer_that_did_not_stream_is_shown_at_the_end() -> None:
    assert shown(ended("Eight."))[0] == "Eight.\n"
    called = {"type": "tool_call", "id": "1", "server": "s", "tool": "t", "arguments": {}}
    assert shown({"type": "token", "delta": "Eight."}, called, ended("Eight."))[0] == "Eight.\nEight.\n"


@pytest.mark.parametrize(
    ("said", "end", "seen"),
    [
        ("It is 8. ", ended("It is 8."), "It is 8. \n"),
        ("It is 7.\n\nIt is 8.", ended("It is 8."), "It is 7.\n\nIt is 8.\n"),
        ("It is 8.", ended("I do not say that."), "It is 8.\nI do not say that.\n"),
        ("It is", ended("", "cancelled"), "It is\n"),
    ],
    ids=["as it is kept", "begun again", "changed behind the model", "cancelled"],
)
def test_an_answer_that_streamed_is_shown_again_where_it_was_changed_alone(
    said: str, end: dict[str, Any], seen: str
) -> None:
    assert shown({"type": "token", "delta": said}, end)[0] == seen


def test_tool_calls_go_to_stderr() -> None:
    out, aside = shown(
        {"type": "token", "delta": "Let me see."},
        {"type": "tool_call", "server": "calculator", "tool": "add", "arguments": {"a": 5, "b": 3}},
        {"type": "tool_progress", "message": "half", "progress": 1},
        {"type": "tool_result", "status": "ok", "content": "8\n"},
        {"type": "file", "name": "a.csv", "size": 3, "key": "k"},
        {"type": "notice", "code": "offline", "detail": "offline"},
        {"type": "documents", "items": [], "failed": [{"source": "wiki", "reason": "down"}]},
        {"type": "documents", "items": [], "failed": []},
        {"type": "usage"},
    )
    assert out == "Let me see.\n"
    assert aside.splitlines() == [
        "  → calculator.add(a=5, b=3)",
        "  … half",
        "  ← ok: 8",
        "  + file a.csv (3 bytes, key k)",
        "  ! offline",
        "  ! wiki: down",
    ]


def test_long_results_are_shortened() -> None:
    _, aside = shown({"type": "tool_result", "status": "ok", "content": "x" * 500})
    assert len(aside) < 250


def test_arguments_that_are_no_object_are_shown_as_they_are() -> None:
    _, aside = shown({"type": "tool_call", "server": "", "tool": "add", "arguments": "{broken"})
    assert aside == "  → add({broken)\n"


@pytest.mark.parametrize(("approve", "word"), [(None, "ask"), (True, "auto"), (False, "deny")])
def test_the_flags_become_the_approval_mode(approve: bool | None, word: str) -> None:
    words = Question("hi", approve=approve).words((), None)
    assert request_of(Principal("a"), words).choices.approval == word


def test_a_resume_carries_no_message_and_no_files() -> None:
    question = Question("", thread="t", choices=Choices(sources=["s"], tools=[]))
    request = request_of(Principal("a"), question.words(("f",), {"approve": True}))
    assert (request.message, request.files, request.resume) == ("", (), {"approve": True})
    assert (request.choices.sources, request.choices.tools) == (("s",), ())
