"""What `config validate` says of tool servers and plugins on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from core.settings import Book, Context, Places, read_book
from nodes.mcp_tools.module import MODULE
from nodes.mcp_tools.plugins import manifests, missing_commands, take_inventory


def book(root: Path, servers: Mapping[str, object]) -> Book:
    (root / "mcp.json").write_text(json.dumps({"mcpServers": servers}, indent=1))
    context = Context(Places(root, root / "home"), {}, {"mcp": {"bundled": False}})
    return read_book(MODULE.sections, MODULE.files, context, partial=True)


def plugin(root: Path, name: str, text: str) -> None:
    folder = root / "home" / "plugins" / name
    folder.mkdir(parents=True)
    (folder / "plugin.json").write_text(text)


def test_commands_of_servers_and_plugins_must_be_installed(tmp_path: Path) -> None:
    plugin(tmp_path, "hats", '{"command": "no-such-hatter"}')
    plugin(tmp_path, "coats", "{")
    plugin(tmp_path, "shoes", '{"command": "sh"}')
    read = book(
        tmp_path, {"a": {"command": "no-such-thing"}, "off": {"command": "no-such-thing", "enabled": False}}
    )
    found = {key: message for key, message, _ in missing_commands(read)}
    assert found[("mcpServers", "a", "command")] == "the command 'no-such-thing' is not on the PATH"
    assert found[("plugins", "hats")] == (
        "the plugin cannot be started: the command 'no-such-hatter' is not on the PATH"
    )
    assert found[("plugins", "coats")].startswith("the plugin is broken: plugin.json:1: is not valid JSON")
    assert len(found) == 3


def test_a_command_is_looked_for_as_its_server_will_be(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    script = tools / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (tools / "notes.txt").write_text("")
    good = {
        "beside its folder": {"command": "./run.sh", "cwd": "tools"},
        "whole": {"command": str(script)},
        "on its own path": {"command": "run.sh", "env": {"PATH": str(tools)}},
        "ours": {"command": "python", "args": ["-V"]},
        "far away": {"url": "https://tools.example.com/mcp"},
    }
    bad = {
        "gone": {"command": "./stop.sh", "cwd": "tools"},
        "no program": {"command": "./notes.txt", "cwd": "tools"},
        "a folder": {"command": str(tools)},
        "not on its path": {"command": "sh", "env": {"PATH": str(tools)}},
        "no folder": {"command": "sh", "cwd": "gone"},
    }
    found = {
        key[1]: (key[2], message) for key, message, _ in missing_commands(book(tmp_path, {**good, **bad}))
    }
    assert found == {
        "gone": ("command", "'./stop.sh' is no file that can be run"),
        "no program": ("command", "'./notes.txt' is no file that can be run"),
        "a folder": ("command", f"'{tools}' is no file that can be run"),
        "not on its path": ("command", "the command 'sh' is not on the PATH"),
        "no folder": ("cwd", "the folder is not there"),
    }


def test_an_entry_that_changes_no_plugin_is_told_with_its_line(tmp_path: Path) -> None:
    plugin(tmp_path, "hats", '{"command": "sh"}')
    read = book(tmp_path, {"hat": {"timeout_s": 5}})
    ((place, message, _),) = missing_commands(read)
    assert place == ("mcpServers", "hat")
    assert read.documents["servers"].line(place) == 3
    assert "has neither command nor url" in message
    assert "did you mean 'hats'?" in message
    found = take_inventory(book(tmp_path, {"hats": {"timeout_s": 5}, "gone": {"enabled": False}}))
    assert (found.entries()["hats"].timeout_s, found.entries()["gone"].enabled, found.default()) == (
        5,
        False,
        "",
    )


def test_manifests_are_named_also_where_none_is_yet(tmp_path: Path) -> None:
    plugins = tmp_path / "home" / "plugins"
    (plugins / "soon").mkdir(parents=True)
    assert set(manifests(book(tmp_path, {}))) == {plugins / "plugin.json", plugins / "soon" / "plugin.json"}
