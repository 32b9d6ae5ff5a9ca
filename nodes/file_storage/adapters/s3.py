"""Files in a bucket: one object per file, `<prefix>/<owner>/<key>`, with the record in its metadata."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import IO, Any, Literal, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from core.resilience import Policies, ResilienceSettings, TargetStatus
from nodes.file_storage.adapters.intake import Intake, Lent, taken_in
from nodes.file_storage.adapters.notes import NOTES, NotesInBucket
from nodes.file_storage.adapters.s3_bucket import Bucket
from nodes.file_storage.adapters.s3_errors import code_of, not_done
from nodes.file_storage.adapters.s3_metadata import info_from_head, is_ours, metadata_of
from nodes.file_storage.adapters.s3_objects import S3Objects
from nodes.file_storage.delivery import disposition
from nodes.file_storage.errors import FileNotFound, StorageUnavailable
from nodes.file_storage.models import DirectUpload, FileInfo, Leftovers, OldFile, Usage
from nodes.file_storage.naming import is_key, owner_folder
from nodes.file_storage.order import Spot, behind, newest_first, together, unread
from nodes.file_storage.ports import FileStore
from nodes.file_storage.settings import S3Settings

MEMORY_BYTES = 8 * 1024 * 1024
PART_BYTES = 16 * 1024 * 1024
HEADS = 16
TRIES = 3

# Parts go one after the other in the pool's own thread: no threads beside the pool.
_TRANSFER: Any = TransferConfig(  # type: ignore[no-untyped-call]  # boto3 has no types
    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
)


class S3StorageClient(FileStore):
    """A FileStore on S3 or on anything that speaks its protocol.

    Every request may be sent twice without harm, so the bucket's policy may try each again.

    Args:
        policies: Of the service; its target is `bucket:NAME`. None: with the defaults, for this client alone.
    """

    def __init__(self, settings: S3Settings, *, policies: Policies | None = None) -> None:
        self._settings = settings
        self._bucket = Bucket(settings, policies or Policies(ResilienceSettings()))
        self._client = self._bucket.client
        self._top = f"{settings.prefix}/" if settings.prefix else ""
        self._notes = NotesInBucket(S3Objects(self._bucket, f"{self._top}{NOTES}"))

    async def put(
        self,
        draft: FileInfo,
        data: AsyncIterator[bytes],
        *,
        tags: Callable[[], Mapping[str, str]] | None = None,
    ) -> FileInfo:
        await self._bucket.ensure()
        # The spool is a file without a name: nothing is left of it, however we end.
        spool = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  # closed below
        try:
            intake = Intake(cast("IO[bytes]", spool))
            # Not in the bucket's threads, all of which may wait for a bucket that hangs.
            await taken_in(intake, data, asyncio.to_thread)
            info = draft.with_content(intake.size, intake.etag, tags)
            # The caller's data can be read only once; what each try sends is the spool, from its start.
            parts = 1 + info.size // PART_BYTES
            await self._bucket.call(self._upload, spool, info, key=info.key, parts=parts)
            return info
        finally:
            spool.close()

    async def info(self, owner: str, key: str) -> FileInfo:
        return info_from_head(owner, key, await self._head(self._name(owner, key), key))

    async def open(
        self, owner: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if end is not None and end <= start:
            await self.info(owner, key)
            return
        last = "" if end is None else end - 1
        span = {"Range": f"bytes={start}-{last}"} if start or end is not None else {}
        get = functools.partial(self._get, self._name(owner, key), span)
        async with aclosing(self._bucket.download(get, key=key)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def scan(self, owner: str, *, after: Spot | str | None = None) -> AsyncIterator[FileInfo]:
        spots = behind(await self._newest_first(owner), after)
        for at in range(0, len(spots), HEADS):
            for info in await self._heads(owner, spots[at : at + HEADS]):
                yield info

    async def listed(self, owner: str, known: Mapping[str, FileInfo]) -> Sequence[FileInfo]:
        spots = await self._newest_first(owner)
        read: list[FileInfo] = []
        changed = unread(spots, known)
        for at in range(0, len(changed), HEADS):
            read += await self._heads(owner, changed[at : at + HEADS])
        return together(spots, known, read)

    async def _newest_first(self, owner: str) -> list[Spot]:
        pages = self._pages("Contents", f"{self._folder(owner)}/")
        return newest_first([_spot(item) async for page in pages for item in page])

    async def _heads(self, owner: str, spots: Sequence[Spot]) -> list[FileInfo]:
        """The files at these spots that are still there, asked for together."""
        found = await asyncio.gather(*(self._if_there(owner, key) for _, key in spots))
        both = zip(spots, found, strict=True)
        return [replace(info, changed=changed) for (changed, _), info in both if info is not None]

    async def annotate(self, owner: str, key: str, *, thread: str | None) -> FileInfo:
        return await self._changed(owner, key, thread=thread)

    async def tag(self, owner: str, key: str, tags: Mapping[str, str]) -> FileInfo:
        return await self._changed(owner, key, tags=dict(tags))

    async def copy(self, owner: str, key: str, draft: FileInfo) -> FileInfo:
        for _ in range(TRIES):
            head = await self._head(self._name(owner, key), key)
            info = info_from_head(owner, key, head)
            made = replace(draft, size=info.size, etag=info.etag)
            source = self._name(owner, key), str(head["ETag"])
            if await self._bucket.call(
                self._copied, source, made, key=key, parts=1 + info.size // PART_BYTES
            ):
                return made
        raise StorageUnavailable(f"file '{key}' is being replaced again and again; try later")

    async def _changed(self, owner: str, key: str, **change: Any) -> FileInfo:
        for _ in range(TRIES):
            head = await self._head(self._name(owner, key), key)
            changed = replace(info_from_head(owner, key, head), **change)
            # Metadata is changed by copying the object onto itself, unless it was replaced meanwhile.
            source = self._name(owner, key), str(head["ETag"])
            if await self._bucket.call(self._copied, source, changed, key=key):
                return changed
        raise StorageUnavailable(f"file '{key}' is being replaced again and again; try later")

    async def delete(self, owner: str, key: str) -> None:
        await self.info(owner, key)  # S3 answers "done" for what was never there
        await self._delete(self._name(owner, key), key)

    async def unchanged_since(self, until: datetime) -> AsyncIterator[OldFile]:
        async for page in self._pages("Contents", self._top):
            names = [str(o["Key"]) for o in page if o["LastModified"] < until]
            for at in range(0, len(names), HEADS):
                for old in await asyncio.gather(*(self._old(name) for name in names[at : at + HEADS])):
                    if old is not None and old.changed < until:
                        yield old

    async def discard(self, old: OldFile) -> bool:
        if await self._old(old.place) != old:
            return False
        await self._delete(old.place, old.info.key)
        return True

    async def presign(self, info: FileInfo, seconds: int) -> str | None:
        if not self._settings.direct_links:
            return None
        wanted = {
            "Bucket": self._bucket.name,
            "Key": self._name(info.owner, info.key),
            "ResponseContentDisposition": disposition(info.name),
            "ResponseContentType": info.media_type,
        }
        link = self._client.generate_presigned_url  # made here, without asking the bucket
        return str(await self._bucket.once(link, "get_object", Params=wanted, ExpiresIn=seconds))

    async def presign_upload(self, draft: FileInfo, seconds: int) -> DirectUpload:
        await self._bucket.ensure()
        digest = b64encode(bytes.fromhex(draft.etag)).decode()
        wanted = {
            "Bucket": self._bucket.name,
            "Key": self._name(draft.owner, draft.key),
            "ContentType": draft.media_type,
            "ContentLength": draft.size,
            "ChecksumSHA256": digest,
            "Metadata": metadata_of(draft),
        }
        link = self._client.generate_presigned_url  # made here, without asking the bucket
        url = str(await self._bucket.once(link, "put_object", Params=wanted, ExpiresIn=seconds))
        told = {f"x-amz-meta-{name}": value for name, value in metadata_of(draft).items()}
        headers = {"content-type": draft.media_type, "content-length": str(draft.size)}
        return DirectUpload(url, {**headers, "x-amz-checksum-sha256": digest, **told}, seconds)

    async def usage(self, owner: str | None) -> Usage:
        await self._bucket.ensure()  # a user's total is asked for before anything was stored
        files, size, owners = 0, 0, set[str]()
        async for page in self._pages("Contents", self._top if owner is None else f"{self._folder(owner)}/"):
            found = [o for o in page if not str(o["Key"]).startswith(f"{self._top}{NOTES}/")]
            files += len(found)
            size += sum(int(o["Size"]) for o in found)
            owners.update(str(o["Key"]).removeprefix(self._top).split("/")[0] for o in found)
        return Usage(files, size, len(owners))

    async def sizes(self, owner: str) -> Mapping[str, int]:
        await self._bucket.ensure()
        pages = self._pages("Contents", f"{self._folder(owner)}/")
        return {_spot(item)[1]: int(item["Size"]) async for page in pages for item in page}

    async def change_note(self, owner: str, change: Callable[[bytes], bytes]) -> bool:
        await self._notes.change(owner_folder(owner), change)
        return True

    async def reconcile(self, until: datetime, *, remove: bool) -> Leftovers:
        """Uploads in parts that were begun and never ended: invisible, and paid for."""
        pieces = 0
        async for page in self._pages("Uploads", self._top):
            for upload in page:
                if upload["Initiated"] < until:
                    pieces += 1
                    if remove:
                        await self._bucket.call(self._abort, str(upload["Key"]), str(upload["UploadId"]))
        return Leftovers(pieces)

    def breaker(self) -> TargetStatus:
        return self._bucket.status()

    async def aclose(self) -> None:
        self._bucket.close()

    def _folder(self, owner: str) -> str:
        return f"{self._top}{owner_folder(owner)}"

    def _name(self, owner: str, key: str) -> str:
        return f"{self._folder(owner)}/{key}"

    async def _head(self, name: str, key: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._bucket.call(
            self._client.head_object, Bucket=self._bucket.name, Key=name, key=key
        )
        return found

    async def _delete(self, name: str, key: str) -> None:
        await self._bucket.call(self._client.delete_object, Bucket=self._bucket.name, Key=name, key=key)

    def _upload(self, spool: IO[bytes], info: FileInfo) -> None:
        extra = {"ContentType": info.media_type, "Metadata": metadata_of(info)}
        name = self._name(info.owner, info.key)
        self._client.upload_fileobj(Lent(spool), self._bucket.name, name, ExtraArgs=extra, Config=_TRANSFER)

    def _copied(self, source: tuple[str, str], info: FileInfo) -> bool:
        """Copy the object (name, ETag) to the name of `info` with its metadata; False when it has changed."""
        name, etag = source
        try:
            self._client.copy_object(
                Bucket=self._bucket.name,
                Key=self._name(info.owner, info.key),
                CopySource={"Bucket": self._bucket.name, "Key": name},
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

    def _abort(self, name: str, upload: str) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket.name, Key=name, UploadId=upload)
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":  # it has ended meanwhile
                raise

    async def _pages(
        self, items: Literal["Contents", "Uploads"], prefix: str
    ) -> AsyncIterator[list[Mapping[str, Any]]]:
        """The objects, or the uploads in parts, below `prefix`, as many at a time as the bucket gives."""
        uploads = items == "Uploads"
        ask = self._uploads if uploads else self._client.list_objects_v2
        more: dict[str, Any] = {}
        while True:
            page = await self._bucket.call(ask, Bucket=self._bucket.name, Prefix=prefix, **more)
            yield page.get(items, [])
            if not page.get("IsTruncated"):
                return
            # `NextKeyMarker` of one page is the `KeyMarker` that asks for the next; so are the others.
            more = {name.removeprefix("Next"): page[name] for name in page if name.startswith("Next")}

    def _uploads(self, **asked: Any) -> Mapping[str, Any]:
        """Uploads in parts; none where the service does not tell of them."""
        try:
            found: Mapping[str, Any] = self._client.list_multipart_uploads(**asked)
        except ClientError as error:
            if not_done(error):
                return {}
            raise
        return found

    async def _if_there(self, owner: str, key: str) -> FileInfo | None:
        try:
            return await self.info(owner, key)
        except FileNotFound:  # deleted since the bucket was listed
            return None

    async def _old(self, name: str) -> OldFile | None:
        """The object as a sweep sees it; None where it is gone or not one of ours."""
        _, _, key = name.removeprefix(self._top).partition("/")
        if not is_key(key):
            return None
        try:
            head = await self._head(name, key)
        except FileNotFound:
            return None
        return OldFile(info_from_head(None, key, head), head["LastModified"], name) if is_ours(head) else None

    def _get(self, name: str, span: Mapping[str, str]) -> Any:
        """The object's stream, or None where it has nothing in the range."""
        try:
            return self._client.get_object(Bucket=self._bucket.name, Key=name, **span)["Body"]
        except ClientError as error:
            if code_of(error) in ("InvalidRange", "416"):  # it begins behind the end
                return None
            raise


def _spot(listed: Mapping[str, Any]) -> Spot:
    microseconds = round(listed["LastModified"].timestamp() * 1_000_000)
    return microseconds * 1000, str(listed["Key"]).rsplit("/", 1)[1]
