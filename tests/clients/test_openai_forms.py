"""Answers of a form over OpenAI's wire: what the `openai` package parses into a model of pydantic."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.clients.test_openai_tools import FLAT, WEATHER
from tests.kit.http import data_of
from waystation.testing.model_server import ModelServer, call, calls, say
from waystation.testing.service import Service

ASKED: list[Any] = [{"role": "user", "content": "How old is Ada?"}]


class Person(BaseModel):
    name: str
    age: int


ADA = Person(name="Ada", age=36)
SAID = ADA.model_dump_json()


def test_a_chat_is_parsed_whole_and_as_a_stream(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say(f"Here you are: {SAID}"), say(f"```json\n{SAID}\n```"), say(SAID))
    found = client.chat.completions.parse(model="waystation", messages=ASKED, response_format=Person)
    assert found.choices[0].message.parsed == ADA
    assert "it is no JSON" in model_server.requests()[1]["messages"][-1]["content"]
    with client.chat.completions.stream(model="waystation", messages=ASKED, response_format=Person) as stream:
        parsed = stream.get_final_completion().choices[0].message
    assert (parsed.parsed, parsed.content) == (ADA, SAID)


def test_a_response_is_parsed_and_tells_its_format(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say(SAID), say(SAID))
    found = client.responses.parse(model="waystation", input="How old is Ada?", text_format=Person)
    assert found.output_parsed == ADA
    assert found.text is not None
    assert found.text.format is not None
    assert found.text.format.type == "json_schema"
    with client.responses.stream(model="waystation", input="And now?", text_format=Person) as stream:
        assert stream.get_final_response().output_parsed == ADA


def test_an_answer_that_stays_of_another_form_is_an_error_and_no_answer(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    form: Any = {"type": "json_object"}
    model_server.script(*[say("No idea.")] * 6)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="waystation", messages=ASKED, response_format=form)
    assert (caught.value.status_code, caught.value.code) == (502, "answer_mismatch")
    with pytest.raises(openai.APIError) as broken:
        list(
            client.chat.completions.create(
                model="waystation", messages=ASKED, response_format=form, stream=True
            )
        )
    assert broken.value.code == "answer_mismatch"
    failed = client.responses.create(model="waystation", input="x", text={"format": form})
    assert failed.status == "failed"
    assert failed.error is not None
    assert str(failed.error.code) == "answer_mismatch"


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"type": "yaml"}, "response_format.type must be one of text, json_object, json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "y"}}}, "cannot be used"),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"d": "x" * 70_000}}},
            "shorter schema",
        ),
    ],
)
def test_a_form_that_is_none_is_refused_by_its_name(client: openai.OpenAI, form: Any, says: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="waystation", messages=ASKED, response_format=form)
    assert caught.value.param == "response_format"
    assert says in str(caught.value)


def test_what_is_chosen_reaches_the_model(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say("One END two"))
    found = client.chat.completions.create(
        model="waystation",
        messages=ASKED,
        stop=" END",
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        reasoning_effort="low",
        verbosity="high",
        parallel_tool_calls=False,
    )
    assert (found.choices[0].message.content, found.choices[0].finish_reason) == ("One", "stop")
    body = model_server.requests()[-1]
    assert (body["stop"], body["presence_penalty"], body["frequency_penalty"]) == ([" END"], 0.5, -0.5)
    assert (body["reasoning_effort"], body["verbosity"]) == ("low", "high")
    assert body["parallel_tool_calls"] is False
    for wrong, name in (
        ({"stop": ["a"] * 5}, "stop"),
        ({"reasoning_effort": "a lot"}, "reasoning_effort"),
        ({"presence_penalty": 3}, "presence_penalty"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="waystation", messages=ASKED, **wrong)
        assert caught.value.param == name


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("required", "required"),
        ({"type": "function", "function": {"name": "weather"}}, "weather"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [WEATHER]}},
            "required",
        ),
    ],
)
def test_a_call_of_the_clients_tool_is_forced_once(
    client: openai.OpenAI, model_server: ModelServer, choice: Any, sent: str
) -> None:
    model_server.script(say("Sunny, I guess."), call("weather", {"place": "Rome"}), say("Rain."))
    other = {"type": "function", "function": {"name": "other"}}
    more: dict[str, Any] = {"model": "waystation", "tools": [WEATHER, other], "tool_choice": choice}
    paused = client.chat.completions.create(messages=ASKED, **more)
    calls_made: list[Any] = list(paused.choices[0].message.tool_calls or ())
    (made,) = calls_made
    body = model_server.requests()[-1]
    named = (
        body["tool_choice"]
        if isinstance(body["tool_choice"], str)
        else body["tool_choice"]["function"]["name"]
    )
    offered = [tool["function"]["name"] for tool in body["tools"]]
    assert named == sent
    assert ("other" in offered) is (choice["type"] == "function" if isinstance(choice, dict) else True)
    said = [*ASKED, paused.choices[0].message, {"role": "tool", "tool_call_id": made.id, "content": "rain"}]
    found = client.chat.completions.create(messages=said, **more)
    assert found.choices[0].message.content == "Rain."
    assert "tool_choice" not in model_server.requests()[-1]


def test_a_response_can_force_a_call_and_have_one_at_a_time(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(calls(("weather", {"place": "Rome"}), ("weather", {"place": "Oslo"})))
    more: dict[str, Any] = {"tools": [FLAT], "tool_choice": {"type": "function", "name": "weather"}}
    paused = client.responses.create(model="waystation", input="x", parallel_tool_calls=False, **more)
    assert [json.loads(item.arguments) for item in paused.output if item.type == "function_call"] == [
        {"place": "Rome"}
    ]


def test_a_form_is_a_choice_on_our_own_wire_too(service: Service, model_server: ModelServer) -> None:
    model_server.script(say("Well."), say(SAID))
    config = {"configurable": {"response_format": '{"type": "json_object"}'}}
    body = {"input": {"message": "How old is Ada?"}, "config": config}
    with httpx.stream("POST", f"{service.url}/agent/stream", json=body, trust_env=False, timeout=60) as found:
        events = data_of(found.read().decode())
    assert [event["delta"] for event in events if event["type"] == "token"] == [SAID]
    assert "asked_again" in [event.get("code") for event in events]
    assert events[-1]["answer"] == SAID
