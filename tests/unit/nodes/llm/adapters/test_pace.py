"""How often open streams are read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from nodes.llm.adapters.pace import FEW, LONGEST_SECONDS, Crowd, Pace, together
from nodes.llm.pieces import Piece


def content() -> aiohttp.StreamReader:
    loop = asyncio.get_running_loop()
    return aiohttp.StreamReader(BaseProtocol(loop=loop), limit=2**16, loop=loop)


async def test_a_few_streams_are_read_token_by_token() -> None:
    crowd = Crowd()
    with Pace(content(), crowd) as pace:
        assert crowd.streams == 1
        assert not await pace.rest()
    assert crowd.streams == 0


async def test_one_of_many_rests_between_two_looks() -> None:
    with Pace(content(), Crowd(streams=FEW)) as pace:
        assert await pace.rest()


def test_the_rest_grows_with_the_crowd_up_to_what_a_reader_does_not_see() -> None:
    rests = [Crowd(streams).rest for streams in (1, FEW, FEW + 1, 2 * FEW, 1_000)]
    assert rests[:2] == [0, 0]
    assert 0 < rests[2] < rests[3] < rests[4] == LONGEST_SECONDS


async def test_an_answer_that_has_ended_is_not_waited_for() -> None:
    class Slow(Crowd):
        rest = 3_600.0

    read = content()
    with Pace(read, Slow()) as pace:
        asyncio.get_running_loop().call_soon(read.feed_eof)
        async with asyncio.timeout(10):
            assert await pace.rest()
            assert not await pace.rest()


def test_neighbours_of_text_become_one_piece_and_all_else_keeps_its_place() -> None:
    call = Piece(calls=[{"index": 0}])
    thought = Piece("", more={"reasoning_content": "hm"})
    found = list(together([Piece("a"), Piece("b"), call, Piece("c"), thought, Piece("d"), Piece("e")]))
    assert [piece.content for piece in found] == ["ab", "", "c", "", "de"]
    assert found[1] is call
    assert found[3] is thought


def test_what_stands_in_front_of_an_error_is_said() -> None:
    def broken() -> Iterator[Piece]:
        yield Piece("a")
        yield Piece("b")
        raise ValueError("cut")

    said = list[str]()
    with pytest.raises(ValueError, match="cut"):
        said.extend(piece.content for piece in together(broken()))
    assert said == ["ab"]
