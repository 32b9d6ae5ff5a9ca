"""What comes in is written and hashed while the next part comes, and in order."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from collections.abc import AsyncIterator

import pytest

from nodes.file_storage.adapters.intake import WRITTEN_BYTES, Intake, taken_in
from tests.kit.patience import A_BUSY_MACHINE_S


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


async def test_a_file_that_takes_a_part_of_what_it_is_given_is_given_the_rest() -> None:
    class Slow(io.BytesIO):
        def write(self, data: object) -> int:
            return super().write(memoryview(data)[:100_000])  # type: ignore[arg-type]

    out, chunks = Slow(), [b"a" * WRITTEN_BYTES, *[b"b"] * 1000, b"c" * 300_000]
    await taken_in(Intake(out), given(*chunks), asyncio.to_thread)
    assert out.getvalue() == b"".join(chunks)


async def test_a_file_is_closed_behind_the_write_that_goes_on() -> None:
    begun, go = threading.Event(), threading.Event()

    class Waiting(io.BytesIO):
        def write(self, data: object) -> int:
            begun.set()
            assert go.wait(A_BUSY_MACHINE_S)
            return super().write(data)  # type: ignore[arg-type]

    intake = Intake(Waiting())
    writing = asyncio.create_task(asyncio.to_thread(intake.write, [b"x"]))
    await asyncio.to_thread(begun.wait, A_BUSY_MACHINE_S)
    closing = asyncio.create_task(asyncio.to_thread(intake.close))
    assert not intake.handle.closed
    go.set()
    await writing
    await closing
    assert intake.handle.closed


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
