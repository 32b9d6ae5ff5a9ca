"""The outermost layer: what gets there by no other way is told as what it is."""

from __future__ import annotations

import errno
import sqlite3

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from server.middleware.edge import Edge


async def asked(error: Exception) -> httpx.Response:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    transport = httpx.ASGITransport(app=Edge(broken))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        return await http.get("/threads")


def locked() -> sqlite3.Error:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full", "/private"), locked()])
async def test_g2_2_an_outage_that_got_past_everything_is_a_503(error: Exception) -> None:
    answer = await asked(error)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert "private" not in answer.text


async def test_a_fault_of_ours_is_a_500_without_its_text() -> None:
    answer = await asked(ValueError("hunter2"))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text
