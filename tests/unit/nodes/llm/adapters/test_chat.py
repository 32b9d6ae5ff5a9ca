"""The lean client against a real server: the life of a stream, refusals, and what is tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import SecretStr

from nodes.llm import LLMRequest
from nodes.llm.adapters import http
from nodes.llm.adapters.chat import ChatEndpoint
from nodes.llm.errors import ModelContextFull, ModelRefused, ModelStreamCut, ModelTimedOut, ModelUnavailable
from tests.kit.contracts.chat_model import answer
from tests.kit.model_server import ModelServer, call, calls, raw, refuse, say
from tests.unit.nodes.llm.conftest import MakeCaller, entry, model, policies

HI: list[BaseMessage] = [HumanMessage("hi")]
DONE = "data: [DONE]\n\n"
Reply = Callable[[web.Request], Any]


def chunk(delta: Any, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def tool(name: str, parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters or {"type": "object"}}}


@pytest.fixture
async def chat(server: ModelServer) -> AsyncIterator[ChatEndpoint]:
    made = ChatEndpoint("main", entry(server.url))
    yield made
    await made.aclose()


class Endpoint:
    """An endpoint in this process that answers as the test says."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.replies: list[Reply] = []
        self.url = ""

    async def handle(self, request: web.Request) -> Any:
        self.paths.append(request.path_qs)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.can_read_body:
            self.bodies.append(await request.json())
        reply = self.replies.pop(0) if self.replies else whole
        return await reply(request)


async def whole(_: web.Request) -> web.Response:
    choice = {"message": {"content": "Hello"}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice]})


def status(code: int, body: Any, **headers: str) -> Reply:
    async def reply(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=code, text=text, headers=headers)

    return reply


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield found
    await runner.cleanup()


async def said(chat: ChatEndpoint, **options: Any) -> str:
    _, assembly = await answer(chat, HI, **options)
    return assembly.text


def told(endpoint: Endpoint, **values: Any) -> ChatEndpoint:
    return ChatEndpoint("main", entry(endpoint.url, **values))


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


async def test_keys_headers_and_the_address_go_out_as_the_entry_says(endpoint: Endpoint) -> None:
    chat = ChatEndpoint(
        "main",
        entry(
            endpoint.url + "/chat/completions?api-version=1",
            api_key=SecretStr("sk-secret\n"),
            extra_headers={"authorization": "Own", "X-Team": "blue"},
            profile="azure",
        ),
    )
    await said(chat)
    await chat.ping()
    assert endpoint.paths == ["/v1/chat/completions?api-version=1", "/v1/models?api-version=1"]
    assert endpoint.headers[0]["authorization"] == "Own"
    assert endpoint.headers[0]["api-key"] == "sk-secret"
    assert endpoint.headers[0]["x-team"] == "blue"
    await chat.aclose()


async def test_without_a_key_none_is_sent(endpoint: Endpoint) -> None:
    chat = told(endpoint, api_key=SecretStr(""))
    await said(chat)
    assert "authorization" not in endpoint.headers[0]
    await chat.aclose()


async def test_a_redirect_on_the_same_host_is_followed_and_no_other(endpoint: Endpoint) -> None:
    onward = status(307, "", Location="/v1/elsewhere")
    away = status(308, "", Location="http://127.0.0.2:9/v1")
    endpoint.replies = [onward, whole, away, *[onward] * 9]
    chat = told(endpoint)
    assert await said(chat) == "Hello"
    assert endpoint.bodies[0] == endpoint.bodies[1]
    for _ in range(2):
        with pytest.raises(ModelRefused, match="sends us elsewhere"):
            await said(chat)
    await chat.aclose()


async def test_a_kept_connection_that_the_server_closed_costs_no_try(endpoint: Endpoint) -> None:
    async def closing(request: web.Request) -> Any:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    chat = told(endpoint)
    await said(chat)
    endpoint.replies = [closing]
    assert await said(chat) == "Hello"
    endpoint.replies = [closing, closing]
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await said(chat)
    await chat.aclose()


