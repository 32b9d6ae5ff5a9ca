"""A run as the events of /v1/responses: each item opened, filled and closed in its turn.

Their numbers are made of those of the run's own events, with room for what is made of one: so a stream that
is taken up elsewhere, or later, goes on where it was left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from core.foreign import as_bytes
from graph.runs.events import LoggedEvent
from graph.runs.streams import WAITS, Handle
from server.protocols.openai import items
from server.protocols.openai.chunks import unshown
from server.protocols.openai.citations import with_files
from server.protocols.openai.client_tools import as_items, is_clients
from server.protocols.openai.items import EchoedRequest, Item
from server.protocols.openai.paused import FIRST, RunPart
from server.repeats import WithoutRepeats
from server.sse import RunResponse

STEP = 1000
"""So many events may be made of one of the run's own."""
_OPENINGS = 2
"""What opens a message: the item, and its part."""
_LAST = {"completed": "completed", "incomplete": "incomplete", "cancelled": "incomplete", "failed": "failed"}


class ResponseStream(RunResponse):
    """The events of a response.

    Args:
        told: What the response tells of its request.
        part: Which part of the run it is.
        starting_after: The number of the last event that the reader has; None for none.
    """

    def __init__(
        self,
        run: Handle,
        *,
        told: EchoedRequest,
        stall: float,
        part: RunPart = FIRST,
        starting_after: int | None = None,
    ) -> None:
        super().__init__(run, stall=stall)
        self._record = run.record
        self._told = told
        self._part = part
        self._seen = -1 if starting_after is None else starting_after
        self._id = part.id_of(run.id)
        self._base = self._number = part.since * STEP
        self._begun = False
        self._output: list[Item] = []
        self._calls: dict[str, Mapping[str, Any]] = {}
        # The message that is open: its id, and its text so far.
        self._open = ""
        self._texts: list[str] = []
        self._shown = self._cut = False
        self._repeats = WithoutRepeats()

    def encoded(self, found: Sequence[LoggedEvent]) -> Iterable[bytes]:
        return filter(None, self._encoded(found))

    def _encoded(self, found: Sequence[LoggedEvent]) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            for kind in ("created", "in_progress"):
                yield self._event(f"response.{kind}", response=self._response("running"))
        for entry in found:
            if entry.event.get("code") == WAITS:
                # No event of the run: it has a number behind what was told last.
                yield self._event("response.queued", response=self._response("queued"))
            elif event := self._repeats.of(entry.event):
                self._base = self._number = entry.seq * STEP
                yield from self._of(event)

    def ending(self) -> Iterable[bytes]:
        return []

    async def _entries(self) -> AsyncIterator[Sequence[LoggedEvent]]:
        """The events of this part. What the reader has is gone through too: the rest stands on it."""
        since, reply = self._part.since, self._part.reply
        last = reply["seq"] if reply is not None else 1 << 62
        if self._seen >= 0:
            async for entry in before(self._run, since, self._seen // STEP):
                yield [entry]
            since = max(since, self._seen // STEP)
        async with aclosing(cast(Any, self._run.entries(since))) as entries:
            async for found in entries:
                yield [entry for entry in found if entry.seq <= last]
                # Its reader has all of it, whatever the run does since.
                if found[-1].seq >= last:
                    return

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
        if is_clients(self._calls.get(result["id"], {})):
            return
        yield from self._close()
        call = {**self._calls.get(result["id"], {}), **result}
        yield from self._whole(items.mcp_call(call, str(result.get("content") or "")))

    def _done(self, reply: Mapping[str, Any]) -> Iterator[bytes]:
        reply = self._part.own(reply)
        rest = unshown(reply, shown=self._shown)
        if rest:
            yield from self._say(rest)
        yield from self._close(reply)
        for item in items.approvals(reply):
            yield from self._whole(item)
        for item in as_items(reply):
            yield from self._function_call(item)
        found = self._response(reply["status"], reply=reply, cut=self._cut)
        yield self._event(f"response.{_LAST[found['status']]}", response=found)

    def _say(self, text: str) -> Iterator[bytes]:
        if not text:
            return
        if not self._open:
            yield from self._begin()
        # The same number whether this text opened the message or not: stored ones come together.
        self._number = max(self._number, self._base + _OPENINGS)
        self._texts.append(text)
        yield self._part_event("output_text.delta", delta=text, logprobs=[])

    def _begin(self) -> Iterator[bytes]:
        self._open, self._texts = f"msg_{self._id}_{len(self._output)}", []
        empty = {**items.message(self._open, ""), "status": "in_progress", "content": []}
        yield self._item_event("added", empty)
        yield self._part_event("content_part.added", part=items.part(""))

    def _close(self, reply: Mapping[str, Any] | None = None) -> Iterator[bytes]:
        """End the open message; the one that ends the answer has its annotations."""
        if not self._open:
            return
        text = "".join(self._texts)
        cited = with_files(text, reply) if reply else []
        for place, one in enumerate(cited):
            yield self._part_event("output_text.annotation.added", annotation_index=place, annotation=one)
        yield self._part_event("output_text.done", text=text, logprobs=[])
        yield self._part_event("content_part.done", part=items.part(text, cited))
        item = items.message(self._open, text, cited)
        yield self._item_event("done", item)
        self._output.append(item)
        self._open = ""

    def _function_call(self, item: Item) -> Iterator[bytes]:
        place = {"item_id": item["id"], "output_index": len(self._output)}
        told: dict[str, Any] = {**place, "arguments": item["arguments"], "name": item["name"]}
        yield self._item_event("added", {**item, "arguments": "", "status": "in_progress"})
        yield self._event("response.function_call_arguments.delta", **place, delta=item["arguments"])
        yield self._event("response.function_call_arguments.done", **told)
        yield self._item_event("done", item)
        self._output.append(item)

    def _whole(self, item: Item) -> Iterator[bytes]:
        yield self._item_event("added", item)
        yield self._item_event("done", item)
        self._output.append(item)

    def _response(self, status: str, **more: Any) -> dict[str, Any]:
        more |= {"output": self._output, "part": self._part}
        return items.response(self._record, self._told, status=status, **more)

    def _item_event(self, what: str, item: Item) -> bytes:
        return self._event(f"response.output_item.{what}", output_index=len(self._output), item=item)

    def _part_event(self, what: str, **more: Any) -> bytes:
        place = {"item_id": self._open, "output_index": len(self._output), "content_index": 0}
        return self._event(f"response.{what}", **place, **more)

    def _event(self, kind: str, **more: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        if number <= self._seen:
            return b""
        data = {"type": kind, "sequence_number": number, **more}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), as_bytes(data))


async def before(run: Handle, since: int, place: int) -> AsyncIterator[LoggedEvent]:
    """The events above number `since`, up to the one with number `place`.

    Tokens that are stored together come with the number of the last of them; where that is behind the place,
    what stands up to there is told.
    """
    over: LoggedEvent | None = None
    async with aclosing(cast(Any, run.entries(since))) as entries:
        async for found in entries:
            for entry in found:
                if entry.seq > place:
                    over = entry
                    break
                yield entry
            if over is not None or found[-1].seq >= place:
                break
    if over is None or over.kind != "token":
        return
    async with aclosing(cast(Any, run.entries(place))) as entries:
        async for found in entries:
            whole, rest = over.event["delta"], found[0].event.get("delta", "")
            if found[0].seq == over.seq and len(rest) < len(whole):
                told = whole[: len(whole) - len(rest)]
                yield LoggedEvent({**over.event, "seq": place, "delta": told})
            return
