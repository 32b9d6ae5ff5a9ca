"""What wakes a watcher, and how it knows that something changed."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from core.reload import fingerprint, folders_of, lost, stamps, wake_ups


async def test_a_change_in_a_folder_wakes_and_so_does_the_clock(tmp_path: Path) -> None:
    async with aclosing(wake_ups(lambda: [tmp_path], quiet_s=0.02, every_s=0.1)) as wakes:
        async with asyncio.timeout(20):
            await anext(wakes)  # the clock: nothing has changed
            (tmp_path / "a").write_text("x")
            await anext(wakes)


async def test_a_folder_that_comes_later_is_watched_from_then_on(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    async with aclosing(wake_ups(lambda: [folder], quiet_s=0.02, every_s=0.05)) as wakes:
        async with asyncio.timeout(20):
            await anext(wakes)
            folder.mkdir()
            await anext(wakes)
            await anext(wakes)
            folder.rmdir()
            for _ in range(3):
                await anext(wakes)


async def test_the_folders_may_be_others_after_each_wake_up(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    watched = [one]
    async with aclosing(wake_ups(lambda: watched, quiet_s=0.02, every_s=0.05)) as wakes:
        async with asyncio.timeout(20):
            await anext(wakes)
            watched.append(two)
            await anext(wakes)
            (two / "a").write_text("x")
            await anext(wakes)


async def test_watching_stops_at_once_when_it_is_cancelled(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def watch() -> None:
        wakes = wake_ups(lambda: [tmp_path], quiet_s=0.02, every_s=60)
        begun.set()
        async for _ in wakes:
            pass

    task = asyncio.create_task(watch())
    await begun.wait()
    for _ in range(50):  # until its thread waits
        await asyncio.to_thread(lambda: None)
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([task])


def test_links_are_followed_to_every_folder_that_can_change_what_they_say(tmp_path: Path) -> None:
    mounted, first = tmp_path / "mounted", tmp_path / "mounted" / "..first"
    first.mkdir(parents=True)
    (first / "models.yaml").write_text("models: {}")
    (mounted / "..data").symlink_to("..first")
    (mounted / "models.yaml").symlink_to("..data/models.yaml")
    (tmp_path / "config").symlink_to("mounted")
    found = folders_of([tmp_path / "config" / "models.yaml"])
    assert {path.resolve() for path in found} == {tmp_path, mounted, first}
    (tmp_path / "plain").mkdir()
    assert folders_of([tmp_path / "plain" / "a"]) == {tmp_path / "plain"}


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert folders_of([tmp_path / "a"]) == {tmp_path}
    assert fingerprint([tmp_path / "a"]) == {str(tmp_path / "a"): ""}


def test_a_fingerprint_tells_contents_and_not_times(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    before = fingerprint([file])
    os.utime(file, (1, 1))
    assert fingerprint([file]) == before
    file.write_text("two")
    assert fingerprint([file]) != before


@pytest.mark.parametrize("blank", ["", " \n", None])
def test_a_file_that_was_emptied_or_taken_away_is_lost(tmp_path: Path, blank: str | None) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    before = fingerprint([file])
    assert not lost(before, before)
    file.unlink() if blank is None else file.write_text(blank)
    assert lost(before, fingerprint([file])) == {str(file)}
    assert not lost(fingerprint([file]), before)


def test_a_stamp_tells_two_writings_of_one_content_apart(tmp_path: Path) -> None:
    file = tmp_path / "a"
    missing = stamps([file])
    assert stamps([file]) == missing
    file.write_text("one")
    os.utime(file, ns=(1, 1))
    before = stamps([file])
    assert before != missing
    file.write_text("")
    file.write_text("one")
    assert stamps([file]) != before
    assert stamps([tmp_path / "no" / "folder"]) == {str(tmp_path / "no" / "folder"): ()}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_counts_as_none(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    file.chmod(0)
    assert fingerprint([file]) == {str(file): ""}
