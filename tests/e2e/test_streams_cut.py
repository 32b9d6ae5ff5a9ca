"""Streams that are cut and gone on with, from the process of the turn or another; frozen readers.

A sample of `python -m tests.campaigns.streams`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.campaigns.streams import Streams, opened

SUBSCRIBERS = 12
FROZEN = 16
# Pieces of 64 KiB: more than the system takes in for a reader, 4 MiB and a little at the sender.
POURED = 110


@pytest.fixture(scope="module")
async def streams() -> AsyncIterator[Streams]:
    async with opened("", seed=1) as streams:
        yield streams


@pytest.mark.parametrize("kind", ["say 12", "two"])
@pytest.mark.parametrize("server", [0, 1], ids=["one", "other"])
async def test_a_reader_that_is_cut_at_every_event_gets_all_of_them(
    streams: Streams, kind: str, server: int
) -> None:
    assert await streams.cut_background(kind, server=server) == []


@pytest.mark.parametrize("at", [1, 4, 7])
async def test_a_turn_whose_own_stream_was_cut_is_read_on(streams: Streams, at: int) -> None:
    assert await streams.cut_foreground("two", at) == []


async def test_many_readers_of_one_run_get_the_same(streams: Streams) -> None:
    assert await streams.crowd(SUBSCRIBERS) == []


async def test_a_reader_that_takes_nothing_is_dropped_and_can_come_back(streams: Streams) -> None:
    assert await streams.freeze(FROZEN, POURED) == []
