"""Threads that leave and come back: export, import, and a message said differently."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from core.errors import WaystationError
from core.settings.platform import LimitSettings
from graph.errors import Draining, MessageTooLong, ThreadNotFound, TooManyRuns
from graph.threads.history.errors import ExportInvalid, MessageNotFound
from server.errors import BodyTooLarge, InvalidRequest, WrongMediaType
from server.middleware.auth import Caller
from server.requests import AgentInput, Configurable, check_configurable, turn_request
from server.routes.common import OpenAgent, problems
from server.shapes.form import Json, Shape
from server.shapes.runs import EditedRun
from server.shapes.threads import Thread

# Part of the router of server.routes.threads, which has the prefix.
router = APIRouter()

NDJSON = "application/x-ndjson"
MARKDOWN = "text/markdown"
_KINDS = {"jsonl": (NDJSON, "jsonl"), "markdown": (f"{MARKDOWN}; charset=utf-8", "md")}

_CANNOT_IMPORT = (InvalidRequest, ExportInvalid, BodyTooLarge, WrongMediaType)
_CANNOT_EDIT = (ThreadNotFound, MessageNotFound, MessageTooLong, TooManyRuns, Draining)

IMPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {NDJSON: {"schema": {"type": "string", "description": "What /export gave, as it is."}}},
    }
}


class ExportForm(BaseModel, extra="forbid", strict=True):
    """How the thread is written."""

    format: Literal["jsonl", "markdown"] = Field(
        "jsonl", description="jsonl: whole, with its files, for /threads/import. markdown: for people."
    )


class Edit(BaseModel, extra="forbid", strict=True):
    """A message of yours, and what you say instead."""

    message_id: str = Field(min_length=1, max_length=128, description="Of a user message of the transcript.")
    message: str = Field(min_length=1)
    files: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=100, description="Keys of uploaded files."
    )
    configurable: Annotated[Json, Shape(Configurable)] = Field(
        default={}, description="As in /agent/invoke, without thread_id."
    )


@router.post("/import", status_code=201, openapi_extra=IMPORT_BODY, responses=problems(*_CANNOT_IMPORT))
async def import_thread(request: Request, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(Thread)]:
    """A new thread of yours from an export; no thread that is there is touched."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != NDJSON:
        raise WrongMediaType(f"send the export with the header 'content-type: {NDJSON}'")
    most = agent.editions.now().book[LimitSettings].upload_bytes
    return await agent.threads.import_lines(who, _body(request), most_bytes=most)


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise InvalidRequest("the export was cut off on its way here") from None


@router.post("/{thread_id}/export", response_class=StreamingResponse)
async def export_thread(
    thread_id: str, agent: OpenAgent, who: Caller, form: ExportForm | None = None
) -> StreamingResponse:
    """The whole thread as a download: JSON Lines with its files' content, or Markdown."""
    wanted = (form or ExportForm()).format
    pieces = await agent.threads.export(who, thread_id, form=wanted)
    kind, ending = _KINDS[wanted]
    headers = {"content-disposition": f'attachment; filename="{thread_id}.{ending}"'}
    return StreamingResponse(pieces, media_type=kind, headers=headers)


@router.post("/{thread_id}/edit", status_code=202, responses=problems(*_CANNOT_EDIT))
async def edit_message(
    thread_id: str, edit: Edit, agent: OpenAgent, who: Caller
) -> Annotated[Json, Shape(EditedRun)]:
    """Say something else instead of an earlier message: a fork up to there, and a run in it.

    The thread itself stays as it is.
    """
    options = check_configurable(edit.configurable).model_dump()
    if options["thread_id"] is not None:
        raise InvalidRequest("configurable.thread_id: an edit makes a thread of its own; leave it out")
    made = await agent.threads.fork_before(who, thread_id, edit.message_id)
    # A question that waited there is not answered: the new message takes its place.
    options |= {"thread_id": made["id"], "on_busy": "interrupt", "on_disconnect": "continue"}
    said = AgentInput.model_construct(message=edit.message, files=edit.files)
    request = turn_request(who, said, options, background=True)
    try:
        handle = await agent.begin(request)
    except WaystationError:
        await agent.threads.delete(who, made["id"])
        raise
    record = handle.record
    return {"run_id": record.id, "thread_id": record.thread_id, "status": record.status, "parent": thread_id}
