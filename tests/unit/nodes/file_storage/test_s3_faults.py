"""S3 by way of something that fails: what is tried again, what is not, and what it costs."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from core.health import HealthState
from core.resilience import BreakerOpen, Policies, ResilienceSettings
from nodes.file_storage.adapters.s3 import S3StorageClient
from nodes.file_storage.errors import StorageRefused, StorageTimedOut, StorageUnavailable
from nodes.file_storage.models import FileInfo
from nodes.file_storage.probe import Probe
from nodes.file_storage.settings import FileStorageSettings, S3Settings
from tests.kit.flaky import FlakyProxy
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.s3 import S3Server

pytestmark = pytest.mark.slow

READ_SECONDS = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as found:
        yield found


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FlakyProxy]:
    with FlakyProxy(server.url) as found:
        yield found


@pytest.fixture
def settings(server: S3Server, proxy: FlakyProxy) -> S3Settings:
    bucket = f"b-{uuid.uuid4().hex}"
    return server.settings(bucket, endpoint_url=proxy.url, read_seconds=READ_SECONDS)


def policies(**bucket: Any) -> Policies:
    return Policies(ResilienceSettings.model_validate({"bucket": {"backoff_s": 0.01, **bucket}}))


@pytest.fixture
async def client(settings: S3Settings) -> AsyncIterator[S3StorageClient]:
    async with opened(settings) as found:
        yield found


class opened:  # noqa: N801 - reads as the function that it is for its users
    """A client whose bucket is there."""

    def __init__(self, settings: S3Settings, **policy: Any) -> None:
        self._client = S3StorageClient(settings, policies=policies(**policy))

    async def __aenter__(self) -> S3StorageClient:
        await self._client.put(draft("first"), chunks(b"first"))
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()


def draft(key: str = "k1") -> FileInfo:
    return FileInfo(key, "a.txt", 0, "text/plain", "", datetime.now(UTC), "user", None, {}, "ada")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(client: S3StorageClient, key: str) -> bytes:
    return b"".join([chunk async for chunk in client.open("ada", key)])


async def test_an_upload_that_fails_is_sent_again_whole_although_its_data_came_once(
    settings: S3Settings, proxy: FlakyProxy
) -> None:
    async with opened(settings, attempts=11, in_a_row=100, min_calls=16) as client:
        proxy.fail(60, seed=3)
        content = bytes(range(256)) * 1000
        before = proxy.requests
        put = await client.put(draft(), chunks(content[:1000], content[1000:]))
        tries = proxy.requests - before
        proxy.heal()
        assert tries > 1
        assert put.etag == hashlib.sha256(content).hexdigest()
        assert await read(client, "k1") == content


async def test_a_failing_bucket_is_left_alone_after_five_failures(
    client: S3StorageClient, proxy: FlakyProxy
) -> None:
    proxy.answer(503)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await client.info("ada", "first")
    asked = proxy.requests
    with pytest.raises(BreakerOpen, match="the bucket 'b-"):
        await client.info("ada", "first")
    assert proxy.requests == asked
    assert client.breaker().state == "open"


async def test_a_bucket_that_hangs_costs_its_read_limit_once(
    client: S3StorageClient, proxy: FlakyProxy
) -> None:
    proxy.hang()
    asked, began = proxy.requests, time.monotonic()
    with pytest.raises(StorageTimedOut):
        await client.info("ada", "first")
    assert time.monotonic() - began < READ_SECONDS + A_BUSY_MACHINE_S
    assert proxy.requests == asked + 1


async def test_a_bucket_that_says_a_little_now_and_then_costs_the_policys_limit(
    settings: S3Settings, proxy: FlakyProxy
) -> None:
    patient = settings.model_copy(update={"read_seconds": 20.0})
    async with opened(patient, timeout_s=0.5) as client:
        proxy.hang()
        with pytest.raises(StorageTimedOut, match=r"within 0\.5 s"):
            await client.info("ada", "first")


async def test_what_the_bucket_refuses_does_not_count_against_it(settings: S3Settings) -> None:
    client = S3StorageClient(settings.model_copy(update={"create_bucket": False}), policies=policies())
    for _ in range(12):
        with pytest.raises(StorageRefused):
            await client.usage(None)
    assert client.breaker().state == "closed"
    await client.aclose()


async def test_a_download_that_fails_before_its_first_byte_is_begun_again(
    client: S3StorageClient, proxy: FlakyProxy
) -> None:
    proxy.cut(after=50)
    asked = proxy.requests
    with pytest.raises(StorageUnavailable):
        await read(client, "first")
    assert proxy.requests == asked + 3


async def test_a_download_that_breaks_off_later_is_not_begun_again(
    settings: S3Settings, proxy: FlakyProxy
) -> None:
    # The reset may overtake the first chunk: then, and only then, it is asked for again.
    async with opened(settings, attempts=10, in_a_row=100, min_calls=100, window=100) as client:
        await client.put(draft("big"), chunks(*[b"x" * 1_000_000] * 4))
        proxy.cut(after=2_500_000)
        seen = list[int]()

        async def read_on() -> None:
            async for chunk in client.open("ada", "big"):
                seen.append(len(chunk))

        with pytest.raises(StorageUnavailable):
            await read_on()
        # Begun again after a chunk, it would have given more than the proxy lets through once.
        assert 0 < sum(seen) <= 2_500_000
        assert client.breaker().failures >= 1


async def test_a_reader_who_leaves_a_download_that_hangs_holds_nobody_up(
    settings: S3Settings, proxy: FlakyProxy
) -> None:
    patient = settings.model_copy(update={"read_seconds": 8.0})
    async with opened(patient) as client:
        await client.put(draft("big"), chunks(*[b"x" * 1_000_000] * 30))
        reader = client.open("ada", "big")
        await anext(reader)
        proxy.hang()

        async def rest() -> None:
            async for _ in reader:
                pass

        began = time.monotonic()
        task = asyncio.create_task(rest())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.shield(task)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert time.monotonic() - began < 6


async def test_health_names_the_bucket_that_is_left_alone_and_finds_out_that_it_is_back(
    settings: S3Settings, proxy: FlakyProxy
) -> None:
    async with opened(settings, open_s=0.2) as client:
        probe = Probe(client, FileStorageSettings(backend="s3", s3=settings))
        assert (await probe.check()).details["breaker"]["state"] == "closed"
        proxy.answer(503)
        first = await probe.check()
        assert (first.state, first.details["breaker"]["failures"]) == (HealthState.DEGRADED, 3)
        second = await probe.check()
        assert second.state is HealthState.DEGRADED
        assert second.reason.startswith(f"the bucket '{settings.bucket}' failed too often (5 of ")
        assert "its breaker is open since " in second.reason
        proxy.heal()
        async with asyncio.timeout(10):
            while (await probe.check()).state is not HealthState.HEALTHY:  # noqa: ASYNC110 - by the clock
                await asyncio.sleep(0.05)
        assert client.breaker().state == "closed"


async def test_a_probe_that_is_given_up_counts_for_nothing(settings: S3Settings, proxy: FlakyProxy) -> None:
    async with opened(settings) as client:
        probe = Probe(client, FileStorageSettings(backend="s3", s3=settings), seconds=0.1)
        proxy.hang()
        health = await probe.check()
        assert (health.state, health.reason) == (
            HealthState.DEGRADED,
            f"the bucket '{settings.bucket}' did not answer within 0.1 s",
        )
        assert client.breaker().failures == 0


async def test_a_bucket_that_refuses_us_has_failed_until_somebody_acts(settings: S3Settings) -> None:
    missing = settings.model_copy(update={"create_bucket": False})
    client = S3StorageClient(missing, policies=policies())
    health = await Probe(client, FileStorageSettings(backend="s3", s3=missing)).check()
    assert health.state is HealthState.FAILED
    assert "create it or set file_storage.s3.create_bucket" in health.reason
    await client.aclose()
