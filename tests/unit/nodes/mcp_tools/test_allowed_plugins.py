"""G7: where people log in, a plugin that appears waits for an operator's word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.sections import SECTIONS
from core.settings import Book, Context, Places, read_book
from nodes.mcp_tools.allowed_plugins import AllowedPlugins, PluginNotFound, PluginTooLarge, digest
from nodes.mcp_tools.cli import app
from nodes.mcp_tools.module import MODULE
from nodes.mcp_tools.plugins import manifests, take_inventory

KEYS = {"mode": "keys"}
NONE = {"mode": "none"}


def plugin(root: Path, name: str = "dice") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "plugin.json").write_text('{"server": "server.py"}')
    (folder / "server.py").write_text("one = 1\n")
    return folder


def book(places: Places, auth: dict[str, str], **mcp: object) -> Book:
    places.config_dir.mkdir(exist_ok=True)
    context = Context(places, {}, {"auth": auth, "mcp": {"bundled": False, **mcp}})
    return read_book([*MODULE.sections, *SECTIONS], MODULE.files, context)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "config", tmp_path / "home")


def test_g7_a_plugin_that_appears_waits_where_people_log_in(places: Places) -> None:
    plugin(places.home / "plugins")
    assert list(take_inventory(book(places, NONE)).servers) == ["dice"]
    found = take_inventory(book(places, KEYS))
    assert found.servers == {}
    assert found.plugins[0].waiting
    assert found.plugins[0].problem == (
        "no operator has allowed it yet; look at it and say 'waystation mcp allow dice'"
    )


def test_g7_a_manifest_in_the_folder_of_plugins_itself_waits_too(places: Places) -> None:
    plugin(places.home, "plugins")
    assert take_inventory(book(places, KEYS)).servers == {}


def test_g7_the_word_is_for_what_the_folder_holds(places: Places) -> None:
    folder = plugin(places.home / "plugins")
    AllowedPlugins(places).allow("dice", folder)
    assert list(take_inventory(book(places, KEYS)).servers) == ["dice"]
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "server.pyc").write_text("x")
    (folder / "data").mkdir()
    (folder / "data" / "notes.txt").write_text("written while it runs")
    (folder / "lib2" / "data").mkdir(parents=True)
    assert list(take_inventory(book(places, KEYS)).servers) == ["dice"]
    for change in (
        lambda: (folder / "server.py").write_text("two = 2\n"),
        lambda: (folder / "more.py").write_text(""),
        lambda: (folder / "more.py").rename(folder / "other.py"),
        lambda: (folder / "lib").symlink_to(places.home),
        lambda: (folder / "data" / "more.py").write_text(""),
        lambda: (folder / "data" / "tool").symlink_to(places.home),
        lambda: (folder / "data" / "notes.txt").chmod(0o755),
        lambda: (folder / "lib2" / "data" / "a.txt").write_text("a"),
    ):
        AllowedPlugins(places).allow("dice", folder)
        change()
        (waiting,) = take_inventory(book(places, KEYS)).plugins
        assert waiting.problem.startswith("it has changed since an operator allowed it")


def test_g7_what_a_link_leads_to_is_part_of_the_word(places: Places, tmp_path: Path) -> None:
    folder, elsewhere = plugin(places.home / "plugins"), tmp_path / "elsewhere.py"
    elsewhere.write_text("one = 1\n")
    (folder / "lib.py").symlink_to(elsewhere)
    AllowedPlugins(places).allow("dice", folder)
    assert list(take_inventory(book(places, KEYS)).servers) == ["dice"]
    elsewhere.write_text("two = 2\n")
    assert take_inventory(book(places, KEYS)).servers == {}


def test_g7_compiled_files_of_the_folder_are_not_read_in_place_of_the_code(places: Places) -> None:
    folder = plugin(places.home / "plugins")
    AllowedPlugins(places).allow("dice", folder)
    env = take_inventory(book(places, KEYS)).servers["dice"].env or {}
    prefix = Path(env["PYTHONPYCACHEPREFIX"].get_secret_value())
    assert prefix.is_absolute()
    assert folder not in prefix.parents
    assert take_inventory(book(places, NONE)).servers["dice"].env is None


def test_g7_another_plugin_of_the_name_has_no_word(places: Places, tmp_path: Path) -> None:
    AllowedPlugins(places).allow("dice", plugin(tmp_path / "elsewhere"))
    (plugin(places.home / "plugins") / "server.py").write_text("evil = 1\n")
    assert take_inventory(book(places, KEYS)).servers == {}


def test_g7_a_folder_of_plugins_waits_and_a_plugin_that_the_settings_name_does_not(
    places: Places, tmp_path: Path
) -> None:
    folder = plugin(tmp_path / "more")
    assert take_inventory(book(places, KEYS, plugins=[str(tmp_path / "more")])).servers == {}
    assert list(take_inventory(book(places, KEYS, plugins=[str(folder)])).servers) == ["dice"]


def test_g7_a_word_that_cannot_be_read_allows_nothing(places: Places) -> None:
    folder = plugin(places.home / "plugins")
    allowed = AllowedPlugins(places)
    allowed.allow("dice", folder)
    assert allowed.path.stat().st_mode & 0o077 == 0
    for text in ("{", "[]", '{"dice": "x"}', '{"dice": {}}'):
        allowed.path.write_text(text)
        assert take_inventory(book(places, KEYS)).servers == {}


def test_a_running_service_looks_at_the_code_of_plugins_and_at_the_words(places: Places) -> None:
    folder = plugin(places.home / "plugins")
    assert folder / "server.py" not in set(manifests(book(places, NONE)))
    watched = set(manifests(book(places, KEYS)))
    assert {folder / "server.py", folder / "plugin.json", AllowedPlugins(places).path} <= watched


def test_a_folder_that_is_too_large_is_not_looked_through(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plugin(places.home / "plugins")
    monkeypatch.setattr("nodes.mcp_tools.allowed_plugins.MOST_FILES", 1)
    with pytest.raises(PluginTooLarge, match="more than 1 files"):
        digest(folder)
    (waiting,) = take_inventory(book(places, KEYS)).plugins
    assert "more than 1 files" in waiting.problem


def test_the_word_is_given_and_taken_on_the_command_line(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(places.home / "plugins")
    places.config_dir.mkdir()
    monkeypatch.setenv("WAYSTATION_HOME", str(places.home))
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(places.config_dir))
    monkeypatch.setenv("WAYSTATION_AUTH__MODE", "keys")
    run = CliRunner()
    (row,) = [r for r in json.loads(run.invoke(app, ["plugins", "--json"]).stdout) if r["name"] == "dice"]
    assert row["waiting"]
    assert (
        run.invoke(app, ["allow", "dice"]).stdout == "The plugin 'dice' may run until its folder changes.\n"
    )
    (row,) = [r for r in json.loads(run.invoke(app, ["plugins", "--json"]).stdout) if r["name"] == "dice"]
    assert (row["waiting"], row["problem"]) == (False, "")
    assert run.invoke(app, ["allow", "dicee"]).exit_code == 1
    assert json.loads(run.invoke(app, ["revoke", "dice", "--json"]).stdout) == {
        "plugin": "dice",
        "allowed": False,
    }
    again = run.invoke(app, ["revoke", "dice"])
    assert (again.exit_code, "was not allowed" in again.stderr) == (1, True)
    with pytest.raises(PluginNotFound):
        AllowedPlugins(places).revoke("dice")
