"""The lean client: keys, addresses, proxies and connections."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from langchain_core.messages import AIMessage, SystemMessage, ToolMessage
from pydantic import SecretStr

from nodes.llm.adapters import http
from nodes.llm.adapters.chat import ChatEndpoint
from nodes.llm.errors import ModelRefused, ModelUnavailable
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
from tests.unit.nodes.llm.conftest import entry
from waystation.testing.contracts.chat_model import answer
from waystation.testing.model_server import ModelServer, call, calls, refuse, say


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
