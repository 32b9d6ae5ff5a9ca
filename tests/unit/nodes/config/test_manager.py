from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core.errors import ConfigInvalid
from core.health import HealthState
from nodes.config import ConfigManager, UnknownPart
from nodes.config.reload import FILE_NAME, Snapshot, changes
from tests.kit.settings import ConfigFolder
from tests.unit.nodes.config.shapes import (
    LISTED_MODELS,
    MODELS,
    MODELS_YAML,
    SECTION,
    SOURCES,
    ModelsFile,
    ShopSettings,
)


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    folder = ConfigFolder(tmp_path, (SECTION,), (LISTED_MODELS, SOURCES))
    folder.write("models.yaml", MODELS_YAML)
    folder.write("waystation.yaml", "shop:\n  api_key: sk-secret\n  url: https://ada:pw@shop/x?sig=1\n")
    return folder


def manager(folder: ConfigFolder) -> ConfigManager:
    book, _ = folder.read()
    return ConfigManager(book, book.sections, book.files)


def test_parts_are_found_by_name(folder: ConfigFolder) -> None:
    found = manager(folder)
    assert isinstance(found.section("shop"), ShopSettings)
    assert isinstance(found.file("models"), ModelsFile)
    with pytest.raises(UnknownPart, match=r"no section or file 'shp'; did you mean 'shop'\?"):
        found.section("shp")
    with pytest.raises(UnknownPart, match="known: models, sources"):
        found.file("zebra")


def test_no_secret_is_shown_anywhere(folder: ConfigFolder) -> None:
    found = manager(folder)
    assert found.view() == {
        "shop": {
            "name": "corner",
            "seconds": 600,
            "api_key": "***",
            "url": "https://***@shop/x?***",
            "model": "",
        },
        "models": {
            "models": {
                "gpt": {
                    "model_name": "gpt-9",
                    "api_key": "***",
                    "description": None,
                    "groups": [],
                    "env": {"TOKEN": "***"},
                    "args": ["--key", "***", "--password=***", "--fast"],
                }
            }
        },
        "sources": {},
    }
    everything = str(found.settings()) + str(found.models())
    assert not any(secret in everything for secret in ("sk-secret", "t0p", "hush", "ada:pw", "sig=1"))


def test_each_setting_says_where_it_comes_from(folder: ConfigFolder) -> None:
    folder.environ = {"WAYSTATION_SHOP__NAME": "market"}
    folder.write("sources.yaml", "wiki: docs\n")
    found = {s.key: (s.value, s.origin) for s in manager(folder).settings()}
    assert found["shop.name"] == ("market", "WAYSTATION_SHOP__NAME")
    assert found["shop.api_key"] == ("***", "waystation.yaml:2")
    assert found["shop.seconds"] == (600, "default")
    assert found["models.gpt.model_name"] == ("gpt-9", "models.yaml:3")
    assert found["models.gpt.groups"] == ([], "default")
    assert found["sources.wiki"] == ("docs", "sources.yaml:1")
    assert {s.path[0] for s in manager(folder).settings("shop")} == {"shop"}
    with pytest.raises(UnknownPart):
        manager(folder).settings("zebra")


def test_the_files_say_whether_they_were_read_or_passed_over(folder: ConfigFolder) -> None:
    folder.write("llmconfig.yml", "models: {}\n")
    found = {report.kind: (report.name, report.read, report.ignored) for report in manager(folder).describe()}
    assert found == {
        "waystation": ("waystation.yaml", True, ()),
        "models": ("models.yaml", True, ("llmconfig.yml",)),
        "sources": ("sources.yaml", False, ()),
    }


def test_models_come_with_the_built_in_ones_and_the_default(folder: ConfigFolder) -> None:
    found = manager(folder).models()
    assert [(m.name, m.default, m.description) for m in found] == [
        ("gpt", False, ""),
        ("offline", True, "built in"),
    ]
    assert found[0].settings["model_name"] == "gpt-9"


