"""Numbers of passages in an answer, held to those that were offered.

A model that cites [7] of four passages has made it up. Such a number is taken
out while the answer streams, counted, and told. What only looks like a citation
stays: in code, right behind a word (`rows[7]`), a link's text, a list of numbers.
"""

from __future__ import annotations

import re
from asyncio import CancelledError
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar, cast

from langchain_core.messages import AIMessage

from core.observability.metrics import CITATIONS
from nodes.llm.models import LLMChunk, LLMResponse

# Larger numbers are years and amounts; no turn has so many passages.
_MOST = 99
_PIECE = re.compile(
    r"(?P<code>`+)"
    r"|(?P<space>[ \t]?)\[(?P<numbers>[ \t]?\d{1,4}(?:[ \t]?[,;][ \t]?\d{1,4}){0,19}[ \t]?)\](?![(:])"
)
# What may be the beginning of one of these, at the end of what has come so far.
_OPEN = re.compile(r"(?:`{1,8}|[ \t]?(?:\[[\d,; \t]{0,120}\]?)?)\Z")
_NUMBER = re.compile(r"\d+")
M = TypeVar("M", bound=AIMessage)


class OfferedOnly:
    """Takes numbers that were not offered out of a text that comes in pieces.

    Args:
        offered: The numbers of the passages.
    """

    def __init__(self, offered: Collection[int]) -> None:
        self._offered = frozenset(offered)
        self._held = ""
        self._before = ""  # the last character that went out
        self._code = ""  # the backticks that opened the code that we are in
        self.invented: list[int] = []
        self.kept = 0

    def feed(self, text: str) -> str:
        """What of the text so far can go out."""
        text = self._held + text
        held = _OPEN.search(text)
        at = held.start() if held else len(text)
        self._held = text[at:]
        return self._through(text[:at])

    def end(self) -> str:
        """The rest, when no more comes."""
        rest, self._held = self._held, ""
        return self._through(rest)

    def _through(self, text: str) -> str:
        if not text:
            return ""
        parts: list[str] = []
        at = 0
        for found in _PIECE.finditer(text):
            parts.append(text[at : found.start()])
            self._before = (parts[-1] or self._before)[-1:]
            shown = self._ticks(found["code"]) if found["code"] else self._mark(found)
            parts.append(shown)
            self._before = (shown or self._before)[-1:]
            at = found.end()
        parts.append(text[at:])
        self._before = (parts[-1] or self._before)[-1:]
        return "".join(parts)

    def _ticks(self, ticks: str) -> str:
        if not self._code:
            self._code = ticks
        elif ticks == self._code:
            self._code = ""
        return ticks

    def _mark(self, found: re.Match[str]) -> str:
        numbers = [int(number) for number in _NUMBER.findall(found["numbers"])]
        known = [number for number in numbers if number in self._offered]
        unknown = [number for number in numbers if number not in self._offered]
        self.kept += len(known)
        if not unknown or self._is_none(found, numbers, known):
            return found[0]
        self.invented += unknown
        return f"{found['space']}[{', '.join(map(str, known))}]" if known else ""

    def _is_none(self, found: re.Match[str], numbers: Sequence[int], known: Sequence[int]) -> bool:
        """Whether this only looks like a citation."""
        before = "" if found["space"] else self._before
        glued = before.isascii() and (before.isalnum() or before in ("_", ")"))
        listed = len(numbers) > 1 and not known
        return bool(self._code) or glued or listed or not all(0 < number <= _MOST for number in numbers)


async def offered_only(
    stream: AsyncIterator[LLMChunk | LLMResponse], documents: Sequence[Mapping[str, Any]]
) -> AsyncIterator[LLMChunk | LLMResponse]:
    """The stream of an answer without numbers that none of `documents` has; its response says how many.

    Where it breaks off, or is stopped, what was held back comes before the error: it was said.
    """
    async with aclosing(cast(Any, stream)) as items:
        if not documents:
            async for item in items:
                yield item
            return
        offered = [int(document["n"]) for document in documents]
        text = OfferedOnly(offered)
        try:
            async for item in items:
                for shown in _shown(item, text, offered):
                    yield shown
        except (Exception, CancelledError):
            for chunk in _rest(text):
                yield chunk
            raise


def _shown(
    item: LLMChunk | LLMResponse, text: OfferedOnly, offered: Collection[int]
) -> Iterator[LLMChunk | LLMResponse]:
    if isinstance(item, LLMResponse):
        yield from _rest(text)
        yield checked(item, offered)
        return
    shown = text.feed(item.text) if item.text else ""
    if shown or item.reasoning:
        yield replace(item, text=shown)


def _rest(text: OfferedOnly) -> Iterator[LLMChunk]:
    rest = text.end()
    if rest:
        yield LLMChunk(text=rest)


def checked(response: LLMResponse, offered: Collection[int]) -> LLMResponse:
    """The response with the numbers that were offered alone, counted; with a remark where one was not."""
    text = OfferedOnly(offered)
    message = _rewritten(response.message, text)
    CITATIONS.labels("offered").inc(text.kept)
    CITATIONS.labels("invented").inc(len(text.invented))
    if not text.invented:
        return response
    said = ", ".join(f"[{number}]" for number in dict.fromkeys(text.invented))
    remark = f"The model cited {said}, and no passage has that number: taken out of the answer."
    return replace(response, message=message, remarks=(*response.remarks, ("citation_unknown", remark)))


def _rewritten(message: M, text: OfferedOnly) -> M:
    if isinstance(message.content, str):
        return message.model_copy(update={"content": text.feed(message.content) + text.end()})
    parts: list[Any] = []
    for part in message.content:
        if isinstance(part, str):
            parts.append(text.feed(part) + text.end())
        elif part.get("type") == "text" and isinstance(part.get("text"), str):
            parts.append({**part, "text": text.feed(part["text"]) + text.end()})
        else:
            parts.append(part)
    return message.model_copy(update={"content": parts})
