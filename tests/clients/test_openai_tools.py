"""Tools of the client over OpenAI's wire: the model asks, the `openai` package runs them and goes on."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from waystation.testing.model_server import ModelServer, call, say

PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Now.", "parameters": PLACE},
}
FLAT = {"type": "function", "name": "weather", "description": "Now.", "parameters": PLACE, "strict": None}


def asked(client: openai.OpenAI, messages: list[Any], **more: Any) -> Any:
    options = {"tools": [WEATHER], **more}
    return client.chat.completions.create(model="waystation", messages=messages, **options)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def result(call_id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def thread_of(completion: Any) -> str:
    return str(completion.model_extra["waystation"]["thread_id"])


def test_a_chat_calls_the_clients_tool_and_goes_on_on_its_thread_with_the_result(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(call("weather", {"place": "Rome"}), say("Rain."), say("Yes."))
    said: list[Any] = [user("How is it in Rome?")]
    paused = asked(client, said, seed=7)
    (choice,) = paused.choices
    (wanted,) = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert (wanted.function.name, json.loads(wanted.function.arguments)) == ("weather", {"place": "Rome"})
    first = model_server.requests()[-1]
    assert first["tools"][0]["function"]["name"] == "weather"
    assert first["tools"][1]["function"]["name"].startswith("calculator_")
    assert first["seed"] == 7

    said += [choice.message.model_dump(exclude_none=True), result(wanted.id, '{"sky": "rain"}')]
    over = asked(client, said)
    assert (over.choices[0].message.content, over.choices[0].finish_reason) == ("Rain.", "stop")
    told = [m for m in model_server.requests()[-1]["messages"] if m["role"] == "tool"]
    assert [m["content"] for m in told] == ['{"sky": "rain"}']
    with pytest.raises(openai.ConflictError) as twice:
        asked(client, said)
    assert twice.value.code == "nothing_to_resume"

    said += [{"role": "assistant", "content": "Rain."}, user("Really?")]
    behind = asked(client, said)
    assert behind.choices[0].message.content == "Yes."
    assert thread_of(paused) == thread_of(over) == thread_of(behind)


def test_a_stream_has_the_calls_whole_and_one_who_says_something_else_instead_is_answered(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(call("weather", {"place": "Bern"}), say("As you like."))
    said: list[Any] = [user("How is it in Bern?")]
    # The helper takes no others.
    strict: Any = [{"type": "function", "function": {**WEATHER["function"], "strict": True}}]
    with client.chat.completions.stream(model="waystation", messages=said, tools=strict) as stream:
        final = stream.get_final_completion()
    calls_told: Any = final.choices[0].message.tool_calls
    (wanted,) = calls_told
    assert final.choices[0].finish_reason == "tool_calls"
    assert (wanted.function.name, wanted.function.arguments) == ("weather", '{"place":"Bern"}')
    message = final.choices[0].message.model_dump(include={"role", "content"})
    calls = [{"id": wanted.id, "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    said += [{**message, "tool_calls": calls}, user("Never mind.")]
    over = asked(client, said)
    assert over.choices[0].message.content == "As you like."


def test_a_response_has_the_call_as_an_item_and_takes_its_output(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(call("weather", {"place": "Oslo"}), say("Snow."))
    tools: Any = [FLAT]
    paused = client.responses.create(model="waystation", input="How is it in Oslo?", tools=tools)
    item: Any = paused.output[0]
    assert (item.type, paused.status) == ("function_call", "completed")
    assert (item.name, item.arguments) == ("weather", '{"place":"Oslo"}')
    output: Any = [{"type": "function_call_output", "call_id": item.call_id, "output": "snow"}]
    *_, last = client.responses.create(
        model="waystation", previous_response_id=paused.id, input=output, tools=tools, stream=True
    )
    assert last.type == "response.completed"
    over = client.responses.retrieve(last.response.id)
    assert (over.output_text, [each.type for each in over.output]) == ("Snow.", ["message"])
    assert [each.type for each in client.responses.retrieve(paused.id).output] == ["function_call"]


def test_a_conversations_id_is_taken_where_a_responses_belongs(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    """As agent-framework sends it, for every conversation whose id does not begin as OpenAI's do."""
    model_server.script(call("weather", {"place": "Kiel"}), say("Wind."), say("A lot."))
    tools: Any = [FLAT]
    paused = client.responses.create(model="waystation", input="How is it in Kiel?", tools=tools)
    assert paused.conversation is not None
    behind = paused.conversation.id
    item: Any = paused.output[0]
    output: Any = [{"type": "function_call_output", "call_id": item.call_id, "output": "wind"}]
    over = client.responses.create(model="waystation", previous_response_id=behind, input=output, tools=tools)
    more = client.responses.create(model="waystation", previous_response_id=behind, input="How much?")
    assert (over.output_text, more.output_text) == ("Wind.", "A lot.")
    assert more.conversation == paused.conversation
    with pytest.raises(openai.NotFoundError) as none:
        client.responses.create(model="waystation", previous_response_id="resp_made_up", input="x")
    assert none.value.code == "run_not_found"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}}, "tool_choice"),
    ],
)
def test_what_cannot_be_done_with_tools_is_refused_by_its_name(
    client: openai.OpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        asked(client, [user("hi")], **more)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)


def test_a_result_that_nobody_waits_for_is_refused(client: openai.OpenAI) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    foreign = [user("hi"), {"role": "assistant", "content": None, "tool_calls": calls}, result("c1", "fine")]
    with pytest.raises(openai.ConflictError) as refused:
        asked(client, foreign)
    assert refused.value.code == "nothing_to_resume"
