"""kill -9 in the middle of an import: nothing of it shows, it can be sent again, and nothing of it stays."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from core.access import Principal
from graph.threads.housekeeping import ThreadUpkeep
from nodes.file_storage import FileManager
from waystation.testing.agents import open_agent, write_config
from waystation.testing.service import Service

NDJSON = {"content-type": "application/x-ndjson"}
DEADLINE_SECONDS = 30


def test_an_import_that_a_kill_cut_leaves_nothing_behind(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with (
        Service(tmp_path / "home", config_dir=config) as service,
        httpx.Client(base_url=service.url, timeout=DEADLINE_SECONDS) as http,
    ):
        data = exported(http)
        cut_short(service, data)
        service.start()
        assert [thread["id"] for thread in http.get("/threads").json()] == ["t"]
        made = http.post("/threads/import", content=data, headers=NDJSON).raise_for_status().json()
        assert made["turns"] == 1
    swept, threads = asyncio.run(cleaned(tmp_path))
    assert swept == 1
    assert threads == {"t", made["id"]}


def exported(http: httpx.Client) -> bytes:
    """A thread with an upload of its user."""
    sent = http.post("/files", files={"file": ("a.txt", b"5 apples", "text/plain")}).raise_for_status()
    body: dict[str, Any] = {"input": {"message": "What is 5 + 3?", "files": [sent.json()["key"]]}}
    body["config"] = {"configurable": {"thread_id": "t"}}
    assert http.post("/agent/invoke", json=body).raise_for_status().json()["output"]["status"] == "done"
    return http.post("/threads/t/export").raise_for_status().content


def cut_short(service: Service, data: bytes) -> None:
    """Send all but the last line, and kill the service when it has stored the file."""
    release = threading.Event()

    def lines() -> Iterator[bytes]:
        yield data[: data.rstrip().rindex(b"\n") + 1]
        release.wait(DEADLINE_SECONDS)

    def send() -> None:
        with suppress(httpx.TransportError):
            answer = httpx.post(
                f"{service.url}/threads/import", content=lines(), headers=NDJSON, timeout=DEADLINE_SECONDS
            )
            raise AssertionError(f"it was answered: {answer.text}")

    with ThreadPoolExecutor(1) as pool:
        sender = pool.submit(send)
        until = time.monotonic() + DEADLINE_SECONDS
        while len(httpx.get(f"{service.url}/files").json()) < 2:  # it is another process: no event tells
            assert time.monotonic() < until, "the import stored no file"
            time.sleep(0.02)
        service.kill()
        release.set()
        sender.result()


async def cleaned(folder: Path) -> tuple[int, set[str | None]]:
    """How many left-over threads a sweep found, and which threads have files after it."""
    async with open_agent(folder) as agent:
        swept = await (await agent.container.get(ThreadUpkeep)).sweep(time.time() + 1)
        files = await (await agent.container.get(FileManager)).list(Principal("local"))
        return swept, {file.thread for file in files}
