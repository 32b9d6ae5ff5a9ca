"""Attempts before the first chunk, and the clocks of a stream. After it nothing is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessageChunk

from core.errors import Unavailable
from nodes.llm.errors import ModelRateLimited, ModelTimedOut

Open = Callable[[], AsyncIterator[AIMessageChunk]]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between attempts, in seconds.

    A Retry-After longer than `longest` is not waited for: the caller hears it at once.
    """

    first: float = 0.25
    factor: float = 2.0
    longest: float = 8.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def pause(self, attempt: int, error: Unavailable) -> float | None:
        """Seconds before attempt `attempt` + 1, or None when waiting is no use."""
        if isinstance(error, ModelRateLimited) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.longest else None
        return min(self.first * self.factor**attempt, self.longest)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Longest silence and longest answer, in seconds."""

    silence: float
    whole: float


def has_content(chunk: AIMessageChunk) -> bool:
    """True when the chunk carries something that a reader could have seen."""
    return bool(chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs)


async def timed(
    stream: AsyncIterator[AIMessageChunk], clocks: Clocks, name: str
) -> AsyncIterator[AIMessageChunk]:
    """The stream, ended by ModelTimedOut when it is silent or takes too long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + clocks.whole
    async with aclosing(cast(Any, stream)):
        while True:
            until = min(loop.time() + clocks.silence, end)
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise ModelTimedOut(_late(name, clocks, over=loop.time() >= end)) from None
            if chunk is None:
                return
            yield chunk


def _late(name: str, clocks: Clocks, *, over: bool) -> str:
    if over:
        return f"the model '{name}' did not finish within {clocks.whole:g} s (timeout_s)"
    return f"the model '{name}' sent nothing for {clocks.silence:g} s (first_token_timeout_s)"


async def begun(open_stream: Open, *, retries: int, backoff: Backoff) -> AsyncIterator[AIMessageChunk]:
    """Open a stream, again where the dependency fails, until the first chunk with content has come.

    Raises:
        Unavailable: The last attempt failed too, or the stream broke after its first chunk.
    """
    attempt = 0
    while True:
        started = False
        try:
            async with aclosing(cast(Any, open_stream())) as stream:
                async for chunk in stream:
                    started = started or has_content(chunk)
                    yield chunk
                return
        except Unavailable as error:
            pause = backoff.pause(attempt, error)
            if started or attempt >= retries or pause is None:
                raise
        attempt += 1
        await backoff.sleep(pause)
