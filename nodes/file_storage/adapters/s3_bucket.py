"""Calls to a bucket: in threads of their own, through its policy, their failures in our words."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from core.resilience import Kind, Policies, TargetStatus
from core.resilience.policy import close
from nodes.file_storage.adapters.s3_errors import code_of, translated
from nodes.file_storage.errors import StorageTimedOut
from nodes.file_storage.models import CHUNK_BYTES
from nodes.file_storage.settings import S3Settings

T = TypeVar("T")

KIND: Kind = "bucket"


class Bucket:
    """The bucket of the settings.

    One client for the process, used only in a thread pool as large as its
    connection pool. botocore retries nothing: how often we ask, and whether at
    all, is the policy's business. A caller who left or whose time is over does
    not stop his thread; the client's own time limits do.
    """

    def __init__(self, settings: S3Settings, policies: Policies) -> None:
        self.name = settings.bucket
        self.client = _client(settings)
        self._settings = settings
        self._is_there = not settings.create_bucket
        self._creating = asyncio.Lock()
        self._policies = policies
        self._policy = policies.of(KIND, settings.bucket)
        self._pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="s3")

    async def call(
        self, work: Callable[..., T], *args: Any, key: str = "", parts: int = 1, **kwargs: Any
    ) -> T:
        """The result of `work`, which must do no harm when it is done twice.

        Args:
            key: The file it is about, for messages.
            parts: Requests it consists of; each may take the policy's time.
        """
        return await self._policy.call(
            lambda: self.once(work, *args, key=key, **kwargs),
            timeout_s=self._policy.settings.timeout_s * parts,
            late=self._late,
        )

    async def ensure(self) -> None:
        """Create the bucket, where the settings say so and it is not there."""
        if self._is_there:
            return
        async with self._creating:
            if not self._is_there:
                await self.call(self._create)
                self._is_there = True

    def _create(self) -> None:
        region = self._settings.region
        # us-east-1 is the one region that must not be named.
        place = {} if region == "us-east-1" else {"LocationConstraint": region}
        options: dict[str, Any] = {"CreateBucketConfiguration": place} if place else {}
        try:
            self.client.create_bucket(Bucket=self.name, **options)
        except ClientError as error:
            if code_of(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    async def once(self, work: Callable[..., T], *args: Any, key: str = "", **kwargs: Any) -> T:
        """The result of `work`, without the policy: for what does not leave us, and for the policy itself."""
        call = functools.partial(work, *args, **kwargs)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except (BotoCoreError, ClientError) as error:
            raise translated(error, bucket=self.name, key=key) from error

    async def download(self, get: Callable[[], Any], *, key: str) -> AsyncGenerator[bytes, None]:
        """The content of the body that `get` opens (None: nothing), in chunks.

        It is opened again until the first chunk has come. After that a failure
        is the reader's, who has half of the file already.
        """
        chunks = self._policy.stream(lambda: self._chunks(get, key), content=bool, late=self._late)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await close(chunks)

    def status(self) -> TargetStatus:
        """The state of its breaker."""
        found = self._policies.status()
        return next(target for target in found if (target.kind, target.name) == (KIND, self.name))

    def close(self) -> None:
        """Let go of the connections; threads that still wait for an answer end with it."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    async def _chunks(self, get: Callable[[], Any], key: str) -> AsyncIterator[bytes]:
        body = await self.once(get, key=key)
        if body is None:
            return
        try:
            while chunk := await self._next(body, key):
                yield chunk
        finally:
            # Not here: it waits for a read that still goes on in a thread, and so would everybody else.
            with suppress(RuntimeError):  # the pool is closed, and the connection with it
                self._pool.submit(body.close)

    async def _next(self, body: Any, key: str) -> bytes:
        seconds = self._policy.settings.timeout_s
        try:
            async with asyncio.timeout(seconds):
                return bytes(await self.once(body.read, CHUNK_BYTES, key=key))
        except TimeoutError as error:
            raise self._late(seconds) from error

    def _late(self, seconds: float) -> StorageTimedOut:
        return StorageTimedOut(f"bucket '{self.name}' did not answer within {seconds:g} s")


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
