"""A bucket that fails: what a turn with a file costs and says, who notices, and that it mends itself."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from core.events import EventBus, record
from core.resilience import BreakerClosed, BreakerOpened
from graph.agent import Agent
from tests.kit.flaky import FlakyProxy
from tests.kit.http import assert_problem, client_of, served, turn
from waystation.testing.agents import BUNDLED, open_agent
from waystation.testing.s3 import S3Server

CSV = b"region,amount\nnorth,10\nsouth,32\n"
QUESTION = "Aggregate sales.csv: the total of amount by region"
READ_SECONDS = 2.0
RECOVERY_SECONDS = 30.0


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FlakyProxy]:
    with FlakyProxy(s3.url) as proxy:
        yield proxy


@pytest.fixture
def bucket() -> str:
    return f"b-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def agent(
    tmp_path_factory: pytest.TempPathFactory, s3: S3Server, proxy: FlakyProxy, bucket: str
) -> AsyncIterator[Agent]:
    s3_settings = s3.settings(bucket, endpoint_url=proxy.url, read_seconds=READ_SECONDS)
    plain = {
        **s3_settings.model_dump(exclude={"access_key_id", "secret_access_key"}),
        "access_key_id": "test-access-key",
        "secret_access_key": "test-secret-key",
    }
    storage = {"backend": "s3", "s3": plain}
    home = tmp_path_factory.mktemp("fault")
    async with open_agent(home, tools=BUNDLED, auth={"user": "ada"}, file_storage=storage) as agent:
        yield agent


@pytest.fixture
async def http(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    async with served(agent) as base, client_of(base) as client:
        yield client


def body(key: str | None, thread: str) -> dict[str, Any]:
    found = turn(QUESTION, thread_id=thread, tools=["tables"])
    found["input"]["files"] = [key] if key else []
    return found


async def upload(http: httpx.AsyncClient) -> str:
    answer = await http.post("/files", files={"file": ("sales.csv", CSV, "text/csv")})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


async def storage_health(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get("/health")).json()["modules"]["file_storage"]
    return found


async def until_healthy(http: httpx.AsyncClient, seconds: float) -> None:
    """Ask as a monitor does, and nobody else asks anything."""
    async with asyncio.timeout(seconds):
        while (await storage_health(http))["state"] != "healthy":  # noqa: ASYNC110 - health has no event
            await asyncio.sleep(0.5)


async def test_a_turn_whose_tool_needs_a_file_ends_and_says_so_while_the_bucket_answers_503(
    http: httpx.AsyncClient, agent: Agent, proxy: FlakyProxy, bucket: str
) -> None:
    key = await upload(http)
    first = (await http.post("/agent/invoke", json=body(key, "t1"))).json()["output"]
    assert "32" in first["answer"]
    bus = await agent.container.get(EventBus)

    proxy.answer(503)
    with record(bus, BreakerOpened, BreakerClosed) as seen:
        # The file belongs to the thread by now: the turn begins, and its tool does not get the file.
        began = time.monotonic()
        output = (await http.post("/agent/invoke", json=body(None, "t1"))).json()["output"]
        assert time.monotonic() - began < 20
        assert output["status"] == "done"
        assert {call["status"] for call in output["tool_calls"]} == {"error"}
        # A turn that names a file is refused before anything is stored.
        assert_problem(await http.post("/agent/invoke", json=body(key, "t2")), 503)
        # Enough of them, and the bucket is left alone; nobody waits for it any more.
        refused = assert_problem(await http.get(f"/files/{key}"), 503)
        while refused["code"] == "storage_unavailable":
            refused = assert_problem(await http.get(f"/files/{key}"), 503)
        assert refused["code"] == "circuit_open"
        (opened,) = await seen.wait_for(BreakerOpened)
        assert (opened.kind, opened.name) == ("bucket", bucket)

        health = await storage_health(http)
        assert health["state"] == "degraded"
        assert f"'{bucket}'" in health["reason"]
        assert health["since"]
        assert health["details"]["breaker"]["state"] != "closed"
        assert (await http.get("/health/ready")).status_code == 200
        # A turn without files has nothing to do with it.
        sum_ = (await http.post("/agent/invoke", json=turn())).json()["output"]
        assert "8" in sum_["answer"]

        proxy.heal()
        await until_healthy(http, RECOVERY_SECONDS)
        await seen.wait_for(BreakerClosed)
    again = (await http.post("/agent/invoke", json=body(key, "t3"))).json()["output"]
    assert "32" in again["answer"]
    assert again["files"]


async def test_a_bucket_that_hangs_costs_its_time_limit_and_then_nothing(
    http: httpx.AsyncClient, proxy: FlakyProxy, bucket: str
) -> None:
    key = await upload(http)
    await http.post("/agent/invoke", json=body(key, "t1"))

    proxy.hang()
    began = time.monotonic()
    turns = [http.post("/agent/invoke", json=body(key, f"h{n}")) for n in range(6)]
    other = http.post("/agent/invoke", json=turn())
    *hung, summed = await asyncio.gather(*turns, other)
    assert time.monotonic() - began < 20
    assert "8" in summed.json()["output"]["answer"]
    assert {answer.status_code for answer in hung} <= {503, 504}
    codes = {answer.json()["code"] for answer in hung}
    assert "storage_timed_out" in codes
    began = time.monotonic()
    assert_problem(await http.get(f"/files/{key}"), 503, "circuit_open")
    assert time.monotonic() - began < READ_SECONDS
    health = await storage_health(http)
    assert (health["state"], f"'{bucket}'" in health["reason"]) == ("degraded", True)

    proxy.heal()
    await until_healthy(http, RECOVERY_SECONDS)
    assert (await http.get(f"/files/{key}/content")).content == CSV


async def test_an_artifact_that_cannot_be_stored_is_stored_by_the_next_turn(
    http: httpx.AsyncClient, proxy: FlakyProxy, agent: Agent
) -> None:
    key = await upload(http)
    await http.post("/agent/invoke", json=body(key, "t1"))
    before = {item["key"] for item in (await http.get("/files")).json()}
    # The tool reads by a link that this process serves, from a bucket that a moment later is away.
    events: list[dict[str, Any]] = []
    async for event in agent.stream(QUESTION, thread="t1", tools=["tables"]):
        events.append(event)
        if event["type"] == "tool_result":
            proxy.refuse()
    codes = [event["code"] for event in events if event["type"] == "notice"]
    assert events[-1]["status"] == "done"
    assert "32" in events[-1]["answer"]
    assert {"storage_unavailable", "circuit_open"} & set(codes)

    proxy.heal()
    await until_healthy(http, RECOVERY_SECONDS)
    await http.post("/agent/invoke", json=turn(thread_id="t1"))
    assert {item["key"] for item in (await http.get("/files")).json()} > before
