"""S3 beyond the contract: large uploads, links to the bucket, and what a broken way answers."""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import httpx
import pytest
from botocore import exceptions
from botocore.awsrequest import AWSResponse

from core.health import HealthState
from nodes.file_storage.adapters.s3 import PART_BYTES, S3StorageClient
from nodes.file_storage.adapters.s3_errors import translated
from nodes.file_storage.errors import (
    FileNotFound,
    StorageBusy,
    StorageRefused,
    StorageTimedOut,
    StorageUnavailable,
)
from nodes.file_storage.models import FileInfo, Leftovers
from nodes.file_storage.probe import Probe
from nodes.file_storage.settings import FileStorageSettings, S3Settings
from waystation.testing.s3 import ACCESS_KEY, SECRET_KEY, Hook, S3Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as found:
        yield found


@pytest.fixture
def bucket() -> str:
    return f"b-{uuid.uuid4().hex}"


@pytest.fixture
async def client(server: S3Server, bucket: str) -> AsyncIterator[S3StorageClient]:
    found = S3StorageClient(server.settings(bucket, direct_links=True))
    yield found
    await found.aclose()


def draft(key: str = "k1", name: str = "日本.csv") -> FileInfo:
    return FileInfo(key, name, 0, "text/csv", "", datetime.now(UTC), "user", None, {}, "ada")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def vendor(server: S3Server) -> Any:
    session: Any = boto3
    return session.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


async def test_a_large_file_goes_up_in_parts(client: S3StorageClient, server: S3Server, bucket: str) -> None:
    piece = b"0123456789abcdef" * 65536
    parts = PART_BYTES // len(piece) + 3
    put = await client.put(draft(), chunks(*[piece] * parts))
    digest = hashlib.sha256()
    async for chunk in client.open("ada", "k1"):
        digest.update(chunk)
    assert digest.hexdigest() == put.etag
    raw = vendor(server)
    name = raw.list_objects_v2(Bucket=bucket)["Contents"][0]["Key"]
    assert "-" in raw.head_object(Bucket=bucket, Key=name)["ETag"]  # S3's mark of an upload in parts
    raw.close()


async def test_an_object_is_named_by_prefix_owner_and_key(
    client: S3StorageClient, server: S3Server, bucket: str
) -> None:
    await client.put(draft(), chunks(b"x"))
    raw = vendor(server)
    name = raw.list_objects_v2(Bucket=bucket)["Contents"][0]["Key"]
    raw.close()
    prefix, owner, key = name.split("/")
    assert (prefix, key) == ("waystation", "k1")
    assert owner.startswith("ada-")


async def test_a_direct_link_downloads_from_the_bucket(client: S3StorageClient) -> None:
    info = await client.put(draft(), chunks(b"a,b\n1,2\n"))
    link = await client.presign(info, 60)
    assert link is not None
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(link)
    assert answer.content == b"a,b\n1,2\n"
    assert answer.headers["content-type"] == "text/csv"
    assert "%E6%97%A5%E6%9C%AC.csv" in answer.headers["content-disposition"]


async def test_without_direct_links_there_is_no_address(server: S3Server, bucket: str) -> None:
    client = S3StorageClient(server.settings(bucket))
    assert await client.presign(draft(), 60) is None
    await client.aclose()


async def test_objects_that_others_put_there_are_files_with_plain_values(
    client: S3StorageClient, server: S3Server, bucket: str
) -> None:
    await client.put(draft(), chunks(b"x"))
    raw = vendor(server)
    ours = raw.list_objects_v2(Bucket=bucket)["Contents"][0]["Key"]
    raw.put_object(Bucket=bucket, Key=ours.replace("k1", "theirs"), Body=b"y")
    raw.close()
    info = await client.info("ada", "theirs")
    assert (info.name, info.size, info.origin, info.thread) == ("theirs", 1, "user", None)
    assert info.etag