async def test_connections_are_used_again(endpoint: Endpoint) -> None:
    ports: list[Any] = []

    async def streamed(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"data: {json.dumps(chunk({'content': 'x'}, 'stop'))}\n\n{DONE}".encode())
        return response

    endpoint.replies = [streamed, streamed, streamed]
    chat = told(endpoint)
    for _ in range(3):
        await said(chat)
    assert len(set(ports)) == 1
    await chat.aclose()


async def test_the_proxy_of_the_environment_is_asked(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", endpoint.url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "localhost")
    chat = ChatEndpoint("main", entry("http://models.example/v1"))
    assert await said(chat) == "Hello"
    await chat.aclose()
    monkeypatch.setenv("no_proxy", "models.example")
    assert http.proxy_for("http://models.example/v1") is None
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    chat = ChatEndpoint("main", entry("http://models.example/v1"))
    with pytest.raises(ModelRefused, match="socks5"):
        await said(chat)
    await chat.aclose()


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ({"data": [{"id": "a"}, {"id": None}, 5, {"name": "b"}]}, ["a", "b"]),
        ({"models": [{"name": "c"}]}, ["c"]),
        ([{"id": "d"}], ["d"]),
        ({"data": None}, []),
        ("5", []),
    ],
)
async def test_the_list_of_models_is_read_in_each_of_its_shapes(
    endpoint: Endpoint, page: Any, names: list[str]
) -> None:
    endpoint.replies = [status(200, page)]
    chat = told(endpoint)
    assert await chat.ping() == names
    await chat.aclose()


async def test_an_endpoint_without_a_list_answers_all_the_same(endpoint: Endpoint) -> None:
    endpoint.replies = [status(405, ""), status(401, "no")]
    chat = told(endpoint)
    assert await chat.ping() == []
    with pytest.raises(ModelRefused, match="api_key"):
        await chat.ping()
    await chat.aclose()


@pytest.mark.parametrize("url", ["http://[", "http://:80", "ftp://x"])
def test_an_address_that_is_none_is_refused_in_the_settings(url: str) -> None:
    with pytest.raises(ValueError, match="model_url"):
        entry(url)


async def test_a_key_that_no_header_can_hold_is_our_fault_and_told(server: ModelServer) -> None:
    chat = ChatEndpoint("main", entry(server.url, api_key=SecretStr("two\nlines")))
    with pytest.raises(ModelRefused, match="cannot be sent"):
        await chat.ping()
    await chat.aclose()


async def test_calls_of_one_profile_fit_into_another(server: ModelServer) -> None:
    made = ChatEndpoint("main", entry(server.url, profile="mistral"))
    old = AIMessage(
        "", tool_calls=[{"name": "a", "args": {}, "id": "call-0123456789abcdef", "type": "tool_call"}]
    )
    messages = [SystemMessage("s"), *HI, old, ToolMessage("r", tool_call_id="call-0123456789abcdef")]
    for _ in range(2):
        await answer(made, messages)
    await made.aclose()
    first, second = [request["messages"] for request in server.requests()]
    assert first == second
    assert first[2]["tool_calls"][0]["id"] == first[3]["tool_call_id"]
    assert len(first[3]["tool_call_id"]) == 9
    assert first[2]["content"] == ""


async def test_leaving_closes_the_stream(server: ModelServer, chat: ChatEndpoint) -> None:
    server.script(say("one two", hang_after=1))
    task = asyncio.create_task(said(chat))
    await asyncio.to_thread(server.wait_for_active, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_for_active, 0)


async def test_calls_and_refusals_of_a_real_stream(server: ModelServer, chat: ChatEndpoint) -> None:
    server.script(calls(("a", {"x": 1}), ("b", "{}")), call("c", {}), refuse(404))
    _, both = await answer(chat, HI, tools=[tool("a")])
    assert [c["name"] for c in both.message().tool_calls] == ["a", "b"]
    _, one = await answer(chat, HI, tools=[tool("a")])
    assert one.finish == "tool_calls"
    with pytest.raises(ModelRefused, match="404"):
        await said(chat)
