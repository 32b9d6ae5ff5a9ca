"""What a server says, read before the SDK sees it.

The SDK reads every message into models that refuse it whole for one odd field,
and tells its own errors by numbers that servers use too. So the contents of an
answer are taken off here, as plain JSON, and kept for the request that waits;
the SDK gets an empty answer in its place, which keeps everything in order. What
else it would stumble over is mended, answered or left out.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from mcp import types

from core.foreign import clean_text, storable
from nodes.mcp_tools.adapters.notes import mended_notification
from nodes.mcp_tools.errors import AnswerUnreadable, ResultTooLarge, ServerGone, ToolRefused
from nodes.mcp_tools.models import Progress

log = structlog.get_logger(__name__)

Message = dict[str, Any]
_UNDERSTOOD = frozenset({"elicitation/create", "ping"})
_IN_ORDER = frozenset({"notifications/progress", "notifications/message"})
_MOST_IN_A_BATCH = 1000
_MESSAGE_CHARS = 2000
Params = dict[str, Any]
_EDGE = 512
_ID_FIRST = re.compile(rb'^(?:data:)?\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+)\s*,')
_ID_LAST = re.compile(rb'"id"\s*:\s*(\d+)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


@dataclass(frozen=True, slots=True)
class Oversize:
    """A line that was thrown away; `request_id` is the JSON-RPC id that stood at either end of it."""

    size: int
    request_id: int | None


def answered_by(line: bytes) -> int | None:
    """The request that a JSON-RPC answer belongs to, read off its ends: of one that is broken, say."""
    return _id_at(line[:_EDGE], line[-_EDGE:])


def _id_at(head: bytes, tail: bytes) -> int | None:
    found = _ID_FIRST.search(head) or _ID_LAST.search(tail)
    return int(found[1]) if found else None


class LineCutter:
    """Feed it chunks, get whole lines.

    Args:
        limit: Longest line that is kept, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> Iterator[bytes | Oversize]:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._add(end)
            yield self._take()
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if len(self._head) < _EDGE:
            self._head += piece[: _EDGE - len(self._head)]
        self._tail = (self._tail + piece[-_EDGE:])[-_EDGE:]
        if self._size > self._limit:
            self._parts.clear()
        elif piece:
            self._parts.append(piece)

    def _take(self) -> bytes | Oversize:
        if self._size > self._limit:
            line: bytes | Oversize = Oversize(self._size, _id_at(self._head, self._tail))
        else:
            line = b"".join(self._parts)
        self._parts, self._size, self._head, self._tail = [], 0, b"", b""
        return line


class Pending:
    """A request that waits, and what became of it.

    Args:
        stop: Ends the wait of a request that the SDK sent.
        opening: It opens the session.
    """

    # The SDK sent it, and waits for an answer of its own.
    is_own = False

    def __init__(self, stop: Callable[[], object], *, opening: bool = False) -> None:
        self.opening = opening
        self.answer: Message | None = None
        self.error: Exception | None = None
        self._stop = stop

    def take(self, answer: Message) -> None:
        """It is answered."""
        self.answer = answer

    def spoil(self, error: Exception) -> None:
        """It is answered with what nobody can read."""
        self.error = self.error or error

    def fail(self, error: Exception) -> None:
        """End the wait; the first error stays."""
        if self.error is None:
            self.error = error
            self._stop()

    @property
    def known(self) -> bool:
        """Whether it is known what became of the request."""
        return self.error is not None or self.answer is not None

    def result(self) -> Any:
        """What the server answered, whatever it is.

        Raises:
            ToolRefused: It answered with an error.
            AnswerUnreadable: It answered with something that is neither.
        """
        if self.error is not None:
            raise self.error
        answer = self.answer or {}
        if answer.get("error") is not None and not isinstance(answer.get("result"), dict):
            raise refusal_of(answer["error"])
        if "result" not in answer:
            raise AnswerUnreadable("the server's answer has neither a result nor an error")
        return answer["result"]


