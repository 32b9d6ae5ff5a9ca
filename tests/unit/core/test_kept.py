"""Resources live as long as some edition has an equal entry under their name."""

from __future__ import annotations

import asyncio

import pytest

from core.settings.book import EntryResources


class Client:
    def __init__(self, name: str, entry: list[int]) -> None:
        self.name = name
        self.entry = entry
        self.closed = False


async def close(client: Client) -> None:
    await asyncio.sleep(0)
    client.closed = True


async def test_an_equal_entry_has_the_same_resource_and_another_one_its_own() -> None:
    kept = EntryResources(list, Client, close)
    first = kept.get("a", [1])
    assert kept.get("a", [1]) is first
    assert kept.get("a", [2]) is not first
    assert kept.get("b", [1]) is not first


async def test_what_no_living_edition_names_is_closed() -> None:
    living = [{"a": [1], "b": [1]}, {"a": [2]}]
    kept = EntryResources(lambda: living, Client, close)
    old, new, other = kept.get("a", [1]), kept.get("a", [2]), kept.get("b", [1])
    await kept.tidy()
    assert not any(client.closed for client in (old, new, other))
    del living[0]
    await kept.tidy()
    assert [client.closed for client in (old, new, other)] == [True, False, True]
    assert kept.get("a", [2]) is new


async def test_one_that_fails_to_close_does_not_keep_the_others_open() -> None:
    async def fail_first(client: Client) -> None:
        if client.name == "a":
            raise RuntimeError("no")
        await close(client)

    kept = EntryResources(list, Client, fail_first)
    kept.get("a", [1])
    other = kept.get("b", [1])
    with pytest.raises(RuntimeError, match="no"):
        await kept.aclose()
    assert other.closed
    await kept.aclose()


async def test_closing_goes_on_when_it_is_cancelled() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slowly(client: Client) -> None:
        begun.set()
        await go.wait()
        client.closed = True

    kept = EntryResources(list, Client, slowly)
    client = kept.get("a", [1])
    closing = asyncio.create_task(kept.aclose())
    await begun.wait()
    closing.cancel()
    go.set()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert client.closed
