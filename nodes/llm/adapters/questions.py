"""Single questions to an endpoint, and what its answers look like: for `llm probe` only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import aiohttp
import orjson

from nodes.llm.adapters.answers import NoAnswer, parsed
from nodes.llm.adapters.http import Http, UnusableProxy
from nodes.llm.adapters.refusals import Refusal, retry_after
from nodes.llm.adapters.sse import EventReader, EventTooLong
from nodes.llm.settings import ModelEntry

_MOST_BYTES = 1024 * 1024
PASSING = frozenset({0, 429, 502, 503, 504})
"""Statuses that say nothing of the question: nobody was there, or not now. 500 may be about a template."""
_TRIES = 3
_LONGEST_WAIT = 20.0
_PLAIN_DELTA = {"role", "content", "tool_calls", "refusal", "function_call", "audio", "annotations"}
_PLAIN_CALL = {"index", "id", "type", "function"}
_PLAIN_CHUNK = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}


@dataclass
class Answer:
    """What came back. `refusal` is set where it was no answer.

    Args:
        fields: Fields of the answer beside text and calls, each put together.
        calls: Tool calls, put together, with every field that they came with.
        usage: The last count of tokens.
        asides: Keys of chunks that chat completions do not have.
        first_s: Seconds to the first sign of life.
        wait: Seconds that it wants to be left alone for.
    """

    refusal: Refusal | None = None
    text: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    comments: set[str] = field(default_factory=set)
    asides: set[str] = field(default_factory=set)
    fingerprint: str = ""
    streamed: bool = False
    first_s: float = 0.0
    wait: float | None = None

    @property
    def ok(self) -> bool:
        return self.refusal is None

    @property
    def tokens(self) -> int:
        counts = (self.usage.get("prompt_tokens"), self.usage.get("completion_tokens"))
        return sum(count for count in counts if isinstance(count, int))


class Questions:
    """Asks one endpoint; nothing that it answers is an exception.

    Args:
        seconds: The longest that one question may take.
        pause: Before a question is asked again, where the endpoint does not say how long.
    """

    def __init__(self, entry: ModelEntry, *, seconds: float, pause: float = 2.0) -> None:
        self._entry = entry
        self._seconds = seconds
        self._pause = pause
        self._key = entry.api_key.get_secret_value()
        self._http = Http(entry.model_url, self._headers())
        self.asked = 0
        self.tokens = 0

    async def use_key_header(self, name: str) -> None:
        """From now on, the key stands in this header too."""
        await self.aclose()
        self._http = Http(self._entry.model_url, self._headers() | {name: self._key})

    async def models(self) -> tuple[Refusal | None, list[dict[str, Any]]]:
        """The list of models; what it is refused with, or both empty where there is no list."""
        status, body = await self._read("GET", "/models", None, Answer())
        if status in (404, 405, 501):
            return None, []
        if status != 200:
            return Refusal.of(body, status=status), []
        found = body.get("data") if isinstance(body, dict) else body
        items = found if isinstance(found, list) else []
        return None, [item for item in items if isinstance(item, dict)]

    async def ask(self, body: Mapping[str, Any]) -> Answer:
        """The answer to one request; it waits where the endpoint limits requests."""
        for tried in range(_TRIES):
            answer = await self._asked(body)
            if answer.refusal is None or answer.refusal.status not in PASSING - {0} or tried == _TRIES - 1:
                break
            await asyncio.sleep(min(answer.refusal.retry_after or self._pause, _LONGEST_WAIT))
        return answer

    async def _asked(self, body: Mapping[str, Any]) -> Answer:
        answer = Answer()
        self.asked += 1
        status, whole = await self._read("POST", "/chat/completions", orjson.dumps(dict(body)), answer)
        if not 200 <= status < 300:
            answer.refusal = replace(Refusal.of(whole, status=status), retry_after=answer.wait)
        elif whole is not None:
            _chunk(answer, whole)
        self.tokens += answer.tokens
        return answer

    async def aclose(self) -> None:
        await self._http.aclose()

    def _headers(self) -> dict[str, str]:
        given = {name: value.get_secret_value() for name, value in self._entry.extra_headers.items()}
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        return headers | ({"Authorization": f"Bearer {self._key}"} if self._key else {}) | given

    async def _read(self, method: str, path: str, sent: bytes | None, answer: Answer) -> tuple[int, Any]:
        """Status and body; a stream of events goes into `answer`, and its body is None."""
        began = perf_counter()
        try:
            async with asyncio.timeout(self._seconds), self._http.asked(method, path, sent) as response:
                answer.wait = retry_after(response.headers)
                parts = _timed(response, answer, began)
                if response.status >= 300:
                    return response.status, _parsed(b"".join([part async for part in parts]))
                return response.status, await _taken_in(parts, answer)
        except TimeoutError:
            return 0, {"message": f"no whole answer within {self._seconds:g} s"}
        except UnusableProxy as error:
            return 0, {"message": f"the proxy of the environment is of the kind '{error}'"}
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return 0, {"message": f"no answer ({type(error).__name__})"}


async def _timed(response: aiohttp.ClientResponse, answer: Answer, began: float) -> AsyncIterator[bytes]:
    """The body, as far as a probe reads it, and when it began."""
    size = 0
    async for part in response.content.iter_any():
        answer.first_s = answer.first_s or perf_counter() - began
        size += len(part)
        if size > _MOST_BYTES:
            raise EventTooLong(f"more than {_MOST_BYTES} bytes")
        yield part


async def _taken_in(parts: AsyncIterator[bytes], answer: Answer) -> Any:
    """Read a stream of events into `answer`; the body where it is none."""
    reader = EventReader()
    async for part in parts:
        _comments(answer, part)
        for event in reader.feed(part):
            _event(answer, event.data)
    last = [event.data for event in reader.end()]
    if reader.whole:
        return _parsed(b"".join(last))
    for data in last:
        _event(answer, data)
    return None


def _parsed(data: bytes) -> Any:
    try:
        return parsed(data)
    except NoAnswer:
        return data.decode("utf-8", "replace")[:2000]


def _comments(answer: Answer, part: bytes) -> None:
    for line in part.split(b"\n"):
        if line.startswith(b":") and len(answer.comments) < 8:
            answer.comments.add(line[1:].strip().decode("utf-8", "replace")[:40])


def _event(answer: Answer, data: bytes) -> None:
    if data.strip() == b"[DONE]":
        return
    try:
        found = parsed(data)
    except NoAnswer:
        answer.asides.add("(no JSON)")
        return
    answer.streamed = True
    _chunk(answer, found)


def _chunk(answer: Answer, chunk: Any) -> None:
    """Take in a chunk of a stream, or a whole answer."""
    if not isinstance(chunk, dict):
        answer.asides.add("(no object)")
        return
    if chunk.get("error"):
        answer.refusal = answer.refusal or Refusal.of(chunk, status=0)
        return
    answer.asides |= chunk.keys() - _PLAIN_CHUNK
    answer.fingerprint = str(chunk.get("system_fingerprint") or answer.fingerprint)
    if isinstance(chunk.get("usage"), dict):
        answer.usage = chunk["usage"]
    for choice in chunk.get("choices") or []:
        if isinstance(choice, dict):
            delta = choice.get("delta") or choice.get("message")
            _delta(answer, delta if isinstance(delta, dict) else {})


def _delta(answer: Answer, delta: Mapping[str, Any]) -> None:
    content = delta.get("content")
    if isinstance(content, str):
        answer.text += content
    elif content:
        answer.asides.add("(content in parts)")
    for name in delta.keys() - _PLAIN_DELTA:
        _put(answer.fields, name, delta[name])
    for call in delta.get("tool_calls") or []:
        if isinstance(call, dict):
            _call(answer, call)


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    """Texts and lists grow from piece to piece."""
    before = fields.get(name)
    joins = isinstance(before, str | list) and isinstance(value, type(before))
    if value is not None:
        fields[name] = before + value if joins else value


def _call(answer: Answer, part: Mapping[str, Any]) -> None:
    function = part.get("function")
    function = function if isinstance(function, dict) else {}
    last = answer.calls[-1] if answer.calls else None
    if last is None or (part.get("id") and part["id"] != last["id"]):
        last = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        answer.calls.append(last)
    last["id"] = last["id"] or str(part.get("id") or "")
    last["function"]["name"] = last["function"]["name"] or str(function.get("name") or "")
    arguments = function.get("arguments") or ""
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    last["function"]["arguments"] += text
    for name in part.keys() - _PLAIN_CALL:
        last[name] = part[name]
