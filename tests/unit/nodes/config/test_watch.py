"""Hot reload: valid edits become the next edition, bad ones change nothing and are told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from core.events import Event
from core.health import HealthState
from core.settings import Book, Section
from core.settings.book import Editions
from nodes.config import ConfigManager
from nodes.config.events import ConfigRejected, ConfigReloaded
from nodes.config.reload import FILE_NAME, Snapshot
from nodes.config.settings import ReloadSettings
from nodes.config.watch import PATIENCE_SECONDS, ConfigWatcher
from tests.kit.settings import ConfigFolder
from tests.unit.nodes.config.shapes import (
    LISTED_MODELS,
    MODELS_YAML,
    SOURCES,
    Listed,
    ModelsFile,
    ShopSettings,
)
from waystation.testing.mcp_servers import until

pytestmark = pytest.mark.slow

SHOP = Section("shop", ShopSettings, live=("model",))


@dataclass
class Watched:
    """A watcher over a folder, what it told, and the editions behind it."""

    folder: ConfigFolder
    editions: Editions
    watcher: ConfigWatcher
    told: list[Event] = field(default_factory=list)

    def models(self) -> dict[str, str]:
        found = self.editions.now().book[ModelsFile].models
        return {name: entry.model_name for name, entry in found.items()}

    def edit(self, name: str, text: str) -> None:
        """Save like an editor does: a new file that takes the place of the old."""
        path = self.folder.places.config_dir / name
        draft = path.with_name(f".{name}.swp")
        draft.write_text(text)
        draft.replace(path)

    async def reaches(self, number: int) -> None:
        await until(lambda: self.editions.newest.number >= number)


def manifests(book: Book) -> list[Path]:
    return [book.context.places.home / "plugins" / name / "plugin.json" for name in ("one", "two")]


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    models = replace(LISTED_MODELS, live=True, beside=manifests)
    folder = ConfigFolder(tmp_path, (SHOP,), (models, SOURCES))
    folder.places.home.mkdir()
    folder.write("models.yaml", MODELS_YAML)
    return folder


async def listed(read: Book, _: Listed | None) -> Listed:
    return Listed(read)


@asynccontextmanager
async def opened(
    folder: ConfigFolder, *, watch: bool = True, every_s: float = 5, read_before: str = ""
) -> AsyncIterator[Watched]:
    """
    Args:
        read_before: What the service found in models.yaml at its start, where that is something else.
    """
    path = folder.places.config_dir / "models.yaml"
    now = path.read_text()
    path.write_text(read_before or now)
    book, _ = folder.read()
    path.write_text(now)
    manager = ConfigManager(book, book.sections, book.files)
    settings = ReloadSettings(watch=watch, quiet_s=0.02, every_s=every_s)
    told: list[Event] = []
    async with Editions(book) as editions, editions.part("models", listed):
        watcher = ConfigWatcher(manager, editions, settings, publish=told.append)
        async with watcher.watching():
            yield Watched(folder, editions, watcher, told)


async def test_a_saved_file_is_the_next_edition(folder: ConfigFolder) -> None:
    async with opened(folder) as watched:
        watched.edit("models.yaml", MODELS_YAML.replace("gpt-9", "gpt-10"))
        await watched.reaches(2)
        assert watched.models() == {"gpt": "gpt-10"}
        await until(lambda: bool(watched.told))
        (event,) = watched.told
        assert isinstance(event, ConfigReloaded)
        assert (event.edition, event.changed) == (2, ("models.gpt.model_name",))
        health = await watched.watcher.check()
        assert (health.state, health.details["edition"]) == (HealthState.HEALTHY, 2)
    running = Snapshot.load(folder.places.home)
    assert running is not None
    assert running.values["models.gpt.model_name"] == '"gpt-10"'


async def test_a_file_written_in_place_counts_too(folder: ConfigFolder) -> None:
    async with opened(folder) as watched:
        folder.write("models.yaml", MODELS_YAML.replace("gpt-9", "gpt-10"))
        await watched.reaches(2)
        assert watched.models() == {"gpt": "gpt-10"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("models: [}", "models.yaml:1"),
        (MODELS_YAML.replace("model_name", "model_nam"), "models.yaml:3: models.gpt.model_nam: unknown key"),
        ("models:\n  a: {model_name: x}\n  a: {model_name: y}\n", "models.yaml:3: has the key 'a' twice"),
        (MODELS_YAML.replace("sk-secret", "${NO_KEY}"), "models.yaml:4: models.gpt.api_key: the environment"),
    ],
)
async def test_a_bad_edit_changes_nothing_and_is_told_once_until_it_is_repaired(
    folder: ConfigFolder, text: str, place: str
) -> None:
    async with opened(folder) as watched:
        watched.edit("models.yaml", text)
        await until(lambda: watched.watcher.rejection is not None)
        health = await watched.watcher.check()
        assert health.state is HealthState.DEGRADED
        assert health.details["rejected"]["problems"][0] in health.reason
        assert place in health.details["rejected"]["problems"][-1]
        assert health.details["rejected"]["since"]
        watched.edit("models.yaml", text + "\n# the same again\n")
        await watched.watcher.look()
        (event,) = watched.told
        assert isinstance(event, ConfigRejected)
        assert place in event.problems[-1]
        assert (watched.editions.newest.number, watched.models()) == (1, {"gpt": "gpt-9"})
        watched.edit("models.yaml", MODELS_YAML)
        await until(lambda: watched.watcher.rejection is None)
        assert watched.editions.newest.number == 1
        assert (await watched.watcher.check()).state is HealthState.HEALTHY


async def test_a_part_that_does_not_accept_the_files_rejects_them(folder: ConfigFolder) -> None:
    async with opened(folder) as watched:
        watched.edit("waystation.yaml", "shop: {model: gone}\n")
        await until(lambda: watched.watcher.rejection is not None)
        assert "shop.model: there is no model 'gone'" in (await watched.watcher.check()).reason
        assert watched.editions.newest.number == 1
        watched.edit("models.yaml", MODELS_YAML.replace("gpt:", "gone:"))
        await watched.reaches(2)
        assert watched.models() == {"gone": "gpt-9"}
        assert watched.editions.newest.book[ShopSettings].model == "gone"


async def test_what_is_not_live_waits_for_a_restart_and_health_names_it(folder: ConfigFolder) -> None:
    async with opened(folder) as watched:
        watched.edit("waystation.yaml", "shop: {name: market, model: gpt}\n")
        await watched.reaches(2)
        shop = watched.editions.newest.book[ShopSettings]
        assert (shop.name, shop.model) == ("corner", "gpt")
        watched.edit("sources.yaml", "wiki: docs\n")
        await watched.watcher.look()
        assert watched.editions.newest.number == 2
        health = await watched.watcher.check()
        assert health.state is HealthState.HEALTHY
        assert health.details["needs_restart"] == ["shop.name", "sources.wiki"]


async def test_a_comment_is_no_new_edition(folder: ConfigFolder) -> None:
    async with opened(folder) as watched:
        await watched.watcher.look()
        watched.edit("models.yaml", MODELS_YAML + "# a word\n")
        await watched.watcher.look()
        assert (watched.editions.newest.number, watched.told) == (1, [])


async def test_secrets_are_read_again(folder: ConfigFolder) -> None:
    folder.environ |= {"OLD_KEY": "one", "NEW_KEY": "two"}
    folder.write("models.yaml", MODELS_YAML.replace("sk-secret", "${OLD_KEY}"))
    async with opened(folder) as watched:
        watched.edit("models.yaml", MODELS_YAML.replace("sk-secret", "${NEW_KEY}"))
        await watched.reaches(2)
        entry = watched.editions.newest.book[ModelsFile].models["gpt"]
        assert entry.api_key.get_secret_value() == "two"


async def test_a_config_map_is_followed_to_its_next_version(folder: ConfigFolder) -> None:
    root = folder.places.config_dir
    for version, model in (("..v1", "gpt-9"), ("..v2", "gpt-10")):
        (root / version).mkdir()
        (root / version / "models.yaml").write_text(MODELS_YAML.replace("gpt-9", model))
    (root / "..data").symlink_to("..v1")
    (root / "models.yaml").unlink()
    (root / "models.yaml").symlink_to("..data/models.yaml")
    async with opened(folder) as watched:
        (root / "..data_tmp").symlink_to("..v2")
        os.rename(root / "..data_tmp", root / "..data")
        await watched.reaches(2)
        assert watched.models() == {"gpt": "gpt-10"}


async def test_a_file_that_is_gone_for_a_moment_is_waited_for(folder: ConfigFolder) -> None:
    async with opened(folder) as watched:
        await watched.watcher.look()
        (folder.places.config_dir / "models.yaml").unlink()
        look = asyncio.create_task(watched.watcher.look())
        await asyncio.sleep(0)
        watched.edit("models.yaml", MODELS_YAML.replace("gpt-9", "gpt-10"))
        await look
        await watched.reaches(2)
        assert [event.changed for event in watched.told if isinstance(event, ConfigReloaded)] == [
            ("models.gpt.model_name",)
        ]


async def test_a_file_that_is_emptied_again_and_again_is_never_read_as_empty(folder: ConfigFolder) -> None:
    path = folder.places.config_dir / "models.yaml"
    path.write_text("")  # before the first look
    async with opened(folder, read_before=MODELS_YAML) as watched:
        for _ in range(8):  # longer than the patience with one emptying
            path.write_text("")
            await asyncio.sleep(PATIENCE_SECONDS / 4)
            assert watched.models() == {"gpt": "gpt-9"}
        path.write_text(MODELS_YAML.replace("gpt-9", "gpt-10"))
        await watched.reaches(2)
        assert watched.models() == {"gpt": "gpt-10"}


async def test_a_file_that_stays_away_means_its_defaults(folder: ConfigFolder) -> None:
    async with opened(folder) as watched:
        (folder.places.config_dir / "models.yaml").unlink()
        await watched.reaches(2)
        assert watched.models() == {}


async def test_files_beside_the_folder_make_a_new_edition_too(folder: ConfigFolder) -> None:
    async with opened(folder, every_s=0.1) as watched:
        await watched.watcher.look()
        plugin = folder.places.home / "plugins" / "two"
        plugin.mkdir(parents=True)
        (plugin / "plugin.json").write_text("{}")
        await watched.reaches(2)
        await until(lambda: bool(watched.told))
        assert [event.changed for event in watched.told if isinstance(event, ConfigReloaded)] == [()]


async def test_a_fault_of_ours_does_not_end_the_watch(folder: ConfigFolder) -> None:
    async with opened(folder) as watched:

        async def refuse(read: Book, before: int | None) -> int:
            if before is not None and "gpt" in read[ModelsFile].models:
                raise RuntimeError("a fault")
            return 1

        async with watched.editions.part("faulty", refuse):
            watched.edit("models.yaml", MODELS_YAML.replace("gpt-9", "gpt-10"))
            await watched.watcher.look()
            watched.edit("models.yaml", MODELS_YAML.replace("gpt:", "other:"))
            await watched.reaches(2)
            assert watched.models() == {"other": "gpt-9"}


async def test_the_watch_can_be_switched_off(folder: ConfigFolder) -> None:
    async with opened(folder, watch=False) as watched:
        watched.edit("models.yaml", "models: [")
        health = await watched.watcher.check()
        assert health.state is HealthState.DEGRADED
        assert "the next start would fail" in health.reason
        assert watched.editions.newest.number == 1
    assert not (folder.places.home / FILE_NAME).exists()