async def test_an_empty_prefix_and_another_region_work(server: S3Server, bucket: str) -> None:
    client = S3StorageClient(server.settings(bucket, prefix="/", region="eu-central-1"))
    await client.put(draft(), chunks(b"x"))
    assert (await client.usage(None)).as_json() == {"files": 1, "bytes": 1, "owners": 1}
    assert [i.key async for i in client.scan("ada")] == ["k1"]
    await client.aclose()


async def test_two_processes_may_create_the_bucket(server: S3Server, bucket: str) -> None:
    for _ in range(2):
        client = S3StorageClient(server.settings(bucket, region="eu-central-1"))
        await asyncio.gather(client.put(draft("k1"), chunks(b"x")), client.put(draft("k2"), chunks(b"x")))
        assert (await client.usage("ada")).files == 2
        await client.aclose()


def _replaced_once(server: S3Server, bucket: str) -> Hook:
    """Somebody replaces each object that is about to be copied, the first time."""
    done: list[str] = []

    def replace(environ: dict[str, Any]) -> None:
        source = environ.get("HTTP_X_AMZ_COPY_SOURCE")
        if source and not done:
            done.append(source)
            raw = vendor(server)
            raw.put_object(Bucket=bucket, Key=source.split("/", 1)[1], Body=b"theirs")
            raw.close()

    return replace


async def test_a_file_that_is_replaced_meanwhile_keeps_its_new_content(
    client: S3StorageClient, server: S3Server, bucket: str
) -> None:
    await client.put(draft(), chunks(b"ours"))
    server.before_each_request(_replaced_once(server, bucket))
    changed = await client.annotate("ada", "k1", thread="t1")
    server.before_each_request(None)
    assert (changed.thread, changed.name) == ("t1", "k1")
    assert [chunk async for chunk in client.open("ada", "k1")] == [b"theirs"]


async def test_a_file_that_is_deleted_while_listing_is_left_out(
    client: S3StorageClient, server: S3Server, bucket: str
) -> None:
    await client.put(draft("k1"), chunks(b"x"))
    await client.put(draft("k2"), chunks(b"x"))

    def delete_first(environ: dict[str, Any]) -> None:
        if environ["REQUEST_METHOD"] == "HEAD" and environ["PATH_INFO"].endswith("k1"):
            raw = vendor(server)
            raw.delete_object(Bucket=bucket, Key=environ["PATH_INFO"].split("/", 2)[2])
            raw.close()

    server.before_each_request(delete_first)
    assert [info.key async for info in client.scan("ada")] == ["k2"]
    server.before_each_request(None)


async def test_a_missing_bucket_is_named_with_the_remedy(server: S3Server, bucket: str) -> None:
    client = S3StorageClient(server.settings(bucket, create_bucket=False))
    with pytest.raises(StorageUnavailable, match=f"no bucket '{bucket}'; create it or set"):
        await client.put(draft(), chunks(b"x"))
    with pytest.raises(StorageUnavailable, match="no bucket"):
        await client.usage(None)
    await client.aclose()


async def test_a_bucket_that_cannot_be_made_is_an_error(server: S3Server) -> None:
    client = S3StorageClient(server.settings("ab"))
    with pytest.raises(StorageUnavailable, match="InvalidBucketName"):
        await client.put(draft(), chunks(b"x"))
    await client.aclose()


def _settings(url: str, **others: float) -> S3Settings:
    values: dict[str, Any] = {
        "bucket": "b",
        "endpoint_url": url,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        **others,
    }
    return S3Settings.model_validate(values)


async def test_nobody_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = S3StorageClient(_settings(f"http://127.0.0.1:{port}"))
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await client.info("ada", "k1")
    await client.aclose()


async def test_a_service_that_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = S3StorageClient(_settings(f"http://127.0.0.1:{silent.getsockname()[1]}", read_seconds=0.2))
        with pytest.raises(StorageTimedOut, match="did not answer in time"):
            await client.info("ada", "k1")
        await client.aclose()