def test_models_come_from_the_file_where_no_module_lists_them(folder: ConfigFolder) -> None:
    folder.files = (MODELS,)
    assert [(m.name, m.default) for m in manager(folder).models()] == [("gpt", False)]


def test_a_default_that_contradicts_the_files_is_a_problem(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "shop: {model: gone}\n")
    found = manager(folder)
    assert [str(p) for p in found.review()] == ["models.yaml: shop.model: there is no model 'gone'"]
    with pytest.raises(ConfigInvalid):
        found.models()


def test_findings_of_this_machine_point_at_their_line(folder: ConfigFolder) -> None:
    folder.write("sources.yaml", "wiki: docs\nold: gone\n")
    found = [str(p) for p in manager(folder).review()]
    assert found == ["sources.yaml:2: old: the folder is not there; create it"]


def test_schemas_describe_every_part_and_the_main_file(folder: ConfigFolder) -> None:
    found = manager(folder).schemas()
    assert list(found) == ["shop", "models", "sources", "waystation"]
    assert found["shop"]["properties"]["name"]["default"] == "corner"
    assert found["waystation"]["additionalProperties"] is False
    assert list(manager(folder).schemas("shop")) == ["shop"]


async def test_health_tells_which_files_were_read(folder: ConfigFolder) -> None:
    health = await manager(folder).check()
    assert health.state is HealthState.HEALTHY
    assert health.details["files"] == {
        "waystation": "waystation.yaml",
        "models": "models.yaml",
        "sources": None,
    }
    assert health.details["changed_since_start"] == []


async def test_health_is_degraded_once_a_file_no_longer_validates(folder: ConfigFolder) -> None:
    running = manager(folder)
    folder.write("waystation.yaml", "shop: {nam: x}\n")
    health = await running.check()
    assert health.state is HealthState.DEGRADED
    assert health.reason == (
        "the files no longer validate and the next start would fail; "
        "one problem: waystation.yaml:1: shop.nam: unknown key; did you mean 'name'?"
    )
    folder.write("waystation.yaml", "shop: {nam: x, url: 5}\n")
    assert "2 problems, the first: " in (await running.check()).reason


async def test_health_names_what_waits_for_a_restart(folder: ConfigFolder) -> None:
    running = manager(folder)
    running.loaded()
    folder.write("models.yaml", MODELS_YAML.replace("sk-secret", "sk-rotated").replace("gpt-9", "gpt-10"))
    details = (await running.check()).details
    assert details["changed_since_start"] == ["models.gpt.model_name", "models.gpt.api_key"]


def test_a_snapshot_tells_that_a_secret_changed_and_not_what_it_is(folder: ConfigFolder) -> None:
    home = folder.places.home
    home.mkdir()
    manager(folder).loaded().save(home)
    assert "sk-secret" not in (home / FILE_NAME).read_text()
    assert stat.S_IMODE((home / FILE_NAME).stat().st_mode) == 0o600
    running = Snapshot.load(home)
    assert running is not None
    assert changes(running, folder.read()[0]) == []
    folder.write("models.yaml", MODELS_YAML.replace("sk-secret", "sk-rotated").replace("hush", "shh"))
    found = [(change.key, change.old, change.new) for change in changes(running, folder.read()[0])]
    shown = ["--key", "***", "--password=***", "--fast"]
    assert found == [("models.gpt.api_key", "***", "***"), ("models.gpt.args", shown, shown)]


def test_entries_that_come_and_go_are_changes(folder: ConfigFolder) -> None:
    running = manager(folder).loaded()
    folder.write("models.yaml", "models: {}\n")
    folder.write("sources.yaml", "wiki: docs\n")
    found = {change.key: (change.old, change.new) for change in changes(running, folder.read()[0])}
    assert found["sources.wiki"] == (None, "docs")
    assert found["models.gpt.model_name"] == ("gpt-9", None)


@pytest.mark.parametrize("text", [None, "", "[]", '{"values": 5, "salt": "", "taken": ""}', "{}", "\x00"])
def test_a_snapshot_that_cannot_be_read_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / FILE_NAME).write_text(text)
    assert Snapshot.load(tmp_path) is None
