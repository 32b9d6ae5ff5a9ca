"""What a browser may do to us for somebody else's page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from graph.agent import Agent
from tests.kit.http import assert_problem, client_of, served
from waystation.testing.agents import open_agent

PAGE = "http://127.0.0.1:3000"
FRIEND = "http://localhost:5173"


@pytest.mark.parametrize("path", ["/threads", "/files", "/agent/invoke", "/threads/import"])
@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
)
async def test_g8_what_needs_no_preflight_is_refused_from_another_port(
    http: httpx.AsyncClient, path: str, kind: str
) -> None:
    before = (await http.get("/threads")).json()
    headers = {"origin": PAGE, "sec-fetch-site": "same-site", **({"content-type": kind} if kind else {})}
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nx\r\n--x--\r\n'
    assert_problem(await http.post(path, content=part, headers=headers), 403, "host_refused")
    assert (await http.get("/threads")).json() == before


async def test_g8_programs_that_name_no_origin_are_answered(http: httpx.AsyncClient) -> None:
    assert (await http.post("/threads")).status_code == 201
    assert (await http.post("/files", files={"file": ("a.txt", b"x")})).status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/agent/playground/",
        "/chat/playground/",
        "/threads",
        "/health/live",
        "/none",
        "/threads/none",
    ],
)
async def test_g8_no_answer_can_be_framed_or_guessed_at(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path)).headers
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


async def test_g8_refusals_carry_the_same_headers(http: httpx.AsyncClient) -> None:
    for sent in (
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"headers": {"origin": PAGE}},
    ):
        answer = await http.post("/agent/invoke", **sent)
        assert answer.status_code in (400, 403)
        assert answer.headers["x-frame-options"] == "DENY"


async def test_what_a_file_forbids_browsers_stays_forbidden(http: httpx.AsyncClient) -> None:
    key = (await http.post("/files", files={"file": ("a.html", b"<p>")})).json()["key"]
    policy = (await http.get(f"/files/{key}/content")).headers.get_list("content-security-policy")
    assert policy == ["sandbox; default-src 'none'", "frame-ancestors 'none'"]


class TestAllowed:
    """Pages of one other origin may call, since the operator said so."""

    @pytest.fixture(scope="class")
    async def opened(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
        folder: Path = tmp_path_factory.mktemp("friend")
        async with open_agent(folder, server={"cors_origins": [FRIEND]}, auth={"mode": "keys"}) as agent:
            yield agent

    @pytest.fixture
    async def other(self, opened: Agent) -> AsyncIterator[httpx.AsyncClient]:
        async with served(opened) as base, client_of(base) as client:
            yield client

    async def test_g8_its_preflights_are_answered_without_a_login(self, other: httpx.AsyncClient) -> None:
        wanted = "authorization, last-event-id, idempotency-key, mcp-protocol-version, x-api-key"
        asked = {"access-control-request-method": "POST", "access-control-request-headers": wanted}
        for path in ("/agent/stream", "/v1/responses", "/langgraph/threads/search"):
            answer = await other.options(path, headers={"origin": FRIEND, **asked})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == FRIEND
            assert set(wanted.split(", ")) <= set(answer.headers["access-control-allow-headers"].split(", "))
            assert "POST" in answer.headers["access-control-allow-methods"]
            assert "Origin" in answer.headers["vary"]

    async def test_g8_it_can_read_answers_refusals_too(self, other: httpx.AsyncClient) -> None:
        answer = await other.get("/threads", headers={"origin": FRIEND, "sec-fetch-site": "cross-site"})
        assert_problem(answer, 401)
        assert answer.headers["access-control-allow-origin"] == FRIEND
        assert answer.headers["vary"] == "Origin"
        readable = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
        named = {"Location", "Content-Location", "Last-Event-ID", "X-Request-ID", "Mcp-Session-Id"}
        assert named | {"X-Pagination-Total"} <= readable

    async def test_g8_preflights_of_others_are_refused(self, other: httpx.AsyncClient) -> None:
        answer = await other.options(
            "/threads", headers={"origin": PAGE, "access-control-request-method": "POST"}
        )
        assert_problem(answer, 403, "host_refused")
        assert "access-control-allow-origin" not in answer.headers