# botocore has no types.
vendor_errors: Any = exceptions


def _answer(code: str, status: int = 0, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    frame = {"HTTPStatusCode": status, "HTTPHeaders": named}
    return vendor_errors.ClientError({"Error": {"Code": code}, "ResponseMetadata": frame}, "GetObject")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (_answer("NoSuchKey"), FileNotFound, "no file 'k1'"),
        (_answer("AccessDenied"), StorageRefused, "does not let our keys read files; give them s3:GetObject"),
        (_answer("SlowDown", 503), StorageUnavailable, "answered SlowDown"),
        (_answer("EntityTooLarge", 400), StorageRefused, "answered EntityTooLarge"),
        (_answer("RequestTimeout", 400), StorageUnavailable, "answered RequestTimeout"),
        (_answer("429", 429), StorageBusy, "answered 429"),
        (_answer(""), StorageUnavailable, "answered an error"),
        (vendor_errors.NoCredentialsError(), StorageRefused, "set file_storage.s3.access_key_id"),
        (
            vendor_errors.ParamValidationError(report="x"),
            StorageUnavailable,
            "cannot be used: ParamValidationError",
        ),
        (
            vendor_errors.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            StorageUnavailable,
            "in the middle",
        ),
    ],
)
def test_every_failure_has_a_sentence(error: Any, kind: type[Exception], text: str) -> None:
    found = translated(error, bucket="b", key="k1")
    assert type(found) is kind
    assert text in found.detail


@pytest.mark.parametrize(("given", "seconds"), [("2", 2.0), ("soon", None)])
def test_a_bucket_that_says_when_to_come_back_is_heard(given: str, seconds: float | None) -> None:
    found: Any = translated(_answer("SlowDown", 503, retry_after=given), bucket="b")
    assert found.retry_after == seconds


def test_only_what_the_bucket_cannot_help_counts_against_it() -> None:
    counts = {
        code: translated(_answer(code, status), bucket="b", key="k").counts_as_failure
        for code, status in (("InternalError", 500), ("AccessDenied", 403), ("NoSuchKey", 404), ("x", 429))
    }
    assert counts == {"InternalError": True, "AccessDenied": False, "NoSuchKey": False, "x": False}


def without_metadata(environ: Any) -> None:
    """As a service does that speaks the part of S3's protocol about content alone."""
    for name in [name for name in environ if name.startswith("HTTP_X_AMZ_META_")]:
        del environ[name]


async def test_health_says_that_a_bucket_drops_what_stands_beside_a_file(
    client: S3StorageClient, server: S3Server, bucket: str
) -> None:
    probe = Probe(client, FileStorageSettings(backend="s3", s3=server.settings(bucket)), seconds=60)
    server.before_each_request(without_metadata)
    try:
        found = await probe.check()
    finally:
        server.before_each_request(None)
    assert (found.state, f"the bucket '{bucket}' does not keep" in found.reason) == (HealthState.FAILED, True)
    assert (await probe.check()).state is HealthState.HEALTHY


async def test_a_service_that_tells_of_no_uploads_in_parts_has_none_left_behind(
    client: S3StorageClient,
) -> None:
    """localbucket and s3rver answer 501; every night's cleaning would fail by it."""

    class Raw(io.BytesIO):
        def stream(self) -> Iterator[bytes]:
            yield self.read()

    answered: Any = AWSResponse  # botocore has no types

    def refuse(request: Any, **_: Any) -> Any:
        told = b"<Error><Code>NotImplemented</Code><Message>no</Message></Error>"
        return answered(request.url, 501, {}, Raw(told))

    await client.put(draft(), chunks(b"x"))
    client._client.meta.events.register("before-send.s3.ListMultipartUploads", refuse)
    assert await client.reconcile(datetime.now(UTC), remove=True) == Leftovers()
    made: Any = exceptions.ClientError
    answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
    assert isinstance(translated(made(answer, "CopyObject"), bucket="b"), StorageRefused)
