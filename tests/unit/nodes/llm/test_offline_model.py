"""The offline model: calls tools, states results, quotes, and never invents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from nodes.llm.offline.model import OfflineModel, reply
from nodes.llm.prompt import render
from tests.kit.bundled_tools import bundled_schemas
from waystation.testing.contracts.chat_model import answer

DOCUMENTS = [
    {"n": 1, "title": "Limits", "text": "# Limits\nA turn may take ten minutes. An upload may have 250 MiB."},
    {"n": 2, "title": "Threads", "text": "A thread has one run at a time."},
]
FILES = [{"name": "sales.csv", "media_type": "text/csv", "size": 12}]
TOOLS = list(bundled_schemas())


def system(*, documents: bool = True, files: bool = True) -> SystemMessage:
    return SystemMessage(render("Be brief.", DOCUMENTS if documents else [], FILES if files else []))


def call(name: str, args: dict[str, Any], call_id: str = "c1") -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": call_id, "type": "tool_call"}])


async def test_a_request_becomes_a_call_and_its_result_is_stated() -> None:
    question: list[BaseMessage] = [system(), HumanMessage("What is 5 + 3?")]
    _, first = await answer(OfflineModel(), question, tools=TOOLS)
    asked = first.message()
    assert [(c["name"], c["args"]) for c in asked.tool_calls] == [
        ("calculator_evaluate", {"expression": "5 + 3"})
    ]
    assert asked.tool_calls[0]["id"]
    result = ToolMessage("8", tool_call_id=asked.tool_calls[0]["id"])
    _, second = await answer(OfflineModel(), [*question, asked, result], tools=TOOLS)
    said = second.message()
    assert said.text == "5 + 3 = 8"
    assert said.tool_calls == []


def test_a_follow_up_goes_on_from_the_last_result() -> None:
    messages = [
        HumanMessage("What is 5 + 3?"),
        call("calculator_evaluate", {"expression": "5 + 3"}),
        ToolMessage("8", tool_call_id="c1"),
        AIMessage("5 + 3 = 8"),
        HumanMessage("And doubled?"),
    ]
    assert reply(messages, TOOLS).arguments == {"expression": "8 * 2"}


def test_a_follow_up_on_nothing_says_so() -> None:
    assert "no tool fits" in reply([HumanMessage("And doubled?")], TOOLS).text


def test_a_question_is_answered_by_quotes_with_their_number() -> None:
    found = reply([system(), HumanMessage("How large may an upload be?")], TOOLS)
    assert found.text == "“An upload may have 250 MiB.” [1]"


def test_what_is_not_there_is_not_answered() -> None:
    found = reply([system(), HumanMessage("What is the capital of France?")], TOOLS)
    assert "I found no sentence" in found.text
    assert "OPENAI_API_KEY" in found.text
    assert "calculator_add" in found.text
    assert "sales.csv" in found.text
    assert "Paris" not in found.text


def test_a_greeting_is_answered_by_what_it_can_do() -> None:
    found = reply([HumanMessage("hello")])
    assert found.text.startswith("I am the offline model.")
    assert "models.yaml" in found.text
    assert reply([]).text == found.text


def test_a_file_that_is_not_there_is_asked_for() -> None:
    found = reply([system(documents=False), HumanMessage("total of amount by region in other.csv")], TOOLS)
    assert "tables_aggregate may fit" in found.text
    assert "- filename" in found.text
    assert "Files of this thread: sales.csv." in found.text


def test_an_error_that_names_the_column_leads_to_one_more_call() -> None:
    args = {"filename": "sales.csv", "column": "amounts"}
    error = ToolMessage("no column 'amounts'; columns: region, amount", tool_call_id="c1", status="error")
    messages: list[BaseMessage] = [
        HumanMessage("total of amounts in sales.csv"),
        call("tables_aggregate", args),
        error,
    ]
    again = reply(messages, TOOLS)
    assert again.arguments == {"filename": "sales.csv", "column": "amount"}
    second = ToolMessage("no column 'amount'; columns: amounts", tool_call_id="c2", status="error")
    said = reply([*messages, call("tables_aggregate", dict(again.arguments), "c2"), second], TOOLS)
    assert said.text.startswith("The tool tables_aggregate reports an error")


def test_several_results_are_all_stated() -> None:
    asked = AIMessage(
        "",
        tool_calls=[
            {"name": "a", "args": {}, "id": "1", "type": "tool_call"},
            {"name": "b", "args": {}, "id": "2", "type": "tool_call"},
        ],
    )
    results = [ToolMessage("one", tool_call_id="1"), ToolMessage("two", tool_call_id="2", status="error")]
    orphan = ToolMessage("three", tool_call_id="9", name="z")
    text = reply([HumanMessage("x"), asked, *results, orphan]).text
    assert text == "a: one\n\nThe tool b reports an error: two\n\nz: three"


async def test_with_no_tools_nothing_is_called() -> None:
    _, whole = await answer(OfflineModel(), [HumanMessage("What is 5 + 3?")])
    assert whole.message().tool_calls == []


async def test_it_streams_word_by_word_and_counts_words() -> None:
    chunks, whole = await answer(OfflineModel(), [system(), HumanMessage("How large may an upload be?")])
    assert [c.content for c in chunks][:3] == ["“An", " upload", " may"]
    assert whole.usage is not None
    assert whole.usage["output_tokens"] == 7
    assert whole.served == "offline"


async def test_the_same_conversation_gives_the_same_answer() -> None:
    messages: list[BaseMessage] = [system(), HumanMessage("What is 5 + 3?", id="h1")]
    first, second = [(await answer(OfflineModel(), messages, tools=TOOLS))[1].message() for _ in range(2)]
    assert first.tool_calls == second.tool_calls


_TEXT = st.text(max_size=60) | st.sampled_from(["total of x by y", "5 + 3", "time in Tokyo", "that"])
_SCHEMA = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_PARAMETER = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "number", "integer", "boolean", "array", "object", None])},
    optional={
        "enum": st.lists(st.text(min_size=1, max_size=6), max_size=3),
        "description": st.text(max_size=20),
    },
)
_TOOL = st.builds(
    lambda name, text, properties, required: {
        "type": "function",
        "function": {
            "name": name,
            "description": text,
            "parameters": {"properties": properties, "required": required},
        },
    },
    st.text(min_size=1, max_size=12),
    st.text(max_size=30),
    st.dictionaries(
        st.sampled_from(["a", "b", "zone", "filename", "column", "expression", "query", "start", "by"]),
        _PARAMETER,
    ),
    st.lists(st.sampled_from(["a", "b", "zone", "filename", "nowhere"]), max_size=2),
)


@settings(deadline=None)
@given(_TEXT, st.lists(_TOOL, max_size=3), st.lists(st.text(max_size=80), max_size=2), _TEXT)
def test_it_never_fails_and_only_calls_bound_tools(
    text: str, tools: list[dict[str, Any]], passages: list[str], result: str
) -> None:
    documents = [{"n": n, "title": "t", "text": passage} for n, passage in enumerate(passages, 1)]
    messages: list[BaseMessage] = [SystemMessage(render("x", documents)), HumanMessage(text)]
    found = reply(messages, tools)
    assert bool(found.text) is not bool(found.tool)
    if found.tool:
        assert found.tool in {t["function"]["name"] for t in tools}
        json.dumps(dict(found.arguments))
        messages += [call(found.tool, dict(found.arguments)), ToolMessage(result, tool_call_id="c1")]
        assert reply(messages, tools).text


@given(st.lists(_SCHEMA, max_size=3))
def test_schemas_that_are_none_are_survived(schemas: list[Any]) -> None:
    wrapped = [{"function": {"name": "a", "parameters": s}} for s in schemas]
    assert reply([HumanMessage("What is 5 + 3 in Tokyo on 2026-01-01?")], wrapped) is not None


@pytest.mark.parametrize("text", ["“", "[1]", "\ud800", "\x00", "a" * 70_000, "((((" * 500, "1," * 5000])
def test_odd_texts_are_survived(text: str) -> None:
    assert reply([system(), HumanMessage(text)], TOOLS).text
