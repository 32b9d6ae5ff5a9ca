"""The end of old files: which ones, for whom, told to whom, and what a failure leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.container import open_module
from core.errors import Unavailable
from core.events import Event, EventBus, record
from core.settings import Context, Places
from core.task_queue import TaskStatus
from nodes.file_storage.errors import StorageUnavailable
from nodes.file_storage.events import FileDeleted
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.manager import FileManager
from nodes.file_storage.models import OldFile
from nodes.file_storage.module import MODULE
from nodes.file_storage.retention import BATCH
from nodes.file_storage.settings import FileStorageSettings
from tests.kit.task_queues import opened_queue

ADA, BOB = Principal("ada"), Principal("bob")
# So short that whatever is there is old.
AT_ONCE = 1e-12


class Kept:
    """A manager, and what it published."""

    def __init__(self, signer: LinkSigner, store: MemoryStore | None = None, **days: Any) -> None:
        self.events: list[Event] = []
        self.store = store or MemoryStore()
        settings = FileStorageSettings.model_validate(days)
        host = FixedHost("http://x")
        self.files = FileManager(
            self.store, signer=signer, host=host, settings=settings, publish=self.events.append
        )
        self.progress: list[int] = []

    async def fill(self, count: int = 1) -> None:
        for n in range(count):
            await self.files.put(ADA, "upload.txt", b"x", key=f"u{n}")
            await self.files.put(BOB, "made.txt", b"x", key=f"t{n}", origin="tool")
        self.events.clear()

    async def sweep(self) -> set[tuple[str, str]]:
        """Do it; (owner, key) of what was told to be deleted."""

        async def swept(deleted: int) -> None:
            self.progress.append(deleted)

        await self.files.sweep(swept=swept)
        return {(event.owner, event.key) for event in self.events if isinstance(event, FileDeleted)}


async def test_by_default_everything_is_kept(signer: LinkSigner) -> None:
    kept = Kept(signer)
    await kept.fill()
    assert await kept.sweep() == set()
    assert (await kept.files.stats()).files == 2


@pytest.mark.parametrize(
    ("days", "gone"),
    [
        ({"keep_uploads_days": AT_ONCE}, {("ada", "u0")}),
        ({"keep_artifacts_days": AT_ONCE}, {("bob", "t0")}),
        ({"keep_uploads_days": 1, "keep_artifacts_days": AT_ONCE}, {("bob", "t0")}),
        ({"keep_uploads_days": 1, "keep_artifacts_days": 36_500}, set()),
    ],
)
async def test_each_origin_is_kept_as_long_as_its_setting_says(
    signer: LinkSigner, days: dict[str, Any], gone: set[tuple[str, str]]
) -> None:
    kept = Kept(signer, **days)
    await kept.fill()
    assert await kept.sweep() == gone
    assert (await kept.files.stats()).files == 2 - len(gone)
    assert await kept.sweep() == gone  # once more deletes nothing more


async def test_it_goes_batch_by_batch_and_tells_how_far_it_is(signer: LinkSigner) -> None:
    kept = Kept(signer, keep_uploads_days=AT_ONCE, keep_artifacts_days=AT_ONCE)
    await kept.fill(BATCH)
    await kept.sweep()
    assert kept.progress == [BATCH, 2 * BATCH, 2 * BATCH]
    assert (await kept.files.stats()).files == 0


class _Stubborn(MemoryStore):
    async def discard(self, old: OldFile) -> bool:
        if old.info.key == "u0":
            raise StorageUnavailable("the disk is sick")
        return await super().discard(old)


async def test_one_that_cannot_be_deleted_does_not_keep_the_others_and_is_not_hidden(
    signer: LinkSigner,
) -> None:
    kept = Kept(signer, _Stubborn(), keep_uploads_days=AT_ONCE, keep_artifacts_days=AT_ONCE)
    await kept.fill(2)
    with pytest.raises(Unavailable, match="1 old files could not be deleted, 3 were"):
        await kept.sweep()
    assert (await kept.files.stats()).files == 1


class _Touched(MemoryStore):
    async def discard(self, old: OldFile) -> bool:
        await self.annotate(old.info.owner, old.info.key, thread="t1")
        return await super().discard(old)


async def test_a_file_that_is_used_again_meanwhile_stays(signer: LinkSigner) -> None:
    kept = Kept(signer, _Touched(), keep_uploads_days=AT_ONCE)
    await kept.fill()
    assert await kept.sweep() == set()
    assert (await kept.files.stats()).files == 2


async def test_the_task_cleans_the_store_of_the_service(tmp_path: Path) -> None:
    places = Places(tmp_path / "config", tmp_path / "home")
    settings = {"file_storage": {"keep_uploads_days": AT_ONCE}}
    container = open_module(MODULE, Context(places, {}, settings))
    files, bus = await container.get(FileManager), await container.get(EventBus)
    info = await files.put(ADA, "a.txt", b"x")
    with record(bus, FileDeleted) as seen:
        async with opened_queue(tmp_path, MODULE.tasks, container=container) as queue:
            task = await queue.add("clean_files", {}, owner=queue.system)
            assert (await queue.wait(task.id, 20)).status is TaskStatus.DONE
        (deleted,) = await seen.wait_for(FileDeleted)
    assert (deleted.key, deleted.owner) == (info.key, "ada")
    assert await files.list(ADA) == []
    assert MODULE.tasks[0].cron
    await container.close()
