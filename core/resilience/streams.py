"""Streams: everything up to the first content is one try, the rest comes as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Begun(Generic[T]):
    """A stream with what came up to its first content; `ended` when nothing more will."""

    items: list[T]
    rest: AsyncIterator[T]
    ended: bool


async def begin(opened: Callable[[], AsyncIterator[T]], content: Callable[[T], bool]) -> Begun[T]:
    """Open a stream and read on until `content` says that a reader could have seen something."""
    stream, items = opened(), []
    try:
        async for item in stream:
            items.append(item)
            if content(item):
                return Begun(items, stream, ended=False)
    except BaseException:
        await close(stream)
        raise
    return Begun(items, stream, ended=True)


async def close(stream: AsyncIterator[T]) -> None:
    """Close a stream that can be closed; not every iterator can."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()
