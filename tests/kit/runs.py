"""Short ways to begin runs over HTTP and to wait for them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.kit.http import data_of
from waystation.testing.model_server import ModelServer


async def begin(http: httpx.AsyncClient, thread: str, message: str = "hi", **more: Any) -> str:
    """A background run that was accepted; its id.

    Args:
        more: `headers`, or more of the body.
    """
    headers = more.pop("headers", None)
    body = {"input": {"message": message}, **more}
    answer = await http.post(f"/threads/{thread}/runs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json().keys() == {"run_id", "thread_id", "status"}
    assert answer.json()["thread_id"] == thread
    return str(answer.json()["run_id"])


async def ended(http: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The run, when it has ended or waits for a person."""
    answer = await http.get(f"/runs/{run_id}/wait", params={"timeout": 50})
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    assert run["status"] not in ("queued", "running"), run
    return run


async def resumed(http: httpx.AsyncClient, run_id: str, answers: dict[str, Any] | None = None) -> None:
    """Go on with a run, which must be possible."""
    body = None if answers is None else {"resume": answers}
    answer = await http.post(f"/runs/{run_id}/resume", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["run_id"] == run_id


async def events_of(http: httpx.AsyncClient, run_id: str, after: int = 0) -> list[dict[str, Any]]:
    """Every event of a run that has ended or waits."""
    return data_of((await http.get(f"/runs/{run_id}/events", params={"after": after})).text)


async def said_on(http: httpx.AsyncClient, thread: str) -> list[tuple[str, str]]:
    """Role and text of each message of the transcript."""
    page = (await http.get(f"/threads/{thread}/transcript")).json()
    return [(message["role"], message["text"]) for message in page["messages"]]


async def until_active(model: ModelServer, count: int) -> None:
    """The model has so many streams open."""
    await asyncio.to_thread(model.wait_for_active, count)
