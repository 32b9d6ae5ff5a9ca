"""Objects of a bucket for another module (`core.objects.Objects`)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from core.errors import WaystationError
from core.objects import Object, Objects
from nodes.file_storage.adapters.s3_bucket import Bucket
from nodes.file_storage.adapters.s3_errors import code_of, translated
from nodes.file_storage.errors import FileNotFound

PART_BYTES = 16 * 1024 * 1024
_AT_ONCE = 1000
_ANOTHER = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_GONE = {"NoSuchKey", "404", "NotFound"}
# What services answer that know no conditions.
_NO_CONDITIONS = {"NotImplemented", "501", "InvalidArgument", "InvalidRequest"}
# Parts go one after the other in the pool's own thread: no threads beside the pool.
_TRANSFER: Any = TransferConfig(  # type: ignore[no-untyped-call]  # boto3 has no types
    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
)


class S3Objects(Objects):
    """Below `prefix` of a bucket. Every request may be sent twice without harm."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._client = bucket.client
        self._top = f"{prefix}/" if prefix else ""

    async def read(self, name: str) -> Object | None:
        await self._bucket.ensure()
        try:
            return await self._bucket.call(self._read, name, key=name)
        except FileNotFound:
            return None

    async def replace(self, name: str, content: bytes, *, tag: str) -> bool:
        return bool(await self.replaced(name, content, tag=tag))

    async def replaced(self, name: str, content: bytes, *, tag: str) -> str:
        """As `replace`; gives the tag that it has then, "" where another one is there."""
        await self._bucket.ensure()
        return await self._bucket.call(self._replace, name, content, tag, key=name)

    async def upload(self, name: str, path: Path) -> None:
        await self._bucket.ensure()
        await self._bucket.call(self._upload, name, path, key=name, parts=_parts(path))

    async def download(self, name: str, path: Path) -> bool:
        try:
            await self._bucket.call(self._download, name, path, key=name)
        except FileNotFound:
            return False
        return True

    async def ages(self, below: str) -> dict[str, float]:
        found: dict[str, float] = {}
        more: dict[str, Any] = {}
        while True:
            page = await self._bucket.call(
                self._client.list_objects_v2, Bucket=self._bucket.name, Prefix=self._top + below, **more
            )
            now = _now(page)
            for item in page.get("Contents", []):
                found[str(item["Key"]).removeprefix(self._top)] = _age(item, now)
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def delete(self, names: Iterable[str]) -> None:
        wanted = [{"Key": self._top + name} for name in names]
        for first in range(0, len(wanted), _AT_ONCE):
            part = {"Objects": wanted[first : first + _AT_ONCE], "Quiet": True}
            answer = await self._bucket.call(
                self._client.delete_objects, Bucket=self._bucket.name, Delete=part
            )
            # The call succeeds, whatever became of each of them.
            for failure in answer.get("Errors", []):
                raise self._not_deleted(str(failure.get("Code", "")))

    def below(self, prefix: str) -> Objects:
        return S3Objects(self._bucket, self._top + prefix)

    def close(self) -> None:
        self._bucket.close()

    def _not_deleted(self, code: str) -> WaystationError:
        made: Any = ClientError  # boto3 has no types
        return translated(made({"Error": {"Code": code}}, "DeleteObjects"), bucket=self._bucket.name)

    def _read(self, name: str) -> Object:
        found = self._client.get_object(**self._at(name))
        return Object(found["Body"].read(), str(found["ETag"]), _age(found, _now(found)))

    def _replace(self, name: str, content: bytes, tag: str) -> str:
        try:
            return str(self._client.put_object(**self._at(name), Body=content, **_only_if(tag))["ETag"])
        except ClientError as error:
            code = code_of(error)
            if code in _NO_CONDITIONS:
                return self._replace_unguarded(name, content, tag)
            if code in _GONE and tag:
                return ""
            if code not in _ANOTHER:
                raise
            # What is sent twice meets what it wrote itself, the answer to which was lost.
            return self._tag_of(name, content)

    def _replace_unguarded(self, name: str, content: bytes, tag: str) -> str:
        """Look, write and look again: all that can be done without conditions."""
        try:
            there = str(self._client.head_object(**self._at(name))["ETag"])
        except ClientError as error:
            if code_of(error) not in _GONE:
                raise
            there = ""
        if there != tag:
            return ""
        self._client.put_object(**self._at(name), Body=content)
        return self._tag_of(name, content)

    def _tag_of(self, name: str, content: bytes) -> str:
        """The tag of the object, where it has this content; else ""."""
        try:
            found = self._read(name)
        except ClientError as error:
            if code_of(error) in _GONE:
                return ""
            raise
        return found.tag if found.content == content else ""

    def _upload(self, name: str, path: Path) -> None:
        # `upload_file` would hide what the service says in an error of its own.
        with path.open("rb") as file:
            self._client.upload_fileobj(file, **self._at(name), Config=_TRANSFER)

    def _download(self, name: str, path: Path) -> None:
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.draft")
        try:
            body = self._client.get_object(**self._at(name))["Body"]
            with draft.open("wb") as file:
                for chunk in body.iter_chunks(1024 * 1024):
                    file.write(chunk)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket.name, "Key": self._top + name}


def _only_if(tag: str) -> dict[str, str]:
    return {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}


def _parts(path: Path) -> int:
    return 1 + path.stat().st_size // PART_BYTES


def _now(answer: Mapping[str, Any]) -> datetime:
    """The time at the store; ours where it does not say."""
    told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(told)
    except (TypeError, ValueError):
        return datetime.now(UTC)


def _age(item: Mapping[str, Any], now: datetime) -> float:
    written: datetime = item["LastModified"]
    return max(0.0, (now - written).total_seconds())
