"""A run as the events of /v1/responses: numbered from 0, each item opened, filled and closed in its turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.foreign import as_bytes
from graph.runs.events import LoggedEvent
from graph.runs.streams import Handle
from server.protocols.openai import items
from server.protocols.openai.chunks import unshown
from server.protocols.openai.citations import annotated
from server.protocols.openai.items import Item, Told
from server.sse import RunResponse

_LAST = {"completed": "completed", "incomplete": "incomplete", "cancelled": "incomplete", "failed": "failed"}


class ResponseStream(RunResponse):
    """The events of a response.

    Args:
        told: What the response tells of its request.
    """

    def __init__(self, run: Handle, *, told: Told, stall: float) -> None:
        super().__init__(run, stall=stall)
        self._record = run.record
        self._told = told
        self._number = 0
        self._output: list[Item] = []
        self._calls: dict[str, Mapping[str, Any]] = {}
        # The message that is open: its id, and its text so far.
        self._open = ""
        self._texts: list[str] = []
        self._shown = self._cut = False

    def encoded(self, found: Sequence[LoggedEvent]) -> Iterable[bytes]:
        if not self._number:
            for kind in ("created", "in_progress"):
                yield self._event(f"response.{kind}", response=self._response("running"))
        for entry in found:
            yield from self._of(entry.event)

    def ending(self) -> Iterable[bytes]:
        return []

    def _of(self, event: Mapping[str, Any]) -> Iterator[bytes]:
        kind = event["type"]
        if kind == "token":
            self._shown = True
            yield from self._say(event["delta"])
        elif kind == "tool_call":
            self._calls[event["id"]] = event
        elif kind == "tool_result":
            yield from self._called(event)
        elif kind == "notice":
            self._cut = self._cut or event["code"] == "answer_cut"
        elif kind == "done":
            yield from self._done(event)
        elif kind == "error":
            yield from self._close()
            yield self._event("response.failed", response=self._response("failed", error=event))

    def _called(self, result: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._close()
        call = {**self._calls.get(result["id"], {}), **result}
        yield from self._whole(items.mcp_call(call, str(result.get("content") or "")))

    def _done(self, reply: Mapping[str, Any]) -> Iterator[bytes]:
        rest = unshown(reply, shown=self._shown)
        if rest:
            yield from self._say(rest)
        yield from self._close(reply)
        for item in items.approvals(reply):
            yield from self._whole(item)
        found = self._response(reply["status"], reply=reply, cut=self._cut)
        yield self._event(f"response.{_LAST[found['status']]}", response=found)

    def _say(self, text: str) -> Iterator[bytes]:
        if not self._open:
            yield from self._begin()
        self._texts.append(text)
        yield self._part_event("output_text.delta", delta=text, logprobs=[])

    def _begin(self) -> Iterator[bytes]:
        self._open, self._texts = f"msg_{self._record.id}_{len(self._output)}", []
        empty = {**items.message(self._open, ""), "status": "in_progress", "content": []}
        yield self._item_event("added", empty)
        yield self._part_event("content_part.added", part=items.part(""))

    def _close(self, reply: Mapping[str, Any] | None = None) -> Iterator[bytes]:
        """End the open message; the one that ends the answer has its citations."""
        if not self._open:
            return
        text = "".join(self._texts)
        cited = annotated(text, reply["citations"]) if reply else []
        for place, one in enumerate(cited):
            yield self._part_event("output_text.annotation.added", annotation_index=place, annotation=one)
        yield self._part_event("output_text.done", text=text, logprobs=[])
        yield self._part_event("content_part.done", part=items.part(text, cited))
        item = items.message(self._open, text, cited)
        yield self._item_event("done", item)
        self._output.append(item)
        self._open = ""

    def _whole(self, item: Item) -> Iterator[bytes]:
        yield self._item_event("added", item)
        yield self._item_event("done", item)
        self._output.append(item)

    def _response(self, status: str, **more: Any) -> dict[str, Any]:
        return items.response(self._record, self._told, status=status, output=self._output, **more)

    def _item_event(self, what: str, item: Item) -> bytes:
        return self._event(f"response.output_item.{what}", output_index=len(self._output), item=item)

    def _part_event(self, what: str, **more: Any) -> bytes:
        place = {"item_id": self._open, "output_index": len(self._output), "content_index": 0}
        return self._event(f"response.{what}", **place, **more)

    def _event(self, kind: str, **more: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), as_bytes(data))
