"""The lean client: the life of a stream, refusals, and what is sent again in another form."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from nodes.llm import LLMRequest
from nodes.llm.adapters.chat import ChatEndpoint
from nodes.llm.errors import ModelContextFull, ModelRefused, ModelStreamCut, ModelTimedOut, ModelUnavailable
from tests.unit.nodes.llm.adapters.endpoint_kit import (
    DONE,
    HI,
    Endpoint,
    chunk,
    said,
    status,
    told,
    tool,
    whole,
)
from tests.unit.nodes.llm.conftest import MakeCaller, model, policies
from waystation.testing.model_server import ModelServer, raw

pytestmark = pytest.mark.slow


async def test_m4_1_comments_are_life_and_the_first_token_has_more_patience_than_the_next(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    pings = [part for _ in range(5) for part in (0.5, ": keep-alive\n\n")]
    slow = model(server.url, first_token_timeout_s=1.6, retries=0)
    server.script(raw(*pings, chunk({"content": "loaded"}), chunk({}, "stop"), DONE))
    assert (await make_caller(slow).call(LLMRequest(messages=HI))).text == "loaded"
    server.script(raw(chunk({"content": "one "}), None, chunk({}, "stop")))
    patient = model(server.url, silence_timeout_s=0.2, retries=0)
    with pytest.raises(ModelStreamCut, match=r"nothing for 0\.2 s \(silence_timeout_s\)"):
        await make_caller(patient).call(LLMRequest(messages=HI))


async def test_m4_1_the_first_token_may_take_longer_by_one_setting_for_all_models(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script(raw(None, chunk({"content": "late"}), chunk({}, "stop")))
    caller = make_caller(model(server.url, retries=0), first_token_s=0.3)
    with pytest.raises(ModelTimedOut, match=r"nothing for 0\.3 s \(first_token_timeout_s\)"):
        await caller.call(LLMRequest(messages=HI))


async def test_m4_an_answer_that_has_ended_does_not_wait_for_a_server_that_never_closes(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script(raw(chunk({"content": "all"}), chunk({}, "stop"), DONE, None))
    assert (await make_caller(model(server.url)).call(LLMRequest(messages=HI))).text == "all"


async def test_m1_3_what_we_cannot_send_is_no_fault_of_the_endpoint(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    odd = AIMessage("half \ud800", id="a")
    args = {"big": 2**80, "half": "\ud800", "nan": float("nan")}
    odd.tool_calls = [{"name": "add", "args": args, "id": "abc123xyz", "type": "tool_call"}]
    messages: list[BaseMessage] = [*HI, odd, ToolMessage("a\ud800", tool_call_id="abc123xyz"), *HI]
    for client in ("lean", "langchain"):
        shared = policies(in_a_row=1)
        caller = make_caller(model(server.url, client=client), policies=shared)
        schema = {"type": "object", "properties": {"n": {"maximum": float("inf"), "minimum": 2**70}}}
        for _ in range(2):
            assert (await caller.call(LLMRequest(messages=messages, tools=[tool("add", schema)]))).text
        assert [target.state for target in shared.status()] == ["closed"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_answer_is_read(endpoint: Endpoint, encoding: str) -> None:
    async def packed(request: web.Request) -> web.Response:
        reply = await whole(request)
        reply.enable_compression(web.ContentCoding(encoding), strategy=0)
        return reply

    endpoint.replies = [packed]
    chat = told(endpoint)
    assert await said(chat) == "Hello"
    await chat.aclose()


async def test_m5_4_one_json_body_answers_a_streaming_request(endpoint: Endpoint) -> None:
    chat = told(endpoint)
    assert await said(chat) == "Hello"
    assert endpoint.bodies[0]["stream"] is True
    await chat.aclose()


async def test_a_web_page_in_place_of_an_answer_is_told(endpoint: Endpoint) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><h1>Log in</h1>", content_type="text/html")

    endpoint.replies = [page, page]
    chat = told(endpoint)
    with pytest.raises(ModelUnavailable, match="sent a web page"):
        await said(chat)
    with pytest.raises(ModelUnavailable, match="text/html"):
        await chat.ping()
    await chat.aclose()


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ({"error": {"message": "slow down", "code": 429}}, ModelUnavailable, "429"),
        ({"error": {"message": "bad", "type": "invalid_request_error"}}, ModelRefused, "400"),
        ({"error": {"message": "maximum context length is 5"}}, ModelContextFull, "longer"),
        ({"error": "boom"}, ModelUnavailable, "reported an error"),
    ],
)
async def test_an_error_with_status_200_is_one_of_its_kind(
    endpoint: Endpoint, *, body: Any, kind: type[Exception], says: str
) -> None:
    endpoint.replies = [status(200, body)]
    chat = told(endpoint)
    with pytest.raises(kind, match=says):
        await said(chat)
    await chat.aclose()


async def test_an_error_in_mid_answer_cuts_it(server: ModelServer, chat: ChatEndpoint) -> None:
    server.script(raw(chunk({"content": "half"}), {"error": {"message": "boom"}}))
    with pytest.raises(ModelStreamCut):
        await said(chat)
    server.script(raw(chunk({"content": "half"}), "data: {broken\n\n"))
    with pytest.raises(ModelStreamCut, match="no JSON"):
        await said(chat)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stream_options", "Unrecognized request argument supplied: stream_options"),
        ("temperature", "Unsupported value: 'temperature' does not support 0.7 with this model."),
        ("user", "Extra inputs are not permitted: user"),
    ],
)
async def test_an_endpoint_that_does_not_take_a_parameter_is_asked_without_it_from_then_on(
    endpoint: Endpoint, name: str, message: str
) -> None:
    endpoint.replies = [status(400, {"error": {"message": message, "param": name}})]
    chat = told(endpoint)
    for _ in range(2):
        assert await said(chat, user="ada") == "Hello"
    assert [name in body for body in endpoint.bodies] == [True, False, False]
    await chat.aclose()


async def test_the_limit_of_an_answer_is_sent_under_the_name_that_the_endpoint_takes(
    endpoint: Endpoint,
) -> None:
    text = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
    )
    endpoint.replies = [status(400, {"error": {"message": text, "param": "max_tokens"}})]
    chat = told(endpoint, max_tokens=77)
    assert await said(chat) == "Hello"
    assert "max_tokens" not in endpoint.bodies[1]
    assert endpoint.bodies[1]["max_completion_tokens"] == 77
    await chat.aclose()


async def test_a_limit_that_is_more_than_the_model_has_is_left_out(endpoint: Endpoint) -> None:
    text = "'max_tokens' is too large: 10000. This model's maximum context length is 4096 tokens."
    endpoint.replies = [status(400, {"error": {"message": text}})]
    chat = told(endpoint)
    assert await said(chat) == "Hello"
    assert "max_tokens" not in endpoint.bodies[1]
    await chat.aclose()


async def test_m5_6_the_tool_that_an_endpoint_refuses_is_named(endpoint: Endpoint) -> None:
    says = [
        {"message": "Invalid schema for function 'files_list': None is not of type 'object'."},
        {"message": "bad", "param": "tools[1].function.parameters"},
        {"message": "* GenerateContentRequest.tools[0].function_declarations[1].parameters: missing field."},
    ]
    chat = told(endpoint)
    for error in says:
        body = {"error": {"code": "invalid_function_parameters", **error}}
        endpoint.replies = [status(400, body)]
        with pytest.raises(ModelRefused, match=r"\(400\): invalid_function_parameters.*'files_list'"):
            await said(chat, tools=[tool("files"), tool("files_list")])
    await chat.aclose()


async def test_m5_6_schemas_that_endpoints_refuse_are_mended_before_they_are_sent(
    server: ModelServer, chat: ChatEndpoint
) -> None:
    schema = {"anyOf": [{"properties": {"a": {"type": "array"}}, "required": ["a"]}]}
    await said(chat, tools=[tool("odd", schema), tool("none", {"type": "object", "properties": None})])
    first, second = [one["function"]["parameters"] for one in server.requests()[0]["tools"]]
    assert first == {"type": "object", "properties": {"a": {"type": "array", "items": {}}}, "required": ["a"]}
    assert second == {"type": "object", "properties": {}}


async def test_m5_6_more_tools_than_the_endpoint_takes_are_capped_with_a_notice(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    many = [tool(f"t{n}") for n in range(140)]
    response = await make_caller(model(server.url)).call(LLMRequest(messages=HI, tools=many))
    assert len(server.requests()[0]["tools"]) == 128
    ((code, text),) = response.remarks
    assert (code, "t128, t129, t130, t131, t132 and 7 more" in text) == ("tools_capped", True)
