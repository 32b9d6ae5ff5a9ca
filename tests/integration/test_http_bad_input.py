"""Whatever is sent: an answer of the contract, no 5xx, no traceback, and the next request works."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.kit.http import JSON, assert_problem, turn

MEGABYTE = 1 << 20


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def configured(**configurable: Any) -> bytes:
    return body(turn(**configurable))


BAD: dict[str, tuple[bytes, int, str]] = {
    "no body": (b"", 422, "invalid_request"),
    "invalid json": (b'{"input": ', 400, "bad_json"),
    "not an object": (b"[1]", 422, "invalid_request"),
    "not utf-8": (b'{"input": {"message": "\xff"}}', 400, "bad_json"),
    "NaN": (
        b'{"input": {"message": "x"}, "config": {"configurable": {"temperature": NaN}}}',
        400,
        "bad_json",
    ),
    "infinity": (
        b'{"input": {"message": "x"}, "config": {"configurable": {"temperature": 1e999}}}',
        400,
        "bad_json",
    ),
    "number of 5000 digits": (b'{"input": {"message": ' + b"9" * 5000 + b"}}", 400, "bad_json"),
    "lone surrogate": (b'{"input": {"message": "\\ud800"}}', 400, "bad_json"),
    "deep json": (b'{"input": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "json_too_deep"),
    "deep resume": (
        b'{"input": {"resume": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}}",
        400,
        "json_too_deep",
    ),
    "no input": (body({"config": {}}), 422, "invalid_request"),
    "input is text": (body({"input": "hi"}), 422, "invalid_request"),
    "empty message": (body(turn("")), 422, "invalid_request"),
    "blank message": (body(turn("  \n")), 422, "invalid_request"),
    "message of 1 MB": (body(turn("x" * 1_000_000)), 413, "message_too_long"),
    "body over 1 MiB": (body(turn("x" * MEGABYTE)), 413, "body_too_large"),
    "message with NUL": (body(turn("a\0b")), 422, "invalid_input"),
    "message and resume": (
        body({"input": {"message": "x", "resume": {"approve": True}}}),
        422,
        "invalid_request",
    ),
    "resume of nothing": (body({"input": {"resume": {"approve": True}}}), 422, "invalid_input"),
    "role messages": (
        body({"input": {"messages": [{"role": "user", "content": "x"}]}}),
        422,
        "invalid_request",
    ),
    "system message": (
        body({"input": {"messages": [{"type": "system", "content": "x"}]}}),
        422,
        "invalid_request",
    ),
    "unknown model": (configured(model="gpt-9"), 422, "unknown_model"),
    "unknown source": (configured(sources=["wiki"]), 422, "unknown_source"),
    "unknown tool": (configured(tools=["rm"]), 422, "unknown_tool"),
    "unknown file": (body({"input": {"message": "x", "files": ["f_nope"]}}), 404, "file_not_found"),
    "path as file": (body({"input": {"message": "x", "files": ["../../etc/passwd"]}}), 404, "file_not_found"),
    "unknown key": (configured(recursion_limit=5), 422, "invalid_request"),
    "pregel key": (configured(__pregel_checkpointer=False), 422, "invalid_request"),
    "checkpoint id": (configured(checkpoint_id="x"), 422, "invalid_request"),
    "user in the body": (configured(user="root"), 422, "invalid_request"),
    "principal in the body": (configured(principal={"id": "root"}), 422, "invalid_request"),
    "thread with a slash": (configured(thread_id="a/b"), 422, "invalid_request"),
    "thread as object": (configured(thread_id={"a": 1}), 422, "invalid_request"),
    "thread of 100 kB": (configured(thread_id="x" * 100_000), 422, "invalid_request"),
    "thread with newline": (configured(thread_id="a\n"), 422, "invalid_request"),
    "temperature as text": (configured(temperature="hot"), 422, "invalid_request"),
    "top_p out of range": (configured(top_p=1.5), 422, "invalid_request"),
    "steps below one": (configured(max_steps=0), 422, "invalid_request"),
    "config as list": (body({"input": {"message": "x"}, "config": []}), 422, "invalid_request"),
    "configurable as text": (
        body({"input": {"message": "x"}, "config": {"configurable": "x"}}),
        422,
        "invalid_request",
    ),
    "key at the wrong place": (body({"input": {"message": "x"}, "thread_id": "t"}), 422, "invalid_request"),
}
ROUTES = ("/agent/invoke", "/agent/stream", "/agent/stream_log", "/agent/stream_events")


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_gets_a_clear_refusal_on_every_route(http: httpx.AsyncClient, name: str) -> None:
    content, status, code = BAD[name]
    for route in ROUTES:
        assert_problem(await http.post(route, content=content, headers=JSON), status, code)


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"inputs": []}',
        b'{"inputs": "x"}',
        b'{"inputs": [null]}',
        b'{"inputs": [{"message": ""}]}',
        b'{"inputs": [{"message": "x"}], "config": [{}, {}]}',
        b'{"inputs": [{"message": "x"}], "config": [{"configurable": {"x": 1}}]}',
        b'{"inputs": [{"message": "x"}], "config": 5}',
    ],
)
async def test_a_bad_batch_is_refused_whole(http: httpx.AsyncClient, content: bytes) -> None:
    assert_problem(await http.post("/agent/batch", content=content, headers=JSON), 422, "invalid_request")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_a_body_that_is_not_called_json_is_refused(http: httpx.AsyncClient, kind: str) -> None:
    answer = await http.post("/agent/invoke", content=body(turn()), headers={"content-type": kind})
    assert_problem(answer, 415, "unsupported_media_type")


async def test_a_body_that_lies_about_its_length_is_counted(http: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    assert_problem(await http.post("/agent/invoke", content=endless(), headers=JSON), 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/agent/invoke", 405),
        ("DELETE", "/models", 405),
        ("GET", "/threads/nobody", 404),
        ("GET", "/threads/a%2Fb", 404),
        ("GET", "/threads/" + "x" * 65, 422),
        ("GET", "/threads?limit=0", 422),
        ("GET", "/threads?limit=many", 422),
        ("GET", "/threads?status=lost", 422),
        ("GET", "/threads?after=nobody", 404),
        ("GET", "/threads/nobody/transcript?before=99999999999999999999", 422),
        ("GET", "/files/nope", 404),
        ("GET", "/files/..%2F..%2Fetc%2Fpasswd", 404),
        ("GET", "/files/link/nope", 403),
        ("GET", "/files?file_type=mine", 422),
        ("DELETE", "/files/nope", 404),
        ("DELETE", "/threads/nobody", 404),
        ("GET", "/agent/playground/../../secret", 404),
    ],
)
async def test_other_routes_answer_the_same_way(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert_problem(await http.request(method, path), status)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/threads", {"thread_id": "a/b"}),
        ("/threads", {"thread_id": 5}),
        ("/threads", {"title": "x" * 300}),
        ("/threads", {"owner": "root"}),
        ("/threads", [1]),
        ("/files", {"filename": "a.txt"}),
        ("/files", {"filename": "a.txt", "content_base64": "%%%"}),
        ("/files", {"filename": "a.txt", "content_base64": "YQ==", "tags": {"a": 1}}),
        ("/files", {"filename": "", "content_base64": "YQ=="}),
    ],
)
async def test_bad_fields_of_other_routes_are_named(http: httpx.AsyncClient, path: str, value: Any) -> None:
    problem = assert_problem(await http.post(path, json=value), 422, "invalid_request")
    assert problem["detail"]


async def test_a_request_under_a_foreign_name_is_refused(http: httpx.AsyncClient) -> None:
    refused = {"host": (421, "host_misdirected"), "origin": (403, "host_refused")}
    for name, value in (("host", "evil.example"), ("origin", "http://evil.example")):
        headers = {name: value}
        assert_problem(await http.get("/models", headers=headers), *refused[name])
        assert (await http.get("/health/live", headers=headers)).status_code == 200


async def test_after_all_that_a_turn_still_works(http: httpx.AsyncClient) -> None:
    assert "8" in (await http.post("/agent/invoke", json=turn())).json()["output"]["answer"]
