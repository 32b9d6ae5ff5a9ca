"""A bucket that something else empties, wholly or in part, while indexes are shared through it."""

from __future__ import annotations

import pytest

from nodes.rag.shared import index as shared_index
from nodes.rag.shared.generation import FILES, GENERATIONS, POINTER, WRITER
from tests.unit.nodes.rag.corpus import HANDBOOK, write
from tests.unit.nodes.rag.test_shared import QUESTIONS, Homes, ask, homes, server

__all__ = ["homes", "server"]
pytestmark = pytest.mark.slow


async def lose(homes: Homes, *below: str) -> None:
    """Remove what is stored below these names."""
    for each in below:
        names = [each] if each in (POINTER, WRITER) else list(await homes.objects.ages(each))
        assert names
        await homes.objects.delete(names)


async def test_an_emptied_bucket_is_filled_again_by_the_writer_and_told_by_readers(homes: Homes) -> None:
    writer, reader = await homes.home("first"), await homes.home("second", "read")
    await writer.ingest("docs")
    await reader.prepare()
    await lose(homes, FILES, GENERATIONS, POINTER, WRITER)
    await reader.prepare()
    told = (await reader.check()).reason
    assert "what was published is no longer in the bucket" in told
    assert "generation 1 is searched" in told
    assert (await ask(reader, QUESTIONS[0])).passages
    await writer.sharing.once()
    assert await homes.pointer() == 2
    await reader.prepare()
    assert "is no longer in the bucket" not in (await reader.check()).reason
    newcomer = await homes.home("third", "read")
    await newcomer.prepare()
    assert await ask(newcomer, QUESTIONS[0]) == await ask(writer, QUESTIONS[0])


async def test_where_there_never_was_a_bucket_nothing_is_said_to_be_searched(homes: Homes) -> None:
    client = await homes.home("first", "read", bucket="no-such-bucket")
    await client.prepare()
    reason = (await client.check()).reason
    assert "there is no bucket 'no-such-bucket'" in reason
    assert "is searched" not in reason


@pytest.mark.parametrize("below", [FILES, GENERATIONS])
async def test_lost_files_are_told_by_who_needs_them_and_stored_again_by_the_writer(
    homes: Homes, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await homes.home("first")
    await writer.ingest("docs")
    await lose(homes, below)
    reader = await homes.home("second", "read")
    await reader.prepare()
    assert "generation 1 is not whole in the bucket" in (await reader.check()).reason
    monkeypatch.setattr(shared_index, "VERIFIED_SECONDS", 0.0)
    await writer.sharing.once()
    await reader.prepare()
    assert await ask(reader, QUESTIONS[0]) == await ask(writer, QUESTIONS[0])
    assert "not whole" not in (await reader.check()).reason


async def test_who_takes_over_a_generation_that_is_not_whole_publishes_what_it_indexes(homes: Homes) -> None:
    await (await homes.home("first")).ingest("docs")
    await lose(homes, FILES, WRITER)
    write(homes.folder / "second-docs", HANDBOOK)
    second = await homes.home("second")
    await second.ingest("docs")
    assert await homes.pointer() == 2
    reader = await homes.home("third", "read")
    await reader.prepare()
    assert (await ask(reader, QUESTIONS[0])).passages