class OwnPending(Pending):
    """A request that was sent past the SDK, which hears nothing of it. Its result comes into `done`."""

    is_own = True

    def __init__(self, watch: Progress | None) -> None:
        super().__init__(self._settle)
        self.watch = watch
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def take(self, answer: Message) -> None:
        super().take(answer)
        self._settle()

    def spoil(self, error: Exception) -> None:
        self.fail(error)

    def _settle(self) -> None:
        if self.done.done():
            return  # nobody waits any more
        try:
            self.done.set_result(self.result())
        except (ToolRefused, AnswerUnreadable, ResultTooLarge, ServerGone) as error:
            self.done.set_exception(error)


class Incoming:
    """The requests of one session that wait, and everything that its server says.

    Args:
        decline: Tells the server that a request of its own, named by its id, is not known here.
        on_question: Told of a question of the server and the request on whose stream it came.
        said: Told what the server logs.
    """

    def __init__(
        self,
        *,
        decline: Callable[[str | int], None],
        on_question: Callable[[str | int, int], None],
        said: Callable[[str], None],
    ) -> None:
        self._decline = decline
        self._on_question = on_question
        self._said = said
        self._pending: dict[int, Pending] = {}
        # Nothing more comes.
        self.over = False

    @property
    def quiet(self) -> bool:
        """Whether at most one request waits."""
        return len(self._pending) <= 1

    @property
    def idle(self) -> bool:
        """Whether no request waits."""
        return not self._pending

    @contextmanager
    def expect(self, request_id: int, *, opening: bool = False) -> Iterator[Pending]:
        """Within the block the answer is kept. A failure cancels the current task and is in `error`.

        Args:
            opening: It is the request that opens the session.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one
        pending = self._pending[request_id] = Pending(task.cancel, opening=opening)
        try:
            yield pending
        finally:
            del self._pending[request_id]

    def answer_to(self, request_id: int, watch: Progress | None) -> asyncio.Future[Any]:
        """The result of a request that is sent past the SDK, or the error that it ends with.

        Args:
            watch: Told of its progress.
        """
        pending = self._pending[request_id] = OwnPending(watch)
        pending.done.add_done_callback(lambda _: self._pending.pop(request_id, None))
        return pending.done

    def end(self) -> None:
        """Nothing more comes: whoever waits past the SDK hears it from nobody else."""
        self.over = True
        for pending in [each for each in self._pending.values() if each.is_own]:
            pending.fail(ServerGone("the server went away before it answered"))

    def waits(self, request_id: int | None) -> bool:
        """Whether the request still has no answer."""
        pending = self._unanswered(request_id)
        return pending is not None and pending.error is None

    def fail(self, request_id: int | None, error: Exception) -> None:
        """End one request that waits; no other hears of it."""
        pending = self._unanswered(request_id)
        if pending is not None:
            pending.fail(error)

    def _unanswered(self, request_id: int | None) -> Pending | None:
        pending = None if request_id is None else self._pending.get(request_id)
        return pending if pending is not None and pending.answer is None else None

    def read(self, text: bytes | str, stream: int | None = None) -> list[Message]:
        """What the SDK shall read of a text that should hold JSON-RPC.

        Args:
            stream: The request on whose own stream the text came, where the transport says so.
        """
        try:
            found = _parsed(text)
        except (ValueError, RecursionError):
            return self._unreadable(text, stream)
        several = found[:_MOST_IN_A_BATCH] if isinstance(found, list) else [found]
        return [read for one in several if (read := self._one(one, stream)) is not None]

    def oversize(self, line: Oversize, stream: int | None = None) -> list[Message]:
        """As `read`, of a line that was too long to be kept."""
        said = ResultTooLarge(f"the result has {line.size} bytes, more than is read from this server")
        return self._closed(stream if line.request_id is None else line.request_id, said)

    def _one(self, message: object, stream: int | None) -> Message | None:
        if not isinstance(message, dict):
            return None
        method = message.get("method")
        if not isinstance(method, str):
            return self._answered(message, stream)
        if message.get("id") is None:
            return self._noted(mended_notification(method, message.get("params")))
        return self._request(method, message, stream)

    def _noted(self, note: Message | None) -> Message | None:
        """A notification; what may stand right before an answer is told here, in its order."""
        if note is None or note["method"] not in _IN_ORDER:
            return note
        params = note["params"]
        if note["method"] == "notifications/message":
            self._said(params["data"])
            return None
        pending = self._pending.get(params["progressToken"])
        if not isinstance(pending, OwnPending):
            return note
        if pending.watch is not None and not pending.known:
            pending.watch(params["progress"], params.get("total"), params.get("message", ""))
        return None

    def _answered(self, message: Message, stream: int | None) -> Message | None:
        request_id = _request_id(message.get("id"))
        if request_id is None and message.get("id") is None and {"result", "error"} & message.keys():
            request_id = stream  # errors of requests that a server could not read bear no id
        pending = self._unanswered(request_id)
        if pending is not None:
            pending.take(message)
        return None if request_id is None else self._empty(request_id)

    def _request(self, method: str, message: Message, stream: int | None) -> Message | None:
        question = message["id"]
        if not isinstance(question, str | int) or isinstance(question, bool):
            return None  # there is no way to answer it
        if method not in _UNDERSTOOD:
            log.debug("mcp request unknown", method=method[:80])
            self._decline(question)
            return None
        if method == "elicitation/create" and stream is not None:
            self._on_question(question, stream)
        params = message.get("params")
        shown = {"params": params} if isinstance(params, dict) else {}
        passed: Message = storable({"jsonrpc": "2.0", "id": question, "method": method, **shown})
        return passed

    def _unreadable(self, text: bytes | str, stream: int | None) -> list[Message]:
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        request_id = answered_by(data)
        said = AnswerUnreadable("the server's answer is no JSON that can be read")
        return self._closed(stream if request_id is None else request_id, said)

    def _closed(self, request_id: int | None, error: Exception) -> list[Message]:
        """The request has its answer, although nobody can read it."""
        if request_id is None:
            return []
        pending = self._unanswered(request_id)
        if pending is not None:
            pending.spoil(error)
        shown = self._empty(request_id)
        return [] if shown is None else [shown]

    def _empty(self, request_id: int) -> Message | None:
        """What the SDK reads in the answer's place; None where it has not asked."""
        pending = self._pending.get(request_id)
        if pending is not None and pending.is_own:
            return None
        result = _opened(pending.answer) if pending is not None and pending.opening else {}
        return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _parsed(text: bytes | str) -> Any:
    # Not orjson: a number of more than 64 bits would lose its last digits there.
    try:
        return json.loads(text, parse_int=_whole)
    except UnicodeDecodeError:
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int | str:
    """A whole number; as text where Python does not read one of so many digits."""
    try:
        return int(digits)
    except ValueError:
        return digits


def _request_id(value: object) -> int | None:
    """The id of one of our requests; some servers give it back as text or with a point."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    with suppress(ValueError, OverflowError):
        if isinstance(value, str) and len(value) < 20:
            return int(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
    return None


def _opened(answer: Message | None) -> dict[str, Any]:
    """As much of the first answer as the SDK's HTTP transport looks at: the version goes into a header."""
    found = (answer or {}).get("result")
    version = found.get("protocolVersion") if isinstance(found, dict) else None
    about = {"name": "", "version": ""}
    shown = version if isinstance(version, str) else types.LATEST_PROTOCOL_VERSION
    return {"protocolVersion": shown, "capabilities": {}, "serverInfo": about}


def refusal_of(error: object) -> ToolRefused:
    """The error of a JSON-RPC answer, whatever form it has."""
    said = error if isinstance(error, dict) else {"message": error}
    message, code = said.get("message"), said.get("code")
    text = message if isinstance(message, str) else "" if message is None else json.dumps(message)
    shown = clean_text(text[:_MESSAGE_CHARS]).strip() or f"error {str(code)[:40]} without a message"
    return ToolRefused(shown, rpc_code=code if isinstance(code, int) else None)
