"""Responses as OpenAI's API has them: the object, and the items of its output.

Tools that the service runs are `mcp_call` items, which no client runs again; a call that waits for a
person is an `mcp_approval_request`, which `mcp_approval_response` answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.choices import SAMPLED
from core.foreign import as_json
from graph.runs.record import RunRecord
from server.conversations import waiting_text
from server.protocols.openai.chunks import beside
from server.protocols.openai.citations import with_files
from server.protocols.openai.client_tools import as_items, is_clients
from server.protocols.openai.paused import FIRST, RunPart

Item = dict[str, Any]
STATUS = {
    "queued": "queued",
    "running": "in_progress",
    "interrupted": "completed",
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class EchoedRequest:
    """What a response tells again of its request."""

    model: str = "waystation"
    previous: str | None = None
    background: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)


def response(
    record: RunRecord,
    told: EchoedRequest,
    *,
    status: str,
    output: Sequence[Item] = (),
    reply: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    cut: bool = False,
    part: RunPart = FIRST,
) -> dict[str, Any]:
    """The object `response`.

    Args:
        status: Of the run.
        cut: The answer reached the model's limit.
        part: Which part of the run it is.
    """
    incomplete = cut and status == "done"
    found = {
        "id": part.id_of(record.id),
        "object": "response",
        "created_at": int(record.created_at),
        "status": "incomplete" if incomplete else STATUS[status],
        "background": told.background,
        "error": {"code": error["code"], "message": error["detail"]} if error else None,
        "incomplete_details": {"reason": "max_output_tokens"} if incomplete else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": told.model,
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": told.previous,
        "conversation": {"id": record.thread_id},
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "truncation": "disabled",
        "usage": _usage(reply) if reply else None,
        "user": None,
        **dict.fromkeys(SAMPLED),
        **told.fields,
    }
    return {**found, "waystation": beside(reply)} if reply else found


def of_record(record: RunRecord, told: EchoedRequest, *, cut: bool, part: RunPart = FIRST) -> dict[str, Any]:
    """The response of a run as it is stored now, or of a part of it as it paused."""
    paused = part.reply is not None
    status, error = ("interrupted", None) if paused else (record.status, record.error)
    # While it goes on, what is stored is how it paused.
    stored = part.reply if paused else None if record.active else record.output
    reply = part.own(stored) if stored else None
    output = output_of(part.id_of(record.id), reply) if reply else []
    more: dict[str, Any] = {"output": output, "reply": reply, "error": error, "cut": cut, "part": part}
    return response(record, told, status=status, **more)


def output_of(response_id: str, reply: Mapping[str, Any]) -> list[Item]:
    """The items of a whole answer: the calls that were made, the text, and what waits."""
    text = "\n\n".join(part for part in (reply["answer"], waiting_text(reply)) if part)
    said = [message(f"msg_{response_id}", text, with_files(text, reply))] if text else []
    made = [mcp_call(call) for call in reply["tool_calls"] if not is_clients(call)]
    return [*made, *said, *approvals(reply), *as_items(reply)]


def message(item_id: str, text: str, cited: Sequence[Mapping[str, Any]] = ()) -> Item:
    """What the assistant says, whole."""
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part(text, cited)],
    }


def part(text: str, cited: Sequence[Mapping[str, Any]] = ()) -> Item:
    """A text within a message."""
    return {"type": "output_text", "text": text, "annotations": list(cited), "logprobs": []}


def mcp_call(call: Mapping[str, Any], output: str | None = None) -> Item:
    """A call of a tool that the service has made."""
    status = call.get("status", "ok")
    return {
        "id": call["id"],
        "type": "mcp_call",
        "server_label": call.get("server") or "",
        "name": call.get("tool") or "",
        "arguments": as_json(call.get("arguments") or {}),
        "output": output,
        "error": None if status == "ok" else status,
        "status": "completed" if status == "ok" else "failed",
        "approval_request_id": None,
    }


def approvals(reply: Mapping[str, Any]) -> list[Item]:
    """The calls that wait for a person."""
    return [
        {
            "id": each["id"],
            "type": "mcp_approval_request",
            "server_label": each["call"].get("server") or "",
            "name": each["call"].get("tool") or "",
            "arguments": as_json(each["call"].get("arguments") or {}),
        }
        for each in reply.get("interrupts") or ()
        if each.get("kind") == "approval" and isinstance(each.get("call"), Mapping) and not each.get("client")
    ]


def _usage(reply: Mapping[str, Any]) -> dict[str, Any]:
    used = reply["usage"]
    asked, said = used["input_tokens"], used["output_tokens"]
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + said,
    }
