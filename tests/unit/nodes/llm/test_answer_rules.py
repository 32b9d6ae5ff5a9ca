"""What an answer has to be: told to the model, sent where it is taken, judged, asked for once more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from core.errors import InvalidInput
from core.forms import ResponseFormat
from nodes.llm import Catalogue, LLMCaller, Model
from nodes.llm.answer_rules import AnswerRules
from nodes.llm.errors import AnswerMismatch
from nodes.llm.fake import ScriptedModel
from nodes.llm.provider import connect
from nodes.llm.settings import LLMSettings
from tests.unit.nodes.llm.conftest import entry, model
from tests.unit.nodes.llm.test_node import caller_of, turn
from waystation.testing.model_server import ModelServer, call, calls, refuse, say

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
OBJECT = json.dumps({"type": "json_object"})
SCHEMA = json.dumps({"type": "json_schema", "json_schema": {"name": "age", "schema": AGE, "strict": True}})
HI: list[BaseMessage] = [HumanMessage("How old is Ada?")]


def codes(events: list[dict[str, Any]]) -> list[str]:
    return [event["code"] for event in events if event["type"] == "notice"]


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["delta"] for event in events if event["type"] == "token"]


async def test_an_answer_of_the_form_leaves_in_one_piece_and_without_its_fence() -> None:
    scripted = ScriptedModel('```json\n{"age": 36}\n```')
    events, messages = await turn(caller_of(scripted), HI, config={"response_format": SCHEMA})
    assert texts(events) == [messages[-1].text] == ['{"age": 36}']
    assert codes(events) == []
    assert '"required": ["age"]' in scripted.seen[0][0].text


@pytest.mark.parametrize(
    ("form", "wrong", "why"),
    [
        (OBJECT, "She is 36.", "it is no JSON (She is 36.)"),
        (OBJECT, "[36]", "it is JSON, but no object"),
        (OBJECT, "", "it is no JSON (nothing was said)"),
        (OBJECT, '{"age": NaN}', "it is no JSON"),
        (SCHEMA, '{"age": "old"}', "age: 'old' is not of type 'integer'"),
        (SCHEMA, "{}", "'age' is a required property"),
    ],
)
async def test_one_of_another_form_is_asked_for_once_more_with_what_is_wrong(
    form: str, wrong: str, why: str
) -> None:
    scripted = ScriptedModel(wrong, '{"age": 36}')
    events, messages = await turn(caller_of(scripted), HI, config={"response_format": form})
    assert texts(events) == [messages[-1].text] == ['{"age": 36}']
    assert codes(events) == ["asked_again"]
    again = scripted.seen[1][-2:]
    assert [one.type for one in again] == ["ai", "human"] if wrong else ["human", "human"]
    assert why in again[-1].text
    assert [one.type for one in messages] == ["human", "ai"]
    (used,) = (event for event in events if event["type"] == "usage")
    # Both tries are paid for.
    assert used["output_tokens"] == len(wrong.split(" ")) + 2

    with pytest.raises(AnswerMismatch) as caught:
        await turn(caller_of(ScriptedModel(wrong)), HI, config={"response_format": form})
    assert why in caught.value.detail


async def test_a_cut_answer_is_not_asked_for_again(server: ModelServer) -> None:
    server.script(say('{"age": 3', finish_reason="length"))
    caller = LLMCaller(Catalogue({"main": model(server.url)}), lambda m: connect(m, LLMSettings()))
    with pytest.raises(AnswerMismatch, match="reached its limit before it was whole; raise max_tokens"):
        await turn(caller, HI, config={"response_format": OBJECT})
    await caller.aclose()
    assert len(server.requests()) == 1


async def test_what_is_said_beside_calls_is_not_held_to_the_form_and_is_no_part_of_the_answer(
    server: ModelServer,
) -> None:
    server.script(calls(("t", {}), text="I look it up."), say('{"age": 36}'))
    caller = LLMCaller(Catalogue({"main": model(server.url)}), lambda m: connect(m, LLMSettings()))
    events, messages = await turn(caller, HI, config={"response_format": OBJECT})
    assert texts(events) == []
    result = ToolMessage("36", tool_call_id=messages[-1].tool_calls[0]["id"])  # type: ignore[attr-defined]
    events, _ = await turn(caller, [*messages, result], config={"response_format": OBJECT})
    await caller.aclose()
    assert texts(events) == ['{"age": 36}']


async def test_a_number_in_brackets_is_a_list_and_no_citation() -> None:
    documents = [{"n": 1, "title": "T", "text": "Owls sleep."}]
    _, messages = await turn(
        caller_of(ScriptedModel('{"l": [7]}')), HI, documents=documents, config={"response_format": OBJECT}
    )
    assert messages[-1].text == '{"l": [7]}'


@pytest.mark.parametrize(("client", "bare"), [("lean", False), ("langchain", False), ("lean", True)])
async def test_an_endpoint_is_sent_the_form_and_the_call_where_it_takes_them(
    server: ModelServer, client: Any, *, bare: bool
) -> None:
    server.script(call("t", {}), say('{"age": 36}'))
    known: dict[str, Any] = {} if bare else {"supports_response_format": True}
    caller = LLMCaller(
        Catalogue({"main": model(server.url, client=client, **known)}), lambda m: connect(m, LLMSettings())
    )
    config = {"response_format": SCHEMA, "tool_choice": "t", "stop": ["END"], "parallel_tool_calls": False}
    _, messages = await turn(caller, HI, config=config)
    result = ToolMessage("36", tool_call_id=messages[-1].tool_calls[0]["id"])  # type: ignore[attr-defined]
    await turn(caller, [*messages, result], config={**config, "tool_choice": "none"})
    await caller.aclose()
    first, second = server.requests()
    assert first["tool_choice"] == {"type": "function", "function": {"name": "t"}}
    assert (first["stop"], first["parallel_tool_calls"]) == (["END"], False)
    # Beside tools most endpoints give no call, or refuse; the model is told in words.
    assert "response_format" not in first
    assert "fit this JSON schema" in first["messages"][0]["content"]
    assert "tools" not in second
    assert "tool_choice" not in second
    assert second.get("response_format") == (None if bare else json.loads(SCHEMA))


async def test_an_endpoint_that_does_not_take_the_form_is_asked_without_it(server: ModelServer) -> None:
    server.script(refuse(400), say('{"age": 36}'))
    caller = LLMCaller(
        Catalogue({"main": model(server.url, supports_response_format=True)}),
        lambda m: connect(m, LLMSettings()),
    )
    _, messages = await turn(caller, HI, config={"response_format": SCHEMA, "tool_choice": "none"})
    await caller.aclose()
    assert messages[-1].text == '{"age": 36}'
    assert ["response_format" in body for body in server.requests()] == [True, False]


@pytest.mark.parametrize("choice", ["required", "t"])
async def test_a_call_that_has_to_be_made_is_asked_for_once_more(choice: str) -> None:
    scripted = ScriptedModel("I would rather not.", ("t", "{}"))
    events, messages = await turn(caller_of(scripted), HI, config={"tool_choice": choice})
    assert codes(events) == ["asked_again"]
    assert [one["name"] for one in messages[-1].tool_calls] == ["t"]  # type: ignore[attr-defined]
    with pytest.raises(AnswerMismatch, match=r"it had to call (a tool|the tool t)"):
        await turn(caller_of(ScriptedModel("No.")), HI, config={"tool_choice": choice})


async def test_only_the_first_answer_of_a_turn_has_to_call() -> None:
    called = AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "c1", "type": "tool_call"}])
    before = [HumanMessage("a"), called, ToolMessage("x", tool_call_id="c1")]
    scripted = ScriptedModel("Done.")
    await turn(caller_of(scripted), before, config={"tool_choice": "required"})
    with pytest.raises(AnswerMismatch):
        await turn(caller_of(scripted), [*before, AIMessage("x"), *HI], config={"tool_choice": "required"})


async def test_a_call_of_a_tool_that_is_not_offered_cannot_be_wanted() -> None:
    with pytest.raises(
        InvalidInput, match="tool_choice: no tool 'nope' can be called in this turn; there are: t"
    ):
        await turn(caller_of(ScriptedModel()), HI, config={"tool_choice": "nope"})


async def test_of_several_calls_the_first_is_made_where_one_at_a_time_was_asked_for(
    server: ModelServer,
) -> None:
    server.script(calls(("t", {"n": 1}), ("t", {"n": 2})))
    caller = LLMCaller(Catalogue({"main": model(server.url)}), lambda m: connect(m, LLMSettings()))
    events, messages = await turn(caller, HI, config={"parallel_tool_calls": False})
    await caller.aclose()
    assert [one["args"] for one in messages[-1].tool_calls] == [{"n": 1}]  # type: ignore[attr-defined]
    assert codes(events) == ["calls_left_out"]


async def test_an_answer_ends_before_a_stop_that_the_endpoint_does_not_know(server: ModelServer) -> None:
    server.script(say("One, two END three", finish_reason="length"))
    caller = LLMCaller(Catalogue({"main": model(server.url)}), lambda m: connect(m, LLMSettings()))
    events, messages = await turn(caller, HI, config={"stop": [" END"]})
    await caller.aclose()
    assert "".join(texts(events)) == messages[-1].text == "One, two"
    assert codes(events) == []


@pytest.mark.parametrize(
    ("profile", "more", "tools", "sent"),
    [
        ("openai", {}, True, "json_schema"),
        ("vllm", {}, False, "json_schema"),
        ("vllm", {}, True, None),
        ("deepseek", {}, False, "json_object"),
        ("groq", {}, False, None),
        ("groq", {"supports_response_format": True}, False, "json_schema"),
        ("openai", {"supports_response_format": False}, False, None),
        ("default", {}, False, None),
    ],
)
def test_what_an_endpoint_takes_stands_in_its_profile_and_in_the_entry(
    profile: str, more: dict[str, Any], sent: str | None, *, tools: bool
) -> None:
    wanted = AnswerRules(ResponseFormat("age", AGE))
    found = wanted.parameters(entry("http://127.0.0.1:9/v1", profile=profile, **more), tools=tools)
    assert found.get("response_format", {}).get("type") == sent


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        (OBJECT, {"answer": "calc_add (a 5, b 3): 8"}),
        (
            json.dumps(
                {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "sum",
                        "schema": {
                            "type": "object",
                            "properties": {
                                "note": {"type": "string"},
                                "sum": {"type": "integer"},
                                "other": {"type": "number"},
                            },
                            "required": ["sum"],
                        },
                    },
                }
            ),
            {"note": "calc_add (a 5, b 3): 8", "sum": 8},
        ),
    ],
)
async def test_the_offline_model_fills_what_it_knows(form: str, answer: dict[str, Any]) -> None:
    caller = LLMCaller(Catalogue({"offline": Model("offline")}), lambda m: connect(m, LLMSettings()))
    made = {"name": "calc_add", "args": {"a": 5, "b": 3}, "id": "c1", "type": "tool_call"}
    said = [HumanMessage("5 + 3?"), AIMessage("", tool_calls=[made]), ToolMessage("8", tool_call_id="c1")]
    _, messages = await turn(caller, said, config={"response_format": form})
    assert json.loads(messages[-1].text) == answer


async def test_the_offline_model_makes_nothing_up_and_is_asked_once() -> None:
    caller = LLMCaller(Catalogue({"offline": Model("offline")}), lambda m: connect(m, LLMSettings()))
    with pytest.raises(
        AnswerMismatch, match="answer of the model 'offline' is not what was asked for: 'age'"
    ):
        await turn(caller, HI, config={"response_format": SCHEMA})
