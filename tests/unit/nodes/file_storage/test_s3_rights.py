"""Keys of a bucket that lack a right: each verb says which, and health does."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core.authorization import enable_iam_authentication
from pydantic import SecretStr

from core.health import HealthState
from core.objects import Objects
from core.resilience import Policies, ResilienceSettings
from nodes.file_storage.adapters.s3 import S3StorageClient
from nodes.file_storage.adapters.s3_bucket import Bucket
from nodes.file_storage.adapters.s3_objects import S3Objects
from nodes.file_storage.errors import StorageRefused
from nodes.file_storage.models import FileInfo
from nodes.file_storage.probe import Probe
from nodes.file_storage.settings import FileStorageSettings, S3Settings
from waystation.testing.s3 import ACCESS_KEY, SECRET_KEY, S3Server

ALL = ("GetObject", "PutObject", "DeleteObject", "ListBucket")


class Grounds:
    """A bucket with one file in it, and keys with some rights."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.bucket = f"b-{uuid.uuid4().hex}"
        session: Any = boto3.session.Session()  # type: ignore[no-untyped-call]  # boto3 has no types
        self._iam = session.client(
            "iam",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def settings(self, *rights: str) -> S3Settings:
        """For keys with these rights alone."""
        name = uuid.uuid4().hex
        self._iam.create_user(UserName=name)
        allowed = {"Effect": "Allow", "Action": [f"s3:{right}" for right in rights], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        self._iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
        made = self._iam.create_access_key(UserName=name)["AccessKey"]
        return self.server.settings(
            self.bucket,
            access_key_id=SecretStr(made["AccessKeyId"]),
            secret_access_key=SecretStr(made["SecretAccessKey"]),
            create_bucket=False,
        )


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as found:
        yield found


@pytest.fixture
async def grounds(server: S3Server) -> Grounds:
    found = Grounds(server)
    client = S3StorageClient(server.settings(found.bucket))
    await client.put(draft("there"), content())
    await client.aclose()
    return found


def draft(key: str) -> FileInfo:
    return FileInfo(key, "a.txt", 0, "text/plain", "", datetime.now(UTC), "user", None, {}, "ada")


async def content() -> AsyncIterator[bytes]:
    yield b"text"


async def read(client: S3StorageClient) -> None:
    assert [chunk async for chunk in client.open("ada", "there")] == [b"text"]


async def listed(client: S3StorageClient) -> None:
    assert [info.key async for info in client.scan("ada")] != []


VERBS: dict[str, tuple[Callable[[S3StorageClient], Awaitable[Any]], str, str]] = {
    "upload": (lambda c: c.put(draft("new"), content()), "PutObject", "write files; give them s3:PutObject"),
    "download": (read, "GetObject", "read files; give them s3:GetObject"),
    "info": (lambda c: c.info("ada", "there"), "GetObject", "read files; give them s3:GetObject"),
    "list": (listed, "ListBucket", "list; give them s3:ListBucket"),
    "usage": (lambda c: c.usage(None), "ListBucket", "list; give them s3:ListBucket"),
    "delete": (lambda c: c.delete("ada", "there"), "DeleteObject", "delete files; give them s3:DeleteObject"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb_names_the_right_that_is_missing_and_works_with_it(
    grounds: Grounds, verb: str
) -> None:
    does, right, told = VERBS[verb]
    without = S3StorageClient(grounds.settings(*(one for one in ALL if one != right)))
    allowed = S3StorageClient(grounds.settings(*ALL))
    with enable_iam_authentication():
        with pytest.raises(StorageRefused) as refused:
            await does(without)
        await does(allowed)
    assert refused.value.detail.startswith(f"bucket '{grounds.bucket}' does not let our keys {told}")
    assert not refused.value.retryable
    for client in (without, allowed):
        await client.aclose()


@pytest.mark.parametrize("right", ALL)
async def test_health_says_which_right_is_missing(grounds: Grounds, right: str) -> None:
    client = S3StorageClient(grounds.settings(*(one for one in ALL if one != right)))
    settings = FileStorageSettings(backend="s3", s3=client._settings)
    with enable_iam_authentication():
        health = await Probe(client, settings, seconds=60).check()
    assert health.state is HealthState.FAILED
    assert f"give them s3:{right}" in health.reason
    await client.aclose()


async def test_with_all_rights_health_is_well(grounds: Grounds) -> None:
    client = S3StorageClient(grounds.settings(*ALL))
    settings = FileStorageSettings(backend="s3", s3=client._settings)
    with enable_iam_authentication():
        health = await Probe(client, settings, seconds=60).check()
    assert health.state is HealthState.HEALTHY
    await client.aclose()


async def test_objects_of_other_modules_are_told_the_same(grounds: Grounds, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"part")

    def objects(*rights: str) -> Objects:
        return S3Objects(Bucket(grounds.settings(*rights), Policies(ResilienceSettings())), "index")

    reading, listing, writing = objects("GetObject"), objects("ListBucket"), objects("PutObject")
    with enable_iam_authentication():
        for work, told in (
            (reading.upload("part", tmp_path / "part"), "s3:PutObject"),
            (reading.replace("pointer", b"1", tag=""), "s3:PutObject"),
            (reading.ages(""), "s3:ListBucket"),
            (listing.read("part"), "s3:GetObject"),
            (writing.delete(["part"]), "s3:DeleteObject"),
        ):
            with pytest.raises(StorageRefused, match=told):
                await work
    for each in (reading, listing, writing):
        each.close()
