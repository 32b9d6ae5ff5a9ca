"""Read a run's events over HTTP, whole or in pieces, and compare what readers got."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import httpx

Event = dict[str, Any]
ENDS = ("done", "error")


async def events(
    http: httpx.AsyncClient, run_id: str, after: int, *, by_header: bool
) -> AsyncGenerator[Event, None]:
    """The run's events above number `after`, for which it asks in one of the two ways."""
    asked: dict[str, Any] = (
        {"headers": {"Last-Event-ID": str(after)}} if by_header else {"params": {"after": after}}
    )
    async with http.stream("GET", f"/runs/{run_id}/events", **asked) as answer:
        answer.raise_for_status()
        async with aclosing(data_of(answer)) as found:
            async for event in found:
                yield event


async def data_of(answer: httpx.Response) -> AsyncGenerator[Event, None]:
    """The events of an open stream."""
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


async def whole(http: httpx.AsyncClient, run_id: str) -> list[Event]:
    """Every event, in one piece."""
    return [event async for event in events(http, run_id, 0, by_header=False)]


async def in_pieces(
    https: Sequence[httpx.AsyncClient], run_id: str, sizes: Iterable[int], *, known: Sequence[Event] = ()
) -> tuple[list[Event], int]:
    """Every event, with the connection cut after so many each time and made anew to another process.

    Returns:
        The events, and how often the stream was cut.
    """
    got = list(known)
    for cuts, size in enumerate(sizes):
        after = got[-1]["seq"] if got else 0
        piece = events(https[cuts % len(https)], run_id, after, by_header=cuts % 2 == 0)
        async with aclosing(piece):
            taken = 0
            async for event in piece:
                got.append(event)
                taken += 1
                if taken == size and event["type"] not in ENDS:
                    break
        if got and got[-1]["type"] in ENDS:
            return got, cuts
    raise AssertionError("there were fewer pieces than events")


def joined(events: Sequence[Event]) -> list[Event]:
    """The events without their numbers, neighbouring tokens as one."""
    found: list[Event] = []
    for event in events:
        rest = {name: value for name, value in event.items() if name != "seq"}
        if found and event["type"] in ("token", "reasoning") and found[-1]["type"] == event["type"]:
            found[-1] = {**rest, "delta": found[-1]["delta"] + rest["delta"]}
        else:
            found.append(rest)
    return found


def differences(got: Sequence[Event], wanted: Sequence[Event], who: str) -> list[str]:
    """What a reader got otherwise than the one whose stream was never cut."""
    wrong = []
    numbers = [event["seq"] for event in got]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        wrong.append(f"{who}: the numbers do not grow: {numbers}")
    mine, theirs = joined(got), joined(wanted)
    if mine != theirs:
        at = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), len(mine))
        wrong.append(f"{who}: differs at event {at}: {mine[at : at + 1]} for {theirs[at : at + 1]}")
    return wrong
