"""AG-UI's events of a run's own, and what is read from a request: the cases that no client shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from server.errors import InvalidRequest, UnsupportedParameter
from server.protocols.ag_ui.reading import read
from server.protocols.ag_ui.routes import _given_up, _payload
from server.protocols.ag_ui.translating import Translator
from server.protocols.ag_ui.words import SAID, interrupt, usage_of

STEPS: Any = {name: f"the_{name}" for name in ("config", "passages", "model", "tools", "files")}
OURS = {"run_id": "r_1", "thread_id": "t1"}
REPLY = {"answer": "", "status": "done", "citations": [], "files": [], "interrupts": []}


def translator() -> Translator:
    return Translator("t1", "r1", ours=OURS, state="no object", steps=STEPS)


def told(found: Iterable[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix(b"data: ")) for line in found]


def of(*events: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = translator()
    numbered = ({"seq": number, **each} for number, each in enumerate(events, start=1))
    return [event for each in numbered for event in told(made.events(each))]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_a_state_that_is_no_object_gives_way_to_ours() -> None:
    _, state = told(translator().begin())
    assert state["snapshot"] == {"waystation": OURS}


def test_an_answer_that_came_whole_is_told_before_the_end() -> None:
    found = of({"type": "done", **REPLY, "answer": "All at once."})
    assert kinds(found)[:3] == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
    assert found[1]["delta"] == "All at once."
    assert found[-1]["outcome"] == {"type": "success"}


def test_a_cancelled_run_closes_what_is_open_and_says_so() -> None:
    found = of({"type": "token", SAID: "One"}, {"type": "done", **REPLY, "status": "cancelled"})
    assert kinds(found)[-4:] == ["TEXT_MESSAGE_END", "STEP_FINISHED", "STATE_DELTA", "RUN_FINISHED"]
    assert found[-1]["outcome"] == {"type": "cancelled"}


def test_a_run_that_fails_in_the_middle_closes_everything_first() -> None:
    error = {"type": "error", "code": "turn_timed_out", "title": "Too late", "detail": "after 600 s"}
    used = {"type": "usage", "model": "m", "input_tokens": 2, "output_tokens": 1}
    found = of({"type": "reasoning", SAID: "Hm"}, used, error)
    assert kinds(found)[-5:] == [
        "REASONING_MESSAGE_END",
        "REASONING_END",
        "STEP_FINISHED",
        "STATE_DELTA",
        "RUN_ERROR",
    ]
    assert (found[-1]["code"], found[-1]["message"]) == ("turn_timed_out", "after 600 s")
    assert found[-1]["usage"] == [{"model": "m", "inputTokens": 2, "outputTokens": 1, "totalTokens": 3}]


def test_a_stream_that_ends_before_its_run_says_where_that_goes_on() -> None:
    made = translator()
    list(made.events({"type": "token", "seq": 1, SAID: "One"}))
    found = told(made.cut("draining", "later"))
    assert kinds(found) == ["TEXT_MESSAGE_END", "STEP_FINISHED", "STATE_DELTA", "RUN_ERROR"]
    assert made.ended


def test_another_attempt_goes_on_in_the_message_and_what_it_says_otherwise_stands_apart() -> None:
    found = of({"type": "token", SAID: "One"}, {"type": "run_started"}, {"type": "token", SAID: "Two"})
    assert kinds(found).count("TEXT_MESSAGE_START") == 1
    said = [event["delta"] for event in found if event["type"] == "TEXT_MESSAGE_CONTENT"]
    assert said == ["One", "\n\nTwo"]


def test_files_are_told_by_themselves_and_in_the_state() -> None:
    file = {"type": "file", "key": "k", "name": "a.csv", "media_type": "text/csv", "size": 3}
    found = of(file, {"type": "tool_call", "id": "c", "server": "s", "tool": "t", "arguments": {}}, file)
    assert [event["stepName"] for event in found if event["type"] == "STEP_STARTED"] == [
        "the_files",
        "the_tools",
    ]
    deltas = [event["delta"][0]["value"] for event in found if event["type"] == "STATE_DELTA"]
    assert [len(each) for each in deltas] == [1, 2]


def test_a_result_whose_call_was_not_told_brings_it_along() -> None:
    found = of({"type": "tool_result", "id": "c", "server": "s", "tool": "t", "status": "denied"})
    assert kinds(found) == [
        "STEP_STARTED",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
    ]
    assert found[-1]["content"] == ""


def test_what_only_detailed_runs_tell_is_passed_over_and_notices_are_ours() -> None:
    found = of({"type": "answer", "id": "a"}, {"type": "notice", "code": "answer_cut", "run_id": "r_1"})
    assert found == [{"type": "CUSTOM", "name": "notice", "value": {"code": "answer_cut"}}]


@pytest.mark.parametrize(
    ("question", "reason", "required"),
    [
        ({"id": "1", "kind": "approval", "call": {"id": "c"}}, "tool_call", ["approve"]),
        ({"id": "1", "kind": "elicitation", "schema": {"type": "object"}}, "input_required", ["action"]),
        ({"id": "1", "kind": "budget"}, "budget", ["approve"]),
        ({"id": "1", "kind": "credential"}, "credential", None),
    ],
)
def test_a_question_has_a_reason_and_a_schema_by_its_kind(
    question: dict[str, Any], reason: str, required: Any
) -> None:
    found = interrupt(question)
    assert (found["id"], found["reason"]) == ("1", reason)
    assert found.get("responseSchema", {}).get("required") == required
    assert ("toolCallId" in found) == ("call" in question)


def test_an_answer_that_is_given_up_refuses_by_the_kind_of_its_question() -> None:
    assert _given_up("elicitation") == {"action": "cancel"}
    assert _given_up("credential") == {"decline": True}
    assert _given_up("approval") == _given_up(None) == {"approve": False}
    assert _payload({"approved": True, "reason": "x"}) == {"approve": True, "reason": "x"}
    assert _payload([1]) == [1]


def test_usage_without_a_models_name_has_none() -> None:
    assert usage_of([{"input_tokens": 1}]) == [{"inputTokens": 1, "outputTokens": 0, "totalTokens": 1}]


def body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    listed = [{"id": str(number), **each} for number, each in enumerate(messages)]
    return {"threadId": "t1", "runId": "r1", "messages": listed, **more}


def test_messages_of_the_user_in_a_row_are_one_and_keep_their_files() -> None:
    data = {"type": "data", "value": "aGk=", "mimeType": "text/plain"}
    asked = read(
        body(
            {"role": "user", "content": "one"},
            {"role": "user", "content": [{"type": "document", "source": data}]},
            {"role": "user", "content": "two"},
        )
    )
    [said] = asked.said
    assert said.text == "one\n\ntwo"
    assert [file.name for file in asked.content.files] == ["document-1.txt"]
    assert len(said.others) == 1


@pytest.mark.parametrize(
    ("source", "name", "key"),
    [
        ({"type": "file", "value": "f_1"}, "", "f_1"),
        ({"type": "url", "value": "data:image/png;base64,aGk="}, "image-1.png", ""),
    ],
)
def test_a_file_is_bytes_or_the_key_of_one(source: dict[str, Any], name: str, key: str) -> None:
    asked = read(body({"role": "user", "content": [{"type": "image", "source": source}]}))
    [file] = asked.content.files
    assert (file.name, file.key) == (name, key)
    assert asked.said[-1].text == "(a file)"


def test_arguments_are_kept_as_they_came() -> None:
    calls = [
        {"id": key, "type": "function", "function": {"name": "f", "arguments": given}}
        for key, given in (("a", "{"), ("b", "[1]"), ("c", '{"x": 1}'))
    ]
    asked = read(body({"role": "assistant", "toolCalls": calls}, {"role": "user", "content": "go on"}))
    assert [arguments for _, _, arguments in asked.said[0].calls] == [
        "{",
        "[1]",
        '{"x": 1}',
    ]


def test_an_empty_answer_is_not_said_and_too_many_messages_are_refused() -> None:
    asked = read(body({"role": "assistant", "content": ""}, {"role": "user", "content": "hi"}))
    assert [said.role for said in asked.said] == ["user"]
    with pytest.raises(InvalidRequest, match="at most 2000"):
        read(body(*[{"role": "user", "content": "hi"}] * 2001))
    source = {"type": "url", "value": "https://x.example/a.png"}
    elsewhere = body({"role": "user", "content": [{"type": "image", "source": source}]})
    with pytest.raises(UnsupportedParameter, match="addresses are not fetched"):
        read(elsewhere)
