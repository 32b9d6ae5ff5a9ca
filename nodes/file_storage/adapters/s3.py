"""Files as objects of a bucket: `<prefix>/<owner>/<key>`, what we know of them in the object's metadata."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import IO, Any, ParamSpec, TypeVar, cast

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from nodes.file_storage.adapters.intake import Intake
from nodes.file_storage.adapters.s3_errors import code_of, translated
from nodes.file_storage.adapters.s3_metadata import info_from_head, metadata_of
from nodes.file_storage.delivery import disposition
from nodes.file_storage.errors import FileNotFound, StorageUnavailable
from nodes.file_storage.models import CHUNK_BYTES, FileInfo, Room, Usage
from nodes.file_storage.naming import owner_folder
from nodes.file_storage.settings import S3Settings

P = ParamSpec("P")
T = TypeVar("T")

MEMORY_BYTES = 8 * 1024 * 1024
PART_BYTES = 16 * 1024 * 1024
HEADS = 16
TRIES = 3

# Parts go one after the other in the pool's own thread: no threads beside the pool.
_TRANSFER: Any = TransferConfig(  # type: ignore[no-untyped-call]  # boto3 has no types
    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
)


class S3StorageClient:
    """A FileStore on S3 or on anything that speaks its protocol.

    One client for the process, used only in a thread pool as large as its
    connection pool. Nothing is retried here: the first failure is reported.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._bucket = settings.bucket
        self._pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="s3")
        self._client = _client(settings)
        self._bucket_is_there = not settings.create_bucket
        self._creating = asyncio.Lock()

    async def put(self, draft: FileInfo, data: AsyncIterator[bytes]) -> FileInfo:
        await self._ensure_bucket()
        # The spool is a file without a name: nothing is left of it, however we end.
        spool = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  # closed below
        try:
            intake = Intake(cast("IO[bytes]", spool))
            async for chunk in data:
                await self._run(intake.write, chunk)
            info = replace(draft, size=intake.size, etag=intake.etag)
            await self._call(self._upload, spool, info, key=info.key)
            return info
        finally:
            spool.close()

    async def info(self, owner: str, key: str) -> FileInfo:
        name = self._name(owner, key)
        head = await self._call(self._client.head_object, Bucket=self._bucket, Key=name, key=key)
        return info_from_head(owner, key, head)

    async def open(
        self, owner: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        body = await self._body(owner, key, start, end)
        if body is None:
            return
        try:
            while chunk := await self._call(body.read, CHUNK_BYTES, key=key):
                yield chunk
        finally:
            body.close()

    async def scan(self, owner: str, *, after: str | None = None) -> AsyncIterator[FileInfo]:
        objects = await self._call(self._objects, f"{self._folder(owner)}/")
        objects.sort(key=lambda o: (-o["LastModified"].timestamp(), o["Key"]))
        keys = [str(o["Key"]).rsplit("/", 1)[1] for o in objects]
        if after is not None:
            if after not in keys:
                raise FileNotFound(f"no file '{after}' to go on after; list from the start again")
            keys = keys[keys.index(after) + 1 :]
        for at in range(0, len(keys), HEADS):
            for info in await asyncio.gather(*(self._if_there(owner, key) for key in keys[at : at + HEADS])):
                if info is not None:
                    yield info

    async def annotate(self, owner: str, key: str, *, thread: str | None) -> FileInfo:
        for _ in range(TRIES):
            name = self._name(owner, key)
            head = await self._call(self._client.head_object, Bucket=self._bucket, Key=name, key=key)
            changed = replace(info_from_head(owner, key, head), thread=thread)
            # Metadata is changed by copying the object onto itself, unless it was replaced meanwhile.
            if await self._call(self._recopy, changed, str(head["ETag"]), key=key):
                return changed
        raise StorageUnavailable(f"file '{key}' is being replaced again and again; try later")

    async def delete(self, owner: str, key: str) -> None:
        await self.info(owner, key)  # S3 answers "done" for what was never there
        name = self._name(owner, key)
        await self._call(self._client.delete_object, Bucket=self._bucket, Key=name, key=key)

    async def presign(self, info: FileInfo, seconds: int) -> str | None:
        if not self._settings.direct_links:
            return None
        wanted = {
            "Bucket": self._bucket,
            "Key": self._name(info.owner, info.key),
            "ResponseContentDisposition": disposition(info.name),
            "ResponseContentType": info.media_type,
        }
        link = self._client.generate_presigned_url
        return str(await self._call(link, "get_object", Params=wanted, ExpiresIn=seconds, key=info.key))

    async def usage(self, owner: str | None) -> Usage:
        top = f"{self._settings.prefix}/" if self._settings.prefix else ""
        objects = await self._call(self._objects, top if owner is None else f"{self._folder(owner)}/")
        owners = {str(o["Key"]).removeprefix(top).split("/")[0] for o in objects}
        return Usage(len(objects), sum(int(o["Size"]) for o in objects), len(owners))

    async def room(self) -> Room:
        return Room()

    async def aclose(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _folder(self, owner: str) -> str:
        return "/".join(part for part in (self._settings.prefix, owner_folder(owner)) if part)

    def _name(self, owner: str, key: str) -> str:
        return f"{self._folder(owner)}/{key}"

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        call = functools.partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def _call(self, work: Callable[..., T], *args: Any, key: str = "", **kwargs: Any) -> T:
        """Run `work` in the pool and give its failures our names."""
        try:
            return await self._run(work, *args, **kwargs)
        except (BotoCoreError, ClientError) as error:
            raise translated(error, bucket=self._bucket, key=key) from error

    async def _ensure_bucket(self) -> None:
        if self._bucket_is_there:
            return
        async with self._creating:
            if not self._bucket_is_there:
                await self._call(self._create_bucket)
                self._bucket_is_there = True

    def _create_bucket(self) -> None:
        region = self._settings.region
        # us-east-1 is the one region that must not be named.
        place = {} if region == "us-east-1" else {"LocationConstraint": region}
        options: dict[str, Any] = {"CreateBucketConfiguration": place} if place else {}
        try:
            self._client.create_bucket(Bucket=self._bucket, **options)
        except ClientError as error:
            if code_of(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def _upload(self, spool: IO[bytes], info: FileInfo) -> None:
        spool.seek(0)
        extra = {"ContentType": info.media_type, "Metadata": metadata_of(info)}
        name = self._name(info.owner, info.key)
        self._client.upload_fileobj(spool, self._bucket, name, ExtraArgs=extra, Config=_TRANSFER)

    def _recopy(self, info: FileInfo, etag: str) -> bool:
        name = self._name(info.owner, info.key)
        try:
            self._client.copy_object(
                Bucket=self._bucket,
                Key=name,
                CopySource={"Bucket": self._bucket, "Key": name},
                CopySourceIfMatch=etag,
                ContentType=info.media_type,
                Metadata=metadata_of(info),
                MetadataDirective="REPLACE",
            )
        except ClientError as error:
            if code_of(error) not in ("PreconditionFailed", "412"):
                raise
            return False
        return True

    def _objects(self, prefix: str) -> list[Mapping[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [item for page in pages for item in page.get("Contents", [])]

    async def _if_there(self, owner: str, key: str) -> FileInfo | None:
        try:
            return await self.info(owner, key)
        except FileNotFound:  # deleted since the bucket was listed
            return None

    async def _body(self, owner: str, key: str, start: int, end: int | None) -> Any:
        """The object's stream, or None where the range is empty."""
        if end is not None and end <= start:
            await self.info(owner, key)
            return None
        last = "" if end is None else end - 1
        span = {"Range": f"bytes={start}-{last}"} if start or end is not None else {}
        return await self._call(self._get, self._name(owner, key), span, key=key)

    def _get(self, name: str, span: Mapping[str, str]) -> Any:
        try:
            return self._client.get_object(Bucket=self._bucket, Key=name, **span)["Body"]
        except ClientError as error:
            if code_of(error) in ("InvalidRange", "416"):  # it begins behind the end
                return None
            raise


def _client(settings: S3Settings) -> Any:
    key, secret = settings.access_key_id, settings.secret_access_key
    session: Any = boto3.session.Session()  # type: ignore[no-untyped-call]  # boto3 has no types
    config: Any = Config  # nor has botocore
    return session.client(
        "s3",
        endpoint_url=settings.endpoint_url or None,
        region_name=settings.region,
        aws_access_key_id=key.get_secret_value() if key else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=config(
            max_pool_connections=settings.connections,
            connect_timeout=settings.connect_seconds,
            read_timeout=settings.read_seconds,
            retries={"total_max_attempts": 1, "mode": "standard"},
            signature_version="s3v4",
            # Buckets as host names need DNS of their own, which other services seldom have.
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
            # Many services do not know the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
