"""What holds every stream of a model: its clocks, and an end that is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessageChunk

from nodes.llm.errors import ModelStreamCut, ModelTimedOut


@dataclass(frozen=True, slots=True)
class Clocks:
    """Longest silence and longest answer, in seconds; `end` is the latter as a time of the loop."""

    silence: float
    whole: float
    end: float

    @classmethod
    def started(cls, silence: float, whole: float) -> Clocks:
        """Clocks that run from now on, through all tries of a call."""
        return cls(silence, whole, asyncio.get_running_loop().time() + whole)


def has_content(chunk: AIMessageChunk) -> bool:
    """True when the chunk carries something that a reader could have seen."""
    return bool(chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs)


async def watched(
    stream: AsyncIterator[AIMessageChunk], clocks: Clocks, name: str
) -> AsyncIterator[AIMessageChunk]:
    """The stream of the model `name`, held to its clocks and to saying why it ends.

    Raises:
        ModelTimedOut: It is silent for too long, or takes too long as a whole.
        ModelStreamCut: It ends without a reason: it was cut where nobody could hear it.
    """
    loop = asyncio.get_running_loop()
    finished = False
    async with aclosing(cast(Any, stream)):
        while True:
            until = min(loop.time() + clocks.silence, clocks.end)
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise ModelTimedOut(_late(name, clocks, over=loop.time() >= clocks.end)) from None
            if chunk is None:
                break
            finished = finished or bool(chunk.response_metadata.get("finish_reason"))
            yield chunk
    if not finished:
        raise ModelStreamCut(f"the answer of the model '{name}' broke off")


def _late(name: str, clocks: Clocks, *, over: bool) -> str:
    if over:
        return f"the model '{name}' did not finish within {clocks.whole:g} s (timeout_s)"
    return f"the model '{name}' sent nothing for {clocks.silence:g} s (first_token_timeout_s)"
