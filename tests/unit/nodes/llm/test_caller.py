"""The caller against a real OpenAI-compatible server that plays scripts."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from core.access import Principal
from core.errors import WaystationError
from nodes.llm import LLMCaller, LLMChunk, LLMRequest, LLMResponse, Model
from nodes.llm.errors import (
    ModelContextFull,
    ModelNotFound,
    ModelRateLimited,
    ModelRefused,
    ModelStreamCut,
    ModelTimedOut,
    ModelUnavailable,
)
from nodes.llm.models import MALFORMED
from tests.unit.nodes.llm.conftest import MakeCaller, model
from waystation.testing.model_server import ModelServer, call, calls, hang, refuse, say

pytestmark = pytest.mark.slow

TOOL = {
    "type": "function",
    "function": {
        "name": "calc_add",
        "description": "Add",
        "parameters": {"type": "object", "properties": {}},
    },
}


def ask(text: str = "hi", **values: Any) -> LLMRequest:
    return LLMRequest(messages=[HumanMessage(text)], **values)


async def collect(caller: LLMCaller, request: LLMRequest) -> tuple[list[LLMChunk], LLMResponse]:
    items = [item async for item in caller.stream(request)]
    last = items[-1]
    assert isinstance(last, LLMResponse)
    return [i for i in items[:-1] if isinstance(i, LLMChunk)], last


async def test_tokens_come_one_by_one_and_the_response_last(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script(say("Hello over there", usage={"prompt_tokens": 7, "completion_tokens": 3}))
    chunks, response = await collect(make_caller(model(server.url)), ask())
    assert [c.text for c in chunks] == ["Hello ", "over ", "there"]
    assert response.text == "Hello over there"
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 3)
    assert response.usage.model == "main"
    assert response.usage.cost is None
    assert response.message.id


async def test_a_known_price_gives_a_cost(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(say("x", usage={"prompt_tokens": 1_000_000, "completion_tokens": 500_000}))
    response = await make_caller(model(server.url, input_price=2.0, output_price=4.0)).call(ask())
    assert response.usage.cost == 4.0


async def test_reasoning_is_told_apart_from_text(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(say("Four.", reasoning="two and two"))
    chunks, response = await collect(make_caller(model(server.url)), ask())
    assert "".join(c.reasoning for c in chunks) == "two and two"
    assert response.text == "Four."


async def test_settings_of_the_entry_reach_the_endpoint(server: ModelServer, make_caller: MakeCaller) -> None:
    caller = make_caller(
        model(
            server.url + "/chat/completions",
            temperature=0,
            max_tokens=77,
            extra_headers={"X-Team": "blue"},
            pass_user_as_customer_id=True,
        ),
        system_prompt="Be kind.",
    )
    await caller.call(ask(principal=Principal("ada"), tools=[TOOL]))
    await caller.call(ask(sampling={"temperature": 1.5}))
    first, second = server.requests()
    assert first["temperature"] == 0
    assert first["max_tokens"] == 77
    assert first["user"] == "ada"
    assert first["tools"][0]["function"]["name"] == "calc_add"
    assert first["messages"][0] == {"role": "system", "content": "Be kind."}
    assert second["temperature"] == 1.5
    assert "top_p" not in second
    assert "user" not in second
    assert "tools" not in second
    assert server.headers()[0]["x-team"] == "blue"
    assert server.headers()[0]["authorization"] == "Bearer sk-secret"


async def test_a_model_without_tools_is_offered_none(server: ModelServer, make_caller: MakeCaller) -> None:
    await make_caller(model(server.url, supports_tools=False)).call(ask(tools=[TOOL]))
    assert "tools" not in server.requests()[0]


async def test_parallel_tool_calls_arrive_whole(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(calls(("calc_add", {"a": 5, "b": 3}), ("clock_now", {"zone": "Asia/Tokyo"})))
    response = await make_caller(model(server.url)).call(ask())
    assert [(c["name"], c["args"]) for c in response.tool_calls] == [
        ("calc_add", {"a": 5, "b": 3}),
        ("clock_now", {"zone": "Asia/Tokyo"}),
    ]
    assert response.finish == "tool_calls"


async def test_malformed_arguments_stay_as_a_call(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(calls(("calc_add", '{"a": 5, "b"'), ("calc_add", "[1]"), ("calc_add", "")))
    response = await make_caller(model(server.url)).call(ask())
    assert [c["args"] for c in response.tool_calls] == [{MALFORMED: '{"a": 5, "b"'}, {MALFORMED: "[1]"}, {}]
    assert response.message.invalid_tool_calls == []


async def test_missing_and_repeated_call_ids_become_unique(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    caller = make_caller(model(server.url))
    server.script(calls(("a", {}), ("b", {}), ids=["", "same"]), call("c", {}, ids=["same"]))
    first = await caller.call(ask())
    earlier: list[BaseMessage] = [HumanMessage("hi"), first.message]
    earlier += [ToolMessage("ok", tool_call_id=c["id"] or "") for c in first.tool_calls]
    second = await caller.call(LLMRequest(messages=[*earlier, HumanMessage("more")]))
    ids = [c["id"] for c in [*first.tool_calls, *second.tool_calls]]
    assert all(ids)
    assert len(set(ids)) == 3


async def test_a_tool_loop_is_accepted_by_the_endpoint(server: ModelServer, make_caller: MakeCaller) -> None:
    caller = make_caller(model(server.url))
    server.script(call("calc_add", {"a": 5, "b": 3}), say("It is 8."))
    first = await caller.call(ask("5 + 3?"))
    result = ToolMessage("8", tool_call_id=first.tool_calls[0]["id"] or "")
    second = await caller.call(LLMRequest(messages=[HumanMessage("5 + 3?"), first.message, result]))
    assert second.text == "It is 8."


async def test_an_unanswered_call_is_answered_before_it_is_sent(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    dangling = AIMessage("", tool_calls=[{"name": "calc_add", "args": {}, "id": "c1", "type": "tool_call"}])
    request = LLMRequest(messages=[HumanMessage("5 + 3?"), dangling, HumanMessage("hello?")])
    await make_caller(model(server.url)).call(request)
    assert [m["role"] for m in server.requests()[0]["messages"]] == ["user", "assistant", "tool", "user"]


async def test_strict_role_ordering_joins_neighbours(server: ModelServer, make_caller: MakeCaller) -> None:
    request = LLMRequest(messages=[HumanMessage("one"), HumanMessage("two")])
    await make_caller(model(server.url, strict_role_ordering=True)).call(request)
    assert server.requests()[0]["messages"] == [{"role": "user", "content": "one\n\ntwo"}]


async def test_429_waits_as_long_as_the_endpoint_asks(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(refuse(429, retry_after=0.3), say("fine"))
    began = time.monotonic()
    response = await make_caller(model(server.url)).call(ask())
    assert response.text == "fine"
    assert time.monotonic() - began >= 0.3


async def test_a_long_retry_after_is_said_at_once(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(refuse(429, retry_after=600))
    with pytest.raises(ModelRateLimited, match="600 s") as raised:
        await make_caller(model(server.url)).call(ask())
    assert raised.value.retry_after == 600
    assert raised.value.retryable
    assert len(server.requests()) == 1


async def test_500_is_tried_again(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(refuse(500), refuse(503), say("fine"))
    assert (await make_caller(model(server.url)).call(ask())).text == "fine"
    assert len(server.requests()) == 3


async def test_after_all_retries_the_error_is_said(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(refuse(500), refuse(500))
    with pytest.raises(ModelUnavailable, match=r"'main' failed \(500\)") as raised:
        await make_caller(model(server.url, retries=1)).call(ask())
    assert "sk-live" not in str(raised.value)
    assert len(server.requests()) == 2


@pytest.mark.parametrize(
    ("refusal", "kind", "says"),
    [
        (refuse(400, code="bad_thing"), ModelRefused, "bad_thing"),
        (refuse(400, code="context_length_exceeded"), ModelContextFull, "longer"),
        (refuse(401, code="x"), ModelRefused, "api_key"),
        (refuse(403, code="x"), ModelRefused, "api_key"),
        (refuse(404, code="x"), ModelRefused, "knows no model 'scripted-1'"),
        (refuse(422, code="Says SECRET things"), ModelRefused, "422"),
    ],
)
async def test_a_refusal_is_not_tried_again_and_leaks_nothing(
    server: ModelServer,
    make_caller: MakeCaller,
    *,
    refusal: dict[str, Any],
    kind: type[WaystationError],
    says: str,
) -> None:
    server.script(refusal)
    with pytest.raises(kind, match=says) as raised:
        await make_caller(model(server.url)).call(ask())
    assert "sk-live" not in raised.value.detail
    assert "SECRET" not in raised.value.detail
    assert not raised.value.retryable
    assert len(server.requests()) == 1


@pytest.mark.parametrize(
    "script", [{"cut_after": 2}, {"error_after": 2}, {"finish_reason": None, "done": False}]
)
async def test_a_stream_that_breaks_says_so_and_keeps_its_text(
    server: ModelServer, make_caller: MakeCaller, script: dict[str, Any]
) -> None:
    server.script(say("one two ", **script))
    got: list[str] = []

    async def read() -> None:
        async for item in make_caller(model(server.url)).stream(ask()):
            assert isinstance(item, LLMChunk)
            got.append(item.text)

    with pytest.raises(ModelStreamCut) as raised:
        await read()
    assert "".join(got) == raised.value.text == "one two "
    assert len(server.requests()) == 1


async def test_a_stream_cut_before_its_first_text_is_tried_again(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script(say("lost", cut_after=0), say("lost", error_after=0), say("found"))
    assert (await make_caller(model(server.url)).call(ask())).text == "found"


async def test_silence_before_the_first_token_times_out(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(hang())
    caller = make_caller(model(server.url, first_token_timeout_s=0.2, retries=0))
    with pytest.raises(ModelTimedOut, match=r"0\.2 s"):
        await caller.call(ask())
    server.wait_for_active(0)


async def test_an_answer_without_end_times_out(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(say("one two", hang_after=1))
    caller = make_caller(model(server.url, timeout_s=0.5, retries=0))
    with pytest.raises(ModelStreamCut, match=r"did not finish within 0\.5 s") as raised:
        await caller.call(ask())
    assert raised.value.text == "one "


async def test_leaving_a_stream_closes_the_connection(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(say("one two", hang_after=1))
    task = asyncio.create_task(make_caller(model(server.url)).call(ask()))
    await asyncio.to_thread(server.wait_for_active, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_for_active, 0)


async def test_a_released_stream_goes_on(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(say("one two", hang_after=1))
    task = asyncio.create_task(make_caller(model(server.url)).call(ask()))
    await asyncio.to_thread(server.wait_for_active, 1)
    server.release()
    assert (await task).text == "one two"


async def test_a_fallback_answers_for_an_unreachable_model(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    main = model("http://127.0.0.1:9/v1", retries=0, fallbacks=["spare"])
    response = await make_caller(main, model(server.url, "spare")).call(ask())
    assert response.usage.model == "spare"
    assert response.text == "Scripted reply."


async def test_a_fallback_that_the_user_may_not_use_is_left_out(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    main = model("http://127.0.0.1:9/v1", retries=0, fallbacks=["spare"])
    caller = make_caller(main, model(server.url, "spare", groups=["staff"]))
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await caller.call(ask(principal=Principal("ada")))
    assert (await caller.call(ask(principal=Principal("bob", frozenset({"staff"}))))).usage.model == "spare"


async def test_a_refusal_does_not_go_to_a_fallback(server: ModelServer, make_caller: MakeCaller) -> None:
    server.script(refuse(400))
    main = model(server.url, fallbacks=["spare"])
    with pytest.raises(ModelRefused):
        await make_caller(main, model(server.url, "spare")).call(ask())


async def test_an_unknown_model_is_named_with_the_known_ones(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    with pytest.raises(ModelNotFound, match="no model 'nope'; known: main"):
        await make_caller(model(server.url)).call(ask(model="nope"))


async def test_a_model_that_wants_a_key_per_user_says_so(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    caller = make_caller(model(server.url, api_key_source="user"))
    with pytest.raises(ModelRefused, match="key of each user"):
        await caller.call(ask())
    assert (await caller.check()).state == "healthy"


async def test_one_client_is_kept_per_model(server: ModelServer) -> None:
    made: list[str] = []
    from nodes.llm import Catalogue
    from nodes.llm.fake import ScriptedModel

    def connect(wanted: Model) -> ScriptedModel:
        made.append(wanted.name)
        return ScriptedModel()

    caller = LLMCaller(Catalogue({"main": model(server.url)}), connect)
    await caller.call(ask())
    await caller.call(ask())
    await caller.aclose()
    assert made == ["main"]


async def test_the_first_model_of_the_endpoint_is_asked_once(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    from nodes.llm.models import ASK_ENDPOINT

    caller = make_caller(model(server.url, model_name=ASK_ENDPOINT))
    await caller.call(ask())
    assert server.requests()[0]["model"] == "scripted-1"


async def test_an_endpoint_without_a_list_of_models_counts_as_up(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.configure(models_status=404)
    assert (await make_caller(model(server.url)).check()).state == "healthy"
    server.configure(models_status=500)
    assert (await make_caller(model(server.url)).check()).state == "failed"


def test_the_server_refuses_unanswered_tool_calls_like_openai(server: ModelServer) -> None:
    import httpx

    body = {
        "messages": [{"role": "assistant", "tool_calls": [{"id": "c1"}]}, {"role": "user", "content": "x"}]
    }
    answer = httpx.post(f"{server.url}/chat/completions", json=body, trust_env=False)
    assert answer.status_code == 400
    assert json.loads(answer.text)["error"]["code"] == "unanswered_tool_call"
