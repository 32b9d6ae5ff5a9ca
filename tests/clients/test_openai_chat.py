"""The `openai` package for Python against a real service: chat completions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.kit.http import sse
from waystation.testing.model_server import ModelServer, call, hang, refuse, say
from waystation.testing.service import Service

Messages = list[Any]


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with (
        openai.DefaultHttpxClient(trust_env=False, timeout=120) as http,
        openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", http_client=http) as client,
    ):
        yield client


def asked(client: openai.OpenAI, messages: Messages, **more: Any) -> Any:
    return client.chat.completions.create(model="waystation", messages=messages, **more)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def thread_of(completion: Any) -> str:
    return str(completion.model_extra["waystation"]["thread_id"])


def sent(model_server: ModelServer) -> list[tuple[str, str]]:
    """Role and text of what the model was sent last, without the system message."""
    last = model_server.requests()[-1]["messages"]
    return [(one["role"], one["content"]) for one in last if one["role"] != "system"]


def test_models_are_listed_and_found_by_an_id_with_a_slash(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names[0] == "waystation"
    assert "waystation/offline" in names
    assert client.models.retrieve("waystation/offline").id == "waystation/offline"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("waystation/none")
    assert caught.value.code == "model_not_found"


def test_a_whole_answer_has_text_reason_and_usage(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say("Hello you.", usage={"prompt_tokens": 7, "completion_tokens": 3}))
    found = asked(client, [user("hi")])
    assert found.object == "chat.completion"
    [choice] = found.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "Hello you.",
        "stop",
    )
    assert choice.message.tool_calls is None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (7, 3, 10)
    assert found.model == "waystation"
    assert found.id == found.model_extra["waystation"]["run_id"]


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_stream_has_the_role_first_one_reason_and_usage_only_where_it_is_asked_for(
    client: openai.OpenAI, model_server: ModelServer, *, with_usage: bool
) -> None:
    model_server.script(say("One two three.", reasoning="Count. "))
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    chunks: list[ChatCompletionChunk] = list(asked(client, [user("count")], stream=True, **options))
    first, *rest = [choice for chunk in chunks for choice in chunk.choices]
    assert (first.delta.role, first.delta.content, first.index) == ("assistant", "", 0)
    assert "".join(choice.delta.content or "" for choice in rest) == "One two three."
    assert "".join((c.delta.model_extra or {}).get("reasoning_content", "") for c in rest) == "Count. "
    assert [choice.finish_reason for choice in rest if choice.finish_reason] == ["stop"]
    assert rest[-1].finish_reason == "stop"
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1
    counted = [chunk for chunk in chunks if chunk.usage]
    assert len(counted) == with_usage
    if with_usage:
        assert counted == [chunks[-1]]
        assert chunks[-1].choices == []


def test_on_the_wire_are_data_lines_alone_and_done_is_the_last(service: Service) -> None:
    body = {"model": "waystation", "messages": [user("hi")], "stream": True}
    answer = httpx.post(f"{service.url}/v1/chat/completions", json=body, timeout=60, trust_env=False)
    events = sse(answer.text)
    assert {frozenset(event) for event in events} == {frozenset({"data"})}
    assert events[-1] == {"data": "[DONE]"}
    assert answer.headers["x-run-id"] == json.loads(events[0]["data"])["id"]
    assert answer.headers["x-thread-id"]


def test_the_helper_for_streams_reads_ours(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say("Hello you."))
    with client.chat.completions.stream(
        model="waystation", messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        kinds = {event.type for event in stream}
        whole = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert whole.choices[0].message.content == "Hello you."


def test_tools_of_the_service_run_and_are_not_told_as_calls(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    for stream in (True, False):
        model_server.script(call("calculator_add", {"a": 5, "b": 3}), say("It is 8."))
        found = asked(client, [user(f"sum {stream}")], stream=stream)
        if stream:
            deltas = [choice.delta for chunk in found for choice in chunk.choices]
            assert not any(delta.tool_calls for delta in deltas)
            assert "".join(delta.content or "" for delta in deltas) == "It is 8."
        else:
            assert found.choices[0].message.content == "It is 8."
            assert found.choices[0].finish_reason == "stop"
        assert model_server.requests()[-1]["messages"][-1]["content"] == "8"


def test_a_limit_reaches_the_model_and_a_cut_answer_says_so(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    for stream in (False, True):
        model_server.script(say("Cut here", finish_reason="length"))
        found = asked(
            client, [user(f"long {stream}")], stream=stream, max_completion_tokens=5, temperature=0.25
        )
        body = model_server.requests()[-1]
        assert (body.get("max_tokens") or body.get("max_completion_tokens"), body["temperature"]) == (5, 0.25)
        choices = [c for chunk in found for c in chunk.choices] if stream else found.choices
        assert choices[-1].finish_reason == "length"


def test_instructions_of_the_client_reach_the_model_behind_ours(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    asked(client, [{"role": "system", "content": "Speak like a pirate."}, user("hi")])
    system = model_server.requests()[-1]["messages"][0]
    assert system["role"] == "system"
    assert system["content"].endswith("Speak like a pirate.")
    assert sent(model_server) == [("user", "hi")]


def test_a_conversation_goes_on_on_its_thread(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say("Blue it is."), say("You said blue."))
    said = [user("My colour is blue.")]
    first = asked(client, said)
    said += [assistant(" Blue it is.\n"), user("Which colour?")]  # as clients trim what they keep
    second = asked(client, said)
    assert thread_of(second) == thread_of(first)
    assert sent(model_server) == [
        ("user", "My colour is blue."),
        ("assistant", "Blue it is."),
        ("user", "Which colour?"),
    ]


def test_what_a_stream_showed_before_a_tool_is_known_again(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(call("calculator_add", {"a": 5, "b": 3}, text="Let me add. "), say("It is 8."))
    chunks = list(asked(client, [user("Add 5 and 3.")], stream=True))
    shown = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    thread = chunks[-1].model_extra["waystation"]["thread_id"]
    assert shown == "Let me add. It is 8."
    assert thread_of(asked(client, [user("Add 5 and 3."), assistant(shown), user("Sure?")])) == thread


def test_an_edited_message_and_a_second_answer_are_branches(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(say("A."), say("B."), say("C."), say("D."))
    begun = [user("one"), assistant("A.")]
    first = asked(client, [user("one")])
    second = asked(client, [*begun, user("two")])
    edited = asked(client, [*begun, user("another two")])
    again = asked(client, [*begun, user("two")])
    assert thread_of(first) == thread_of(second)
    assert len({thread_of(one) for one in (second, edited, again)}) == 3
    assert sent(model_server) == [("user", "one"), ("assistant", "A."), ("user", "two")]
    # Each goes on where it is.
    after = asked(client, [*begun, user("another two"), assistant("C."), user("three")])
    assert thread_of(after) == thread_of(edited)


def test_a_foreign_history_is_what_the_model_sees(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say("Paris."))
    history = [
        user("Where were you?"),
        assistant("In Rome, with somebody else."),
        user("And then?"),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "trip", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "to Paris"},
        assistant("I went on."),
        user("Where to?"),
    ]
    found = asked(client, history)
    roles = [role for role, _ in sent(model_server)]
    assert roles == ["user", "assistant", "user", "assistant", "tool", "assistant", "user"]
    assert ("assistant", "In Rome, with somebody else.") in sent(model_server)
    assert ("tool", "to Paris") in sent(model_server)
    more = [*history, assistant("Paris."), user("Thanks")]
    assert thread_of(asked(client, more)) == thread_of(found)


def test_an_edited_answer_is_a_history_of_its_own(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say("The key is 1."), say("ok"))
    first = asked(client, [user("Tell me the key.")])
    second = asked(client, [user("Tell me the key."), assistant("The key is 2."), user("Repeat it.")])
    assert thread_of(second) != thread_of(first)
    assert ("assistant", "The key is 2.") in sent(model_server)


def test_a_named_thread_is_continued_whatever_the_client_remembers(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(say("First."), say("Second."), say("Third."))
    first = asked(client, [user("one")], extra_headers={"X-Thread-ID": "by-header"})
    assert thread_of(first) == "by-header"
    asked(client, [user("two")], metadata={"thread_id": "by-header"})
    asked(client, [user("three")], extra_body={"waystation": {"thread_id": "by-header", "tools": []}})
    assert [text for role, text in sent(model_server) if role == "user"] == ["one", "two", "three"]
    assert "tools" not in model_server.requests()[-1]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"functions": [{"name": "f", "parameters": {}}]}, "functions"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice"),
    ],
)
def test_what_is_not_done_is_refused_by_its_name(
    client: openai.OpenAI, more: dict[str, Any], field: str
) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            asked(client, [user("hi")], stream=stream, **more)
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", field)


def test_what_says_how_it_is_had_or_nobody_knows_is_read_over(client: openai.OpenAI) -> None:
    found = asked(
        client,
        [user("hi")],
        n=1,
        seed=7,
        user="somebody-else",
        safety_identifier="x",
        service_tier="flex",
        prompt_cache_key="k",
        prediction={"type": "content", "content": "Hello."},
        response_format={"type": "text"},
        tool_choice="auto",
        store=True,
        extra_body={"a_field_of_tomorrow": {"x": 1}},
    )
    assert found.choices[0].finish_reason == "stop"


def test_a_wrong_model_or_message_is_refused_before_a_stream_begins(client: openai.OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(
                model="gpt-4", messages=[{"role": "user", "content": "hi"}], stream=stream
            )
        assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as empty:
        asked(client, [assistant("I speak last.")])
    assert empty.value.code == "invalid_request"
    with pytest.raises(openai.BadRequestError) as hot:
        asked(client, [user("hi")], temperature=3)
    assert "temperature" in str(hot.value)


def test_a_failed_turn_is_an_error_with_our_code_and_is_not_tried_again(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(*[refuse(401)] * 2)
    with pytest.raises(openai.APIStatusError) as caught:
        asked(client, [user("hi")])
    assert (caught.value.status_code, caught.value.code) == (502, "model_refused")
    assert len(model_server.requests()) == 1
    with pytest.raises(openai.APIError) as broken:
        list(asked(client, [user("hi")], stream=True))
    assert broken.value.code == "model_refused"


def test_an_image_is_stored_as_a_file_of_the_turn(client: openai.OpenAI, service: Service) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    asked(client, [{"role": "user", "content": content}])
    stored = httpx.get(f"{service.url}/files", trust_env=False).json()
    assert stored[0]["content_type"] == "image/png"
    away = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    with pytest.raises(openai.BadRequestError) as caught:
        asked(client, [{"role": "user", "content": away}])
    assert caught.value.code == "unsupported_parameter"


def test_passages_come_as_annotations(client: openai.OpenAI, model_server: ModelServer) -> None:
    for stream in (False, True):
        model_server.script(say("Twelve euros a night [1]."))
        found = asked(client, [user("What is the fee for boats under eight metres?")], stream=stream)
        if stream:
            extras = [choice.delta.model_extra or {} for chunk in found for choice in chunk.choices]
            [cited] = [extra["annotations"] for extra in extras if "annotations" in extra]
        else:
            cited = [one.model_dump() for one in found.choices[0].message.annotations]
        assert cited[0]["type"] == "file_citation"
        assert cited[0]["file_citation"]["filename"] == "handbook.md"


def test_a_client_that_hangs_up_ends_its_turn(
    client: openai.OpenAI, service: Service, model_server: ModelServer
) -> None:
    model_server.script(hang())
    stream = asked(client, [user("wait")], stream=True)
    next(iter(stream))
    model_server.wait_for_active(1)
    run = stream.response.headers["x-run-id"]
    stream.close()
    ended = httpx.get(f"{service.url}/runs/{run}/wait", params={"timeout": 60}, timeout=90, trust_env=False)
    assert ended.json()["status"] == "cancelled"


def test_a_model_that_answers_makes_no_vectors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="waystation", input="hi")
    assert caught.value.code == "model_not_found"
