"""What holds every stream of a model: its clocks, and an end that is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from nodes.llm.errors import ModelStreamCut, ModelTimedOut
from nodes.llm.finish import BROKEN, finish_of
from nodes.llm.pieces import Chunk

# An answer that has said why it ends may still say what it used. Not every server closes then.
_AFTERWARDS_S = 2.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a stream is waited for, in seconds.

    Args:
        first: Longest silence before the first content: the model may have to be loaded.
        silence: Longest silence after it.
        begin: Latest first content, through all tries of a call.
        whole: Longest answer, from its first content on; from the call on where `strict`.
    """

    first: float
    silence: float
    begin: float
    whole: float
    strict: bool = False

    @classmethod
    def of_one(cls, seconds: float) -> Patience:
        """The same for all of it."""
        return cls(seconds, seconds, seconds, seconds, strict=True)


class Clocks:
    """The clocks of one call; they run from now on, through all its tries."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        now = asyncio.get_running_loop().time()
        self._begin = now + patience.begin
        self._whole = now + patience.whole if patience.strict else None
        self._begun = False

    def begun(self) -> None:
        """The first content is there."""
        if not self._begun:
            self._begun = True
            self._begin = self._whole or asyncio.get_running_loop().time() + self.patience.whole

    @property
    def end(self) -> float:
        """When the phase that the stream is in is over, as a time of the loop."""
        return self._begin

    @property
    def silence(self) -> float:
        return self.patience.silence if self._begun else self.patience.first

    def late(self, name: str, *, over: bool) -> str:
        """What is said of the model `name`, whose time is `over` or which is silent."""
        if not over:
            key = "silence_timeout_s" if self._begun else "first_token_timeout_s"
            return f"the model '{name}' sent nothing for {self.silence:g} s ({key})"
        if self._begun or self.patience.strict:
            return f"the model '{name}' did not finish within {self.patience.whole:g} s (timeout_s)"
        return f"the model '{name}' did not begin within {self.patience.begin:g} s (first_token_timeout_s)"


def has_content(chunk: Chunk) -> bool:
    """True when the chunk carries something that a reader could have seen."""
    return bool(chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs)


async def watched(stream: AsyncIterator[Chunk], clocks: Clocks, name: str) -> AsyncIterator[Chunk]:
    """The stream of the model `name`, held to its clocks and to saying why it ends.

    Raises:
        ModelTimedOut: It is silent for too long, or takes too long as a whole.
        ModelStreamCut: It ends without a reason, or with one that says it was cut.
    """
    finish = ""
    async with aclosing(cast(Any, stream)):
        while (chunk := await _next(stream, clocks, name, ended=bool(finish))) is not None:
            if has_content(chunk):
                clocks.begun()
            if chunk.response_metadata:
                finish = finish_of(chunk.response_metadata.get("finish_reason")) or finish
            yield chunk
    if not finish:
        raise ModelStreamCut(f"the answer of the model '{name}' broke off")
    if finish in BROKEN:
        raise ModelStreamCut(f"the endpoint of the model '{name}' broke its answer off ({finish})")


async def _next(stream: AsyncIterator[Chunk], clocks: Clocks, name: str, *, ended: bool) -> Chunk | None:
    """The next chunk; None at the end, also where a server that has said why it ends does not close."""
    loop = asyncio.get_running_loop()
    until = min(loop.time() + (_AFTERWARDS_S if ended else clocks.silence), clocks.end)
    try:
        async with asyncio.timeout_at(until):
            return await anext(stream, None)
    except TimeoutError:
        if ended:
            return None
        raise ModelTimedOut(clocks.late(name, over=loop.time() >= clocks.end)) from None
