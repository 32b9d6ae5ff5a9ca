"""`/v1/files`: the caller's files, as OpenAI's clients upload, list, fetch and delete them.

They are those of `/files`: an id is a key, and what a file is for stands in its tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Annotated, Any, Literal, get_args

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

from core.task_queue import TaskQueue
from nodes.file_storage import FileInfo, FileManager
from nodes.file_storage.errors import FileNotFound
from nodes.file_storage.expiry import expire_after
from server.downloads import download
from server.errors import WrongMediaType
from server.middleware.auth import Caller
from server.protocols.openai.answer import answer_of
from server.protocols.switch import wire_router
from server.requests import validated
from server.routes.common import OpenAgent
from server.uploads import UploadForm

router = wire_router("openai", "/v1/files")

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
_PURPOSE = "purpose"
_PURPOSES = frozenset(get_args(Purpose))
_MADE = "assistants_output"
_END = "expires_after"
_MOST = 10_000


class ExpiresAfter(BaseModel, extra="forbid"):
    """When a file ends, counted from when it was stored."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]


class FileForm(BaseModel, extra="ignore"):
    """The fields beside the file."""

    purpose: Purpose
    expires_after: ExpiresAfter | None = None


@router.post("")
async def create_file(request: Request, agent: OpenAgent, who: Caller) -> Response:
    """Store the file of a form."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise WrongMediaType("send a form, multipart/form-data with the parts 'file' and 'purpose'")
    files = await agent.container.get(FileManager)
    form = UploadForm(request)
    part = await form.file()
    async with aclosing(form.content()) as content:
        info = await files.put(
            who,
            part.name,
            content,
            media_type=part.media_type,
            tags=lambda: {_PURPOSE: _asked(form.fields).purpose},
            at_least=part.at_least,
        )
    if end := _asked(form.fields).expires_after:
        queue = await agent.container.get(TaskQueue)
        info = await expire_after(files, queue, who, info, end.seconds)
    return answer_of(_object(info))


def _asked(fields: Mapping[str, str]) -> FileForm:
    """The fields of a form, of which SDKs write `expires_after` as `expires_after[seconds]` and the like.

    Raises:
        InvalidRequest: One of them is missing or has no such value.
    """
    given: dict[str, Any] = {name: value for name, value in fields.items() if "[" not in name}
    nested = {
        name.removeprefix(f"{_END}[").removesuffix("]"): value
        for name, value in fields.items()
        if name.startswith(f"{_END}[")
    }
    form: FileForm = validated(FileForm, {**given, **({_END: nested} if nested else {})})
    return form


class Wanted(BaseModel, extra="ignore"):
    """Which files, and where in their list."""

    purpose: Annotated[str, Field(max_length=100)] | None = None
    limit: Annotated[int, Field(ge=1, le=_MOST)] = _MOST
    order: Literal["asc", "desc"] = "desc"
    after: Annotated[str, Field(max_length=100)] | None = None


@router.get("")
async def list_files(agent: OpenAgent, who: Caller, wanted: Annotated[Wanted, Query()]) -> Response:
    """The caller's files by the time that they were stored, the newest first."""
    files = await agent.container.get(FileManager)
    # All of them: their order here is not that of the store, where a change counts.
    every = await files.everything(who)
    found = [info for info in every if wanted.purpose in (None, _purpose_of(info))]
    found.sort(key=lambda info: (info.created, info.key), reverse=wanted.order == "desc")
    start = _behind(found, wanted.after)
    page = [_object(info) for info in found[start : start + wanted.limit]]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
    more = len(found) > start + wanted.limit
    empty = {"first_id": None, "last_id": None}
    return answer_of({"object": "list", "data": page, **empty, **ends, "has_more": more})


def _behind(found: list[FileInfo], after: str | None) -> int:
    if after is None:
        return 0
    for place, info in enumerate(found):
        if info.key == after:
            return place + 1
    raise FileNotFound(f"no file {after!r} to go on after; list from the start again")


@router.get("/{file_id}")
async def show_file(file_id: str, agent: OpenAgent, who: Caller) -> Response:
    """What is known of a file."""
    return answer_of(_object(await (await agent.container.get(FileManager)).info(who, file_id)))


@router.head("/{file_id}/content")
@router.get("/{file_id}/content")
async def file_content(file_id: str, request: Request, agent: OpenAgent, who: Caller) -> Response:
    """The content, or with a Range header a part of it."""
    files = await agent.container.get(FileManager)
    return download(request, files, who, await files.info(who, file_id))


@router.delete("/{file_id}")
async def delete_file(file_id: str, agent: OpenAgent, who: Caller) -> Response:
    """Delete a file for good."""
    await (await agent.container.get(FileManager)).delete(who, file_id)
    return answer_of({"id": file_id, "object": "file", "deleted": True})


def _object(info: FileInfo) -> dict[str, Any]:
    """A file as OpenAI's clients read it."""
    return {
        "id": info.key,
        "object": "file",
        "bytes": info.size,
        "created_at": int(info.created.timestamp()),
        "expires_at": int(info.expires.timestamp()) if info.expires else None,
        "filename": info.name,
        "purpose": _purpose_of(info),
        # There is nothing to wait for: a file that is told of can be used.
        "status": "processed",
        "status_details": None,
    }


def _purpose_of(info: FileInfo) -> str:
    """What its tag says, where OpenAI has a word for it; of what a tool made, that it is such."""
    if info.origin == "tool":
        return _MADE
    given = info.tags.get(_PURPOSE, "")
    return given if given in _PURPOSES else "user_data"
