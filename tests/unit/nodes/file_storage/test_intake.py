"""What comes in is written and hashed while the next part comes, and in order."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator

import pytest

from nodes.file_storage.adapters.intake import WRITTEN_BYTES, Intake, taken_in


async def given(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    "sizes", [[], [1], [WRITTEN_BYTES] * 3, [700_000] * 9, [0, 5, WRITTEN_BYTES * 2 + 1]]
)
async def test_size_and_digest_are_those_of_what_was_written(sizes: list[int]) -> None:
    chunks = [bytes([n]) * size for n, size in enumerate(sizes)]
    out = io.BytesIO()
    intake = Intake(out)
    await taken_in(intake, given(*chunks), asyncio.to_thread)
    assert out.getvalue() == b"".join(chunks)
    assert (intake.size, intake.etag) == (sum(sizes), hashlib.sha256(b"".join(chunks)).hexdigest())


async def test_a_file_that_cannot_be_written_fails_the_intake() -> None:
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        await taken_in(Intake(closed), given(bytes(WRITTEN_BYTES), bytes(WRITTEN_BYTES)), asyncio.to_thread)


async def test_data_that_breaks_off_fails_the_intake_and_leaves_no_work_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(WRITTEN_BYTES)
        raise ConnectionError("the caller went away")

    with pytest.raises(ConnectionError):
        await taken_in(Intake(io.BytesIO()), broken(), asyncio.to_thread)
    assert caplog.records == []
