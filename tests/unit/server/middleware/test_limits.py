"""The checks in front of every route."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from server.errors import BadJson, BodyTooLarge, TooDeep
from server.middleware.edge import check_json, counted, nesting, read_body, replay


def arriving(*parts: bytes) -> Receive:
    messages: Iterable[Message] = [
        {"type": "http.request", "body": part, "more_body": place < len(parts) - 1}
        for place, part in enumerate(parts)
    ]
    left = iter([*messages, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(left)

    return receive


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": 1e400}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{} {}",
    ],
)
def test_json_that_a_parser_behind_us_would_choke_on_is_refused(body: bytes) -> None:
    with pytest.raises(BadJson):
        check_json(body, depth=64)


@pytest.mark.parametrize("body", [b"{}", b'{"a": ["\\ud83d\\ude00", 1.5, null]}', '"é"'.encode()])
def test_sound_json_passes(body: bytes) -> None:
    check_json(body, depth=64)


def test_depth_is_refused_just_past_the_limit() -> None:
    check_json(b"[" * 64 + b"]" * 64, depth=64)
    with pytest.raises(TooDeep, match="64"):
        check_json(b"[" * 65 + b"]" * 65, depth=64)


def test_fifty_thousand_levels_are_refused_without_recursion() -> None:
    with pytest.raises(TooDeep):
        check_json(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, depth=64)


def test_brackets_in_strings_and_side_by_side_do_not_nest() -> None:
    assert nesting(b'["[[[[[[", "\\"[[[["]', stop=4) == 1
    assert nesting(b"[" + b",".join([b"{}"] * 50) + b"]", stop=4) == 2


async def test_a_body_is_read_whole_and_given_once_more() -> None:
    receive = arriving(b"ab", b"cd")
    body = await read_body(receive, 4)
    again = replay(body, receive)
    assert await again() == {"type": "http.request", "body": b"abcd", "more_body": False}
    assert (await again())["type"] == "http.disconnect"


async def test_a_body_is_refused_as_soon_as_it_passes_the_limit() -> None:
    with pytest.raises(BodyTooLarge, match="over 3 bytes"):
        await read_body(arriving(b"ab", b"cd", b"never read"), 3)


async def test_half_a_body_of_a_client_that_went_away_is_no_body() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        await read_body(gone, 10)


async def test_an_upload_is_counted_while_it_passes() -> None:
    receive = counted(arriving(b"abc", b"d"), 3, 3)
    assert (await receive())["body"] == b"abc"
    with pytest.raises(BodyTooLarge, match="the upload is over 3 bytes"):
        await receive()
