"""What is left out of a conversation that is too long, and in which order."""

from __future__ import annotations

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from nodes.llm.models import LLMRequest
from nodes.llm.shortening import shorter


def turn(n: int, size: int = 10) -> list[BaseMessage]:
    calls = [{"name": "t", "args": {}, "id": f"c{n}", "type": "tool_call"}]
    result = ToolMessage("r" * size, tool_call_id=f"c{n}")
    return [HumanMessage(f"Q{n}?"), AIMessage("", tool_calls=calls), result, AIMessage(f"A{n}.")]


def asked(request: LLMRequest) -> list[str]:
    return [str(m.content) for m in request.messages if isinstance(m, HumanMessage)]


def test_m3_2_what_nobody_answered_goes_first_then_half_of_the_turns_each_time() -> None:
    messages = [*turn(0), HumanMessage("unanswered"), *turn(1), *turn(2), *turn(3), HumanMessage("now")]
    forms = list(shorter(LLMRequest(messages=messages, earlier="Asked: before?", notes=True)))
    assert [asked(form) for form in forms] == [
        ["Q0?", "Q1?", "Q2?", "Q3?", "now"],
        ["Q2?", "Q3?", "now"],
        ["Q3?", "now"],
        ["now"],
    ]
    assert forms[-1].earlier.startswith("Asked: before?")
    assert "Q3?" in forms[-1].earlier
    for form in forms:
        called = [c["id"] for m in form.messages if isinstance(m, AIMessage) for c in m.tool_calls]
        assert called == [m.tool_call_id for m in form.messages if isinstance(m, ToolMessage)]


def test_m3_2_long_results_of_the_newest_turn_are_cut_last() -> None:
    forms = list(shorter(LLMRequest(messages=[*turn(0), *turn(1, 50_000)[:3]])))
    assert [len(form.messages) for form in forms] == [3, 3, 3, 3]
    sizes = [len(str(form.messages[-1].content)) for form in forms]
    assert sizes[0] == 50_000
    assert 8_000 < sizes[1] < 8_200
    assert 1_000 < sizes[2] < 1_200
    assert 200 < sizes[3] < 400
    assert all(form.earlier == "" for form in forms)


def test_m3_2_long_arguments_of_the_newest_turn_are_cut_and_no_call_is_left_out() -> None:
    asked, calling, result, _ = turn(1, 10)
    assert isinstance(calling, AIMessage)
    calling.tool_calls[0]["args"] = {"text": "x" * 50_000, "more": [{"a": "y" * 900}], "n": 5, "short": "s"}
    before = calling.model_copy(deep=True)
    forms = list(shorter(LLMRequest(messages=[asked, calling, result])))
    found = [form.messages[1].tool_calls[0]["args"] for form in forms]  # type: ignore[attr-defined]  # an answer
    assert [len(args["text"]) // 100 for args in found] == [80, 10, 2]
    assert [len(args["more"][0]["a"]) // 100 for args in found] == [9, 9, 2]
    assert all(args["n"] == 5 and args["short"] == "s" for args in found)
    assert calling == before


def test_m3_2_a_single_message_has_no_shorter_form() -> None:
    assert list(shorter(LLMRequest(messages=[HumanMessage("x" * 100_000)]))) == []
    assert list(shorter(LLMRequest())) == []


def test_one_long_turn_before_a_short_one_goes_at_once() -> None:
    forms = list(shorter(LLMRequest(messages=[*turn(0, 90_000), *turn(1), HumanMessage("now")])))
    assert [asked(form) for form in forms] == [["Q1?", "now"], ["now"]]
