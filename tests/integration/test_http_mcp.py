"""MCP over HTTP, message by message: both dialects on one address, tools, resources and prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest

from core.access import Principal
from graph.agent import Agent
from nodes.file_storage import FileManager
from tests.kit.http import JSON, assert_refused
from tests.kit.mcp import BOTH, PATH, New, Old, error_of, result_of, text_of

ADA = Principal("ada")
Client = Old | New


@pytest.fixture
async def old(http: httpx.AsyncClient) -> Old:
    return await Old.met(http)


@pytest.fixture
def new(http: httpx.AsyncClient) -> New:
    return New(http)


@pytest.fixture(params=["2025-11-25", "2026-07-28"])
async def client(request: pytest.FixtureRequest, http: httpx.AsyncClient) -> Client:
    return await Old.met(http) if request.param == "2025-11-25" else New(http)


# -- the dialect of 2025-11-25 ------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["2024-11-05", "2025-06-18", "2025-11-25", "1999-01-01"])
async def test_a_version_that_is_known_is_spoken_and_the_newest_otherwise(
    http: httpx.AsyncClient, wanted: str
) -> None:
    told = result_of(await Old(http).post("initialize", {"protocolVersion": wanted, "capabilities": {}}))
    assert told["protocolVersion"] == (wanted if wanted < "2026" and wanted > "2000" else "2025-11-25")
    assert set(told["capabilities"]) == {"tools", "resources", "prompts"}
    assert told["serverInfo"]["name"] == "waystation"


async def test_requests_without_a_session_or_with_a_lost_one_begin_anew(
    http: httpx.AsyncClient, old: Old
) -> None:
    assert (await Old(http).post("tools/list")).status_code == 400
    for lost in ("made-up", old.session[:-2] + "AA", old.session + "A", "ü".encode().hex()):
        answer = await Old(http, lost).post("tools/list")
        assert answer.status_code == 404, lost
        assert "initialize" in error_of(answer)["message"]


async def test_a_client_that_takes_only_one_kind_of_answer_is_406(http: httpx.AsyncClient) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    for accept in ("application/json", "text/event-stream", "text/html"):
        assert (await http.post(PATH, json=hello, headers={"accept": accept})).status_code == 406
    for accept in ("*/*", "application/*, text/*"):
        assert (await http.post(PATH, json=hello, headers={"accept": accept})).status_code == 200


async def test_there_is_no_stream_to_get_and_no_session_to_delete(http: httpx.AsyncClient, old: Old) -> None:
    for method in ("GET", "DELETE"):
        answer = await http.request(method, PATH, headers=old.headers)
        assert_refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"


async def test_a_ping_is_answered_and_a_method_that_is_not_there_refused_with_200(old: Old) -> None:
    assert await old.ask("ping") == {}
    for method in ("nope", "server/discover", "logging/setLevel"):
        answer = await old.post(method)
        assert (answer.status_code, error_of(answer)["code"]) == (200, -32601)


async def test_an_unknown_version_in_the_header_is_400(http: httpx.AsyncClient, old: Old) -> None:
    headers = {**old.headers, "mcp-protocol-version": "2031-01-01"}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await http.post(PATH, json=ping, headers=headers)
    assert answer.status_code == 400
    assert "2026-07-28" in error_of(answer)["message"]


# -- the dialect of 2026-07-28 ------------------------------------------------------------------------


async def test_a_client_discovers_what_there_is(new: New) -> None:
    found = await new.ask("server/discover")
    assert found["resultType"] == "complete"
    assert found["supportedVersions"] == ["2026-07-28"]
    assert (found["ttlMs"], found["cacheScope"]) == (0, "private")
    assert set(found["capabilities"]) == {"tools", "resources", "prompts"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"mcp_method": "tools/call"}, -32020),
        ({"mcp_protocol_version": "2025-11-25"}, -32020),
        ({"mcp_method": "=?base64?dG9vbHMvbGlzdA==?="}, 0),
        ({"mcp_method": "=?base64?%%%?="}, -32020),
    ],
)
async def test_headers_say_the_same_as_the_body(new: New, headers: dict[str, str], code: int) -> None:
    answer = await new.post("tools/list", {}, **headers)
    if code:
        assert (answer.status_code, error_of(answer)["code"]) == (400, code)
    else:
        assert result_of(answer)["tools"]


async def test_the_header_of_the_name_counts_too_and_may_be_encoded(new: New) -> None:
    wrong = await new.post("tools/call", {"name": "search", "arguments": {"query": "x"}}, mcp_name="ask")
    assert (wrong.status_code, error_of(wrong)["code"]) == (400, -32020)
    body, headers = new.request("tools/list", {})
    doubled = [*headers.items(), ("mcp-method", "tools/list")]
    answer = await new.http.post(PATH, json=body, headers=doubled)
    assert (answer.status_code, error_of(answer)["code"]) == (400, -32020)


async def test_what_is_missing_or_not_spoken_is_told(new: New) -> None:
    bare = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {**BOTH, "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
    answer = await new.http.post(PATH, json=bare, headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (400, -32602)
    later = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}}
    answer = await new.post("tools/list", later, mcp_protocol_version="2027-01-01")
    assert (answer.status_code, error_of(answer)["code"]) == (400, -32022)
    assert "2026-07-28" in error_of(answer)["data"]["supported"]
    answer = await new.post("initialize")
    assert (answer.status_code, error_of(answer)["code"]) == (404, -32601)


async def test_notifications_are_taken_and_answers_without_a_call_refused(new: New) -> None:
    headers = {**BOTH, "mcp-protocol-version": "2026-07-28"}
    noted = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert (await new.http.post(PATH, json=noted, headers=headers)).status_code == 202
    answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert (await new.http.post(PATH, json=answer, headers=headers)).status_code == 400


# -- both ---------------------------------------------------------------------------------------------


async def test_the_tools_are_ask_and_search_with_schemas_that_hold(client: Client) -> None:
    tools = {tool["name"]: tool for tool in (await client.ask("tools/list"))["tools"]}
    assert set(tools) == {"ask", "search"}
    for tool in tools.values():
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
    asked = await client.call("ask", message="What is 5 + 3?")
    jsonschema.validate(asked["structuredContent"], tools["ask"]["outputSchema"])
    assert text_of(asked) == asked["structuredContent"]["answer"] == "5 + 3 = 8"
    found = await client.call("search", query="berth", limit=1)
    jsonschema.validate(found["structuredContent"], tools["search"]["outputSchema"])
    [passage] = found["structuredContent"]["passages"]
    assert passage["source"] == "harbour"
    assert passage["text"] in text_of(found)
    nothing = await client.call("search", query="zeppelin")
    jsonschema.validate(nothing["structuredContent"], tools["search"]["outputSchema"])
    assert "harbour shows nothing: " in text_of(nothing)


async def test_a_thread_is_gone_on_with(client: Client) -> None:
    first = (await client.call("ask", message="What is 5 + 3?"))["structuredContent"]
    again = await client.call("ask", message="What is 2 + 2?", thread_id=first["thread_id"])
    assert again["structuredContent"]["thread_id"] == first["thread_id"]
    read = await client.ask(
        "resources/read", {"uri": f"waystation://threads/{first['thread_id']}/transcript"}
    )
    assert read["contents"][0]["text"].count('"role":"user"') == 2


async def test_progress_comes_where_it_is_asked_for(old: Old) -> None:
    async with old.calling("ask", meta={"progressToken": "p"}, message="What is 5 + 3?") as found:
        told = [message async for message in found]
    steps = [message["params"] for message in told[:-1]]
    assert {step["progressToken"] for step in steps} == {"p"}
    assert [step["progress"] for step in steps] == sorted({step["progress"] for step in steps})
    assert "calculator" in steps[0]["message"]
    assert told[-1]["result"]["structuredContent"]["answer"] == "5 + 3 = 8"


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("ask", {}, "invalid_request"),
        ("ask", {"message": 7}, "invalid_request"),
        ("ask", {"message": "hi", "mesage": "hi"}, "invalid_request"),
        ("ask", {"message": "hi", "thread_id": "../x"}, "invalid_request"),
        ("ask", {"message": "hi", "model": "nope"}, "unknown_model"),
        ("ask", {"message": "hi", "sources": ["nope"]}, "unknown_source"),
        ("ask", {"message": "hi", "approval": "auto"}, "invalid_request"),
        ("ask", {"message": "hi", "files": ["nope"]}, "file_not_found"),
        ("ask", {"message": "x" * 100_000}, "message_too_long"),
        ("search", {"query": " "}, "query_not_accepted"),
        ("search", {"query": "x", "limit": 0}, "invalid_request"),
        ("search", {"query": "x", "sources": ["nope"]}, "source_not_found"),
    ],
)
async def test_what_a_tool_cannot_do_its_model_reads(
    client: Client, tool: str, arguments: dict[str, Any], code: str
) -> None:
    answer = await client.call(tool, **arguments)
    assert answer["isError"] is True
    assert answer["_meta"]["waystation/code"] == code
    assert text_of(answer).startswith(f"{code}: ")
    assert "structuredContent" not in answer


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol(client: Client) -> None:
    for params in ({"name": "calculator_add", "arguments": {"a": 1}}, {}, {"name": "ask", "arguments": []}):
        answer = await client.post("tools/call", params)
        assert error_of(answer)["code"] == -32602
        assert answer.status_code == (400 if isinstance(client, New) else 200)


async def test_threads_and_files_are_listed_page_by_page(agent: Agent, client: Client) -> None:
    manager = await agent.container.get(FileManager)
    stored = [await manager.put(ADA, f"f{n}.txt", b"hi") for n in range(3)]
    threads = [(await agent.threads.create(ADA))["id"] for _ in range(60)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await client.ask("resources/list", {"cursor": cursor} if cursor else {})
        assert len(page["resources"]) <= 52
        found += [each["uri"] for each in page["resources"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert len(found) == len(set(found))
    assert found[:2] == ["waystation://sources", "waystation://models"]
    assert {f"waystation://threads/{key}" for key in threads} <= set(found)
    assert {f"waystation://files/{each.key}" for each in stored} <= set(found)
    for wrong in ("x", "WyJmaWxlcyIsN10=", 5, "AAAA" * 500):
        assert error_of(await client.post("resources/list", {"cursor": wrong}))["code"] == -32602
    templates = (await client.ask("resources/templates/list"))["resourceTemplates"]
    assert len(templates) == 3


async def test_resources_are_read_as_what_they_are(agent: Agent, client: Client) -> None:
    manager = await agent.container.get(FileManager)
    put: Callable[..., Any] = manager.put
    text = await put(ADA, "notes.csv", "a,ü\n".encode())
    image = await put(ADA, "dot.png", b"\x89PNG")
    latin = await put(ADA, "latin.txt", b"\xfc")
    large = await put(ADA, "large.txt", b"x" * 4_194_305)

    async def read(key: str) -> dict[str, Any]:
        [found] = (await client.ask("resources/read", {"uri": f"waystation://files/{key}"}))["contents"]
        return dict(found)

    assert (await read(text.key))["text"] == "a,ü\n"
    assert (await read(text.key))["mimeType"] == "text/csv"
    assert (await read(image.key))["blob"] == "iVBORw=="
    assert (await read(image.key))["mimeType"] == "image/png"
    assert (await read(latin.key))["blob"] == "/A=="
    refused = error_of(await client.post("resources/read", {"uri": f"waystation://files/{large.key}"}))
    assert refused["data"]["code"] == "resource_too_large"
    assert "4194304" in refused["message"]
    [sources] = (await client.ask("resources/read", {"uri": "waystation://sources"}))["contents"]
    assert '"harbour"' in sources["text"]
    [models] = (await client.ask("resources/read", {"uri": "waystation://models"}))["contents"]
    assert '"offline"' in models["text"]


@pytest.mark.parametrize(
    "uri",
    [
        *("waystation://threads/nope", "waystation://files/nope", "waystation://nope", "file:///etc/passwd"),
        *(
            "",
            "waystation://",
            "waystation://files",
            "waystation://threads/a/b",
            "http://[",
            "waystation://files/%00",
        ),
        *("waystation://threads/..%2f..", "waystation://threads/x/transcript?before=z", "x" * 5000),
    ],
)
async def test_a_resource_that_is_not_there_is_told(client: Client, uri: str) -> None:
    if isinstance(client, New) and len(uri) > 1000:
        pytest.skip("a header is not that long")
    error = error_of(await client.post("resources/read", {"uri": uri}))
    assert error["code"] == (-32602 if isinstance(client, New) else -32002)
    assert len(error["message"]) < 500


async def test_prompts_are_filled_in(client: Client) -> None:
    names = [prompt["name"] for prompt in (await client.ask("prompts/list"))["prompts"]]
    assert names == ["ask_sources", "summarise_thread"]
    asked = await client.ask(
        "prompts/get",
        {"name": "ask_sources", "arguments": {"question": "How long?", "sources": "harbour, x"}},
    )
    [said] = asked["messages"]
    assert "How long?" in said["content"]["text"]
    assert "['harbour', 'x']" in said["content"]["text"]
    thread = (await client.call("ask", message="What is 5 + 3?"))["structuredContent"]["thread_id"]
    summed = await client.ask("prompts/get", {"name": "summarise_thread", "arguments": {"thread_id": thread}})
    assert "5 + 3 = 8" in summed["messages"][0]["content"]["resource"]["text"]
    for params in (
        {"name": "nope"},
        {"name": "ask_sources"},
        {"name": "ask_sources", "arguments": {"question": 5}},
        {"name": "ask_sources", "arguments": {"question": "x", "other": "y"}},
        {"name": "summarise_thread", "arguments": {"thread_id": "nope"}},
    ):
        assert error_of(await client.post("prompts/get", params))["code"] == -32602


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (("origin", "https://evil.example"), 403, "host_refused"),
        (("host", "evil.example"), 421, "host_misdirected"),
        (("content-type", "text/plain"), 415, "unsupported_media_type"),
    ],
)
async def test_whatever_refuses_does_it_in_json_rpc(
    old: Old, header: tuple[str, str], status: int, code: str
) -> None:
    answer = await old.http.post(PATH, content=b"{}", headers={**JSON, **old.headers, **dict([header])})
    assert_refused(answer, status, code)
    assert answer.json()["jsonrpc"] == "2.0"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[]", 400, -32600),
        (b"{}", 400, -32600),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', 400, -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}', 200, -32602),
        (b"[" * 100_000, 400, -32600),
        (b'"' + b"x" * 4_200_000 + b'"', 413, -32600),
    ],
)
async def test_what_is_no_message_is_told_so(
    http: httpx.AsyncClient, body: bytes, status: int, code: int
) -> None:
    answer = await http.post(PATH, content=body, headers={**JSON, **BOTH})
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)
