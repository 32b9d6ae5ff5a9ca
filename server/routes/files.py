"""Files of the caller: uploads, artifacts of tools, downloads with ranges, signed links."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from contextlib import aclosing
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from core.access import Principal
from nodes.file_storage import FileInfo, FileManager
from nodes.file_storage.attached import AttachedFiles
from nodes.file_storage.delivery import RangeNotSatisfiable
from nodes.file_storage.errors import (
    FileNotFound,
    FileTooLarge,
    InvalidFile,
    LinkExpired,
    LinkInvalid,
    NoDirectUploads,
    StorageFull,
)
from nodes.file_storage.filters import Filter
from nodes.file_storage.order import cursor_of
from server.downloads import download
from server.errors import InvalidRequest, WrongMediaType
from server.middleware.auth import Caller
from server.requests import json_body, validated
from server.routes.common import After, OpenAgent, link_next, problems
from server.shapes.files import DirectUploadBegun, FileHits, FilePreview, ListedFile, StoredFile
from server.shapes.form import Json, Shape
from server.uploads import UploadForm

# What a preview reads of a file, and the pictures that every browser shows.
PREVIEW_BYTES = 64 * 1024
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

router = APIRouter(prefix="/files", tags=["files"], responses=problems(FileNotFound, InvalidRequest))

_CANNOT_LINK = (LinkInvalid, LinkExpired, RangeNotSatisfiable)
_CANNOT_UPLOAD = (FileTooLarge, InvalidRequest, InvalidFile, WrongMediaType)


class Copied(BaseModel, extra="forbid", strict=True):
    """What a copy is called; what is left out stays as it is."""

    filename: str | None = Field(None, min_length=1, max_length=1000)
    tags: dict[str, str] | None = Field(None, max_length=50)


class Change(BaseModel, extra="forbid", strict=True):
    """Tags to be set; null takes one away, and the others stay."""

    tags: dict[str, str | None] = Field(max_length=50)


class Tags(BaseModel, extra="forbid", strict=True):
    """All the tags of a file."""

    tags: dict[str, str] = Field(max_length=50)


class DirectFile(BaseModel, extra="forbid", strict=True):
    """A file that its client sends to the bucket itself."""

    filename: str = Field(min_length=1, max_length=1000)
    size: int = Field(ge=0)
    sha256: str = Field(description="Of the content, in hex.", min_length=64, max_length=64)
    content_type: str | None = Field(None, max_length=200)
    tags: dict[str, str] = Field(default={}, max_length=50)


_IN_JSON = '{"filename": "a.txt", "content_base64": "…"}'


class JsonUpload(BaseModel, extra="forbid", strict=True):
    """A small file as JSON; larger ones come as multipart/form-data with a part `file`."""

    filename: str = Field(min_length=1, max_length=1000)
    content_base64: str
    content_type: str | None = Field(None, max_length=200)
    tags: dict[str, str] = Field(default={}, max_length=50)


# Of a body that is described in two forms, generated clients can send neither, or the wrong one.
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "tags": {"type": "string", "description": "A JSON object of strings."},
                    },
                }
            },
        },
    }
}


def described(info: FileInfo) -> dict[str, Any]:
    """A file as the API tells of it."""
    return {
        "key": info.key,
        "filename": info.name,
        "size": info.size,
        "content_type": info.media_type,
        "last_modified": info.created.isoformat(),
        "etag": info.etag,
        "tags": dict(info.tags),
        "file_type": info.origin,
        "thread_id": info.thread,
    }


@router.post("", status_code=201, openapi_extra=UPLOAD_BODY, responses=problems(*_CANNOT_UPLOAD))
async def upload(request: Request, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(StoredFile)]:
    """Store a file; its `key` goes into `input.files` of a turn.

    A small one may also be sent as JSON: `{"filename": "note.txt", "content_base64": "aGVsbG8="}`.
    """
    files = await agent.container.get(FileManager)
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        return described(await _from_form(request, files, who))
    return described(await _from_json(validated(JsonUpload, await json_body(request, _IN_JSON)), files, who))


async def _from_form(request: Request, files: FileManager, who: Principal) -> FileInfo:
    form = UploadForm(request)
    part = await form.file()
    async with aclosing(form.content()) as content:
        return await files.put(
            who,
            part.name,
            content,
            media_type=part.media_type,
            tags=lambda: _tags(form.fields.get("tags")),
            at_least=part.at_least,
        )


def _tags(given: str | None) -> Mapping[str, str]:
    try:
        found = orjson.loads(given) if given else {}
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InvalidRequest("tags: must be a JSON object of strings")
    return found


async def _from_json(given: JsonUpload, files: FileManager, who: Principal) -> FileInfo:
    try:
        data = base64.b64decode(given.content_base64, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("content_base64: is not base64") from None
    return await files.put(who, given.filename, data, media_type=given.content_type, tags=given.tags)


@router.get("")
async def list_files(
    *,
    request: Request,
    response: Response,
    agent: OpenAgent,
    who: Caller,
    file_type: Annotated[Literal["user", "tool"] | None, Query(description="Who made it.")] = None,
    thread_id: Annotated[str | None, Query(max_length=64)] = None,
    q: Annotated[str, Query(max_length=500, description="Words in the name or the tags.")] = "",
    content_type: Annotated[
        str, Query(max_length=200, description="Such as text/csv, or image/ for every image.")
    ] = "",
    tag: Annotated[
        list[str] | None, Query(max_length=50, description="Tags that it has, as `name` or `name:value`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: After = None,
) -> Annotated[list[Json], Shape(list[ListedFile])]:
    """Your files, the latest change first."""
    files = await agent.container.get(FileManager)
    tags = {name: value for name, _, value in (one.partition(":") for one in tag or ())}
    wanted = Filter(file_type, thread_id, q, content_type, tags)
    found = await files.list(who, wanted=wanted, limit=limit, after=after)
    rows = [{**described(info), "cursor": cursor_of(info)} for info in found]
    link_next(request, response, rows, limit)
    return rows


@router.get("/search")
async def search_texts(
    agent: OpenAgent,
    who: Caller,
    q: Annotated[str, Query(min_length=1, max_length=500, description="What to look for in the texts.")],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Annotated[Json, Shape(FileHits)]:
    """Your newest files whose text has to do with some words, the best first, each with its best place."""
    attached = await agent.container.get(AttachedFiles)
    found = await attached.find(who, q, limit=limit)
    hits = [{**described(h.info), "where": h.where, "text": h.text, "score": h.score} for h in found.hits]
    return {"hits": hits, "searched": found.searched, "left_out": found.left_out}


@router.post("/direct", status_code=201, responses=problems(*_CANNOT_UPLOAD, StorageFull, NoDirectUploads))
async def direct_upload(
    given: DirectFile, agent: OpenAgent, who: Caller
) -> Annotated[Json, Shape(DirectUploadBegun)]:
    """How to send a file to the bucket itself; then `POST /files/{key}/uploaded`."""
    files = await agent.container.get(FileManager)
    info, link = await files.upload_link(
        who,
        given.filename,
        size=given.size,
        sha256=given.sha256,
        media_type=given.content_type,
        tags=given.tags,
    )
    request = {"method": "PUT", "url": link.url, "headers": dict(link.headers), "seconds": link.seconds}
    return {"key": info.key, "upload": request}


@router.head("/link/{token}", include_in_schema=False)
@router.get("/link/{token}", response_class=Response, responses=problems(*_CANNOT_LINK))
async def linked(token: str, request: Request, agent: OpenAgent) -> Response:
    """The content behind a signed link. Needs no login; the link expires."""
    files = await agent.container.get(FileManager)
    info = await files.resolve_link(token)
    return download(request, files, Principal(info.owner), info)


@router.head("/{key}", include_in_schema=False)
@router.get("/{key}")
async def show_file(key: str, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(StoredFile)]:
    """Name, size, type and tags of a file."""
    return described(await (await agent.container.get(FileManager)).info(who, key))


@router.head("/{key}/content", include_in_schema=False)
@router.get("/{key}/content", response_class=Response, responses=problems(RangeNotSatisfiable))
async def content(key: str, request: Request, agent: OpenAgent, who: Caller) -> Response:
    """The content, or with a Range header a part of it."""
    files = await agent.container.get(FileManager)
    return download(request, files, who, await files.info(who, key))


@router.get("/{key}/preview")
async def preview(key: str, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(FilePreview)]:
    """The beginning of a file as text, where it is one; of a picture only that it is one."""
    files = await agent.container.get(FileManager)
    info = await files.info(who, key)
    kind = "image" if info.media_type in PICTURES else "none"
    content, cut = "", False
    if kind == "none":
        read = b"".join([part async for part in files.open(who, key, end=min(info.size, PREVIEW_BYTES))])
        cut = info.size > len(read)
        if (found := as_text(read, cut=cut)) is not None:
            kind, content = "text", found
    return {"kind": kind, "media_type": info.media_type, "size": info.size, "content": content, "cut": cut}


@router.post("/{key}/uploaded")
async def uploaded(key: str, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(StoredFile)]:
    """Tell that a file was sent to the bucket itself; gives what is known of it."""
    return described(await (await agent.container.get(FileManager)).uploaded(who, key))


@router.post("/{key}/copy", status_code=201, responses=problems(InvalidFile, StorageFull))
async def copy_file(
    key: str, agent: OpenAgent, who: Caller, given: Copied
) -> Annotated[Json, Shape(StoredFile)]:
    """A new file with the same content, of no thread."""
    files = await agent.container.get(FileManager)
    return described(await files.copy(who, key, name=given.filename, tags=given.tags))


@router.patch("/{key}", responses=problems(InvalidFile))
async def change_file(
    key: str, agent: OpenAgent, who: Caller, given: Change
) -> Annotated[Json, Shape(StoredFile)]:
    """Set some tags of a file, or take them away."""
    return described(await (await agent.container.get(FileManager)).tag(who, key, given.tags))


@router.put("/{key}/tags", responses=problems(InvalidFile))
async def replace_tags(
    key: str, agent: OpenAgent, who: Caller, given: Tags
) -> Annotated[Json, Shape(StoredFile)]:
    """Give a file these tags in place of all that it had."""
    files = await agent.container.get(FileManager)
    return described(await files.tag(who, key, dict(given.tags), replace=True))


@router.delete("/{key}", status_code=204)
async def delete_file(key: str, agent: OpenAgent, who: Caller) -> Response:
    """Delete the file for good."""
    await (await agent.container.get(FileManager)).delete(who, key)
    return Response(status_code=204)


def as_text(read: bytes, *, cut: bool) -> str | None:
    """What was read as text; None where it is none.

    Args:
        cut: There is more of it: a character may be cut in two at the end.
    """
    if b"\0" in read:
        return None
    for left in range(4 if cut else 1):
        try:
            return read[: len(read) - left].decode()
        except UnicodeDecodeError:
            continue
    return None
