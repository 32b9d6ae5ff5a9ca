"""Messages with files in them, over HTTP: what is kept of them, and what cannot be taken."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
import pytest

from tests.kit import documents
from tests.kit.http import assert_problem


async def test_at12_chat_takes_content_lists_and_keeps_what_is_in_them(http: httpx.AsyncClient) -> None:
    paper = documents.pdf([["The keeper is paid nineteen crowns for each foggy night."]])
    said: list[Any] = [
        {
            "type": "human",
            "content": [
                {"type": "text", "text": "How much is the keeper paid for each foggy night?"},
                {
                    "type": "file",
                    "file": {"filename": "pay.pdf", "file_data": in_url("application/pdf", paper)},
                },
                {"type": "image_url", "image_url": {"url": in_url("image/png", b"no real image")}},
            ],
        }
    ]
    for _ in range(2):  # the same once more: nothing is stored twice
        first = (await http.post("/chat/invoke", json={"input": {"messages": said}})).json()["output"]
    assert "nineteen crowns" in first["content"]
    kept = [f for f in (await http.get("/files")).json() if f["filename"] in ("pay.pdf", "image-2.png")]
    assert sorted(f["content_type"] for f in kept) == ["application/pdf", "image/png"]
    said += [{"type": "ai", "content": first["content"]}, {"type": "human", "content": "What is 2 * 4?"}]
    await http.post("/chat/invoke", json={"input": {"messages": said}})
    threads = (await http.get("/threads", params={"q": "foggy"})).json()
    assert sorted(thread["turns"] for thread in threads) == [1, 2]


async def test_at13_chat_takes_images_over_a_mebibyte(http: httpx.AsyncClient) -> None:
    large = {"type": "image_url", "image_url": {"url": in_url("image/png", b"x" * 2_000_000)}}
    said = [{"type": "human", "content": [{"type": "text", "text": "What is 5 + 3?"}, large]}]
    output = (await http.post("/chat/invoke", json={"input": {"messages": said}})).json()["output"]
    assert "8" in output["content"]


async def test_at13_a_photograph_comes_in_by_the_wire_of_every_client(http: httpx.AsyncClient) -> None:
    def photo(number: int) -> bytes:
        return bytes([number]) * 2_000_000

    def part(number: int) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": in_url("image/png", photo(number))}}

    text = {"type": "text", "text": "What is 5 + 3?"}
    data = {"type": "data", "value": base64.b64encode(photo(3)).decode(), "mimeType": "image/png"}
    page = {"id": "m1", "role": "user", "content": [text, {"type": "image", "source": data}]}
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {
            "model": "waystation",
            "messages": [{"role": "user", "content": [text, part(1)]}],
        },
        "/v1/responses": {
            "model": "waystation",
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is 5 + 3?"},
                        {"type": "input_image", "image_url": part(2)["image_url"]["url"]},
                    ],
                }
            ],
        },
        "/ag-ui": {
            "threadId": "photo",
            "runId": "r1",
            "messages": [page],
            "state": {},
            "tools": [],
            "context": [],
            "forwardedProps": {},
        },
        "/langgraph/runs/wait": {
            "assistant_id": "agent",
            "input": {"messages": [{"type": "human", "content": [text, part(4)]}]},
        },
    }
    for path, body in bodies.items():
        answer = await http.post(path, json=body, headers={"accept": "*/*"})
        assert answer.status_code == 200, answer.text
        assert "8" in answer.text
    kept = {f["etag"] for f in (await http.get("/files")).json()}
    assert {hashlib.sha256(photo(number)).hexdigest() for number in (1, 2, 3, 4)} <= kept


async def test_at13_a_message_of_the_langgraph_sdk_may_be_a_file_alone(http: httpx.AsyncClient) -> None:
    pay = documents.pdf([["The keeper is paid nineteen crowns for each foggy night."]])
    block = {"type": "file", "data": base64.b64encode(pay).decode(), "mimeType": "application/pdf"}
    said = {"role": "user", "content": [{**block, "metadata": {"filename": "wages.pdf"}}]}
    body = {"assistant_id": "agent", "input": {"messages": [said]}}
    answer = await http.post("/langgraph/runs/wait", json=body)
    assert answer.status_code == 200, answer.text
    state = answer.json()
    assert [file["name"] for file in state["files"]] == ["wages.pdf"]
    assert state["messages"][0]["content"] == "[wages.pdf]"
    planned = await http.post("/langgraph/runs/crons", json={**body, "schedule": "0 0 * * *"})
    assert planned.status_code == 501
    assert "a planned run has no files in its message" in planned.text


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, "nothing is fetched"),
        ({"type": "file", "file": {"filename": "a.pdf"}}, "neither the data"),
        ({"type": "audio"}, "parts of type 'audio' are not taken"),
        (7, "is no text and no object"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,???"}}, "is not base64"),
    ],
)
async def test_at14_chat_says_which_part_it_cannot_take(http: httpx.AsyncClient, part: Any, why: str) -> None:
    said = [{"type": "human", "content": ["What is 5 + 3?", part]}]
    answer = await http.post("/chat/invoke", json={"input": {"messages": said}})
    assert_problem(answer, 422, "invalid_request")
    assert why in answer.text


async def test_at15_a_file_of_somebody_else_is_not_found_in_a_message(http: httpx.AsyncClient) -> None:
    part = {"type": "file", "file": {"file_id": "f_nobody"}}
    said = [{"type": "human", "content": ["What is 5 + 3?", part]}]
    answer = await http.post("/chat/invoke", json={"input": {"messages": said}})
    assert_problem(answer, 404, "file_not_found")


def in_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
