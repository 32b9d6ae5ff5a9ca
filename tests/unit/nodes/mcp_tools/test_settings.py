"""mcp.json in both shapes, plugins, and what one says of the other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nodes.mcp_tools.module import MODULE
from nodes.mcp_tools.plugins import Inventory, take_inventory
from nodes.mcp_tools.settings import McpFile, ServerEntry
from tests.kit.settings import ConfigFolder


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    return ConfigFolder(tmp_path, MODULE.sections, MODULE.files)


def plugin(root: Path, folder: str, **manifest: Any) -> Path:
    here = root / folder
    here.mkdir(parents=True)
    (here / "server.py").write_text("")
    (here / "plugin.json").write_text(json.dumps({"server": "server.py", **manifest}))
    return here


def inventory(folder: ConfigFolder, **settings: Any) -> Inventory:
    book, problems = folder.read(mcp=settings)
    assert problems == []
    return take_inventory(book)


WRAPPED = '{"mcpServers": {"files": {"command": "npx", "args": ["-y", "server"], "groups": ["staff"]}}}'
FLAT = '{"files": {"command": ["npx", "-y"], "args": ["server"], "groups": ["staff"], "type": "stdio"}}'


@pytest.mark.parametrize("text", [WRAPPED, FLAT])
def test_both_shapes_give_the_same_entry(folder: ConfigFolder, text: str) -> None:
    folder.write("mcp.json", text)
    book, problems = folder.read()
    assert problems == []
    entry = book[McpFile].servers["files"]
    assert (entry.command, entry.args, entry.transport) == ("npx", ["-y", "server"], "stdio")
    assert (entry.groups, entry.enabled, entry.restart) == (["staff"], True, "on-failure")


def test_every_documented_field_is_read(folder: ConfigFolder) -> None:
    everything = {
        "enabled": True,
        "description": "d",
        "short_description": "s",
        "author": "a",
        "help_email": "h@example.test",
        "groups": ["g"],
        "url": "https://example.test/mcp",
        "type": "streamable_http",
        "headers": {"X-Key": "${KEY}"},
        "auth_type": "oauth",
        "auth_token": "${KEY}",
        "auth_header": "X-Other",
        "oauth_config": {"scopes": "read", "client_name": "c", "callback_port": 8080},
        "compliance_level": "internal",
        "require_approval": ["delete", "*"],
        "timeout_s": 5,
        "max_result_bytes": 2048,
        "restart": "never",
    }
    folder.environ = {"KEY": "s3cret"}
    folder.write("mcp.json", json.dumps({"far": everything}))
    entry = inventory(folder, bundled=False).servers["far"]
    assert entry.transport == "http"
    assert entry.auth_token is not None
    assert entry.auth_token.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(entry)
    assert entry.needs_approval("anything")


def test_python_means_our_own_interpreter_and_cwd_is_beside_the_file(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{"mine": {"command": ["python", "x.py"], "cwd": "servers"}}')
    entry = inventory(folder, bundled=False).servers["mine"]
    assert entry.command == sys.executable
    assert entry.cwd == folder.places.config_dir / "servers"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"mcpServer": {}}', "did you mean 'mcpServers'?"),
        ('{"mcpServers": 5}', "mcpServers must be an object"),
        ('["a"]', "mcp.json"),
        ("{", "is not valid JSON"),
    ],
)
def test_a_file_that_holds_no_servers_is_an_error(folder: ConfigFolder, text: str, complaint: str) -> None:
    folder.write("mcp.json", text)
    problems = folder.problems()
    assert problems
    assert problems[0].startswith("mcp.json")
    assert complaint in problems[0]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ('{"command": []}', "command must be a string, or a list of strings"),
        ('{"command": "x", "transport": "http"}', "transport http takes a url"),
        ('{"url": "http://x", "transport": "stdio"}', "transport stdio takes a command"),
        ('{"url": "http://x", "type": "sse", "transport": "http"}', "says both type and transport"),
        ('{"url": "ftp://x"}', "url: must match pattern"),
        ('{"url": "http://x", "transport": "pigeon"}', "must be stdio, http or sse, not 'pigeon'"),
        ('{"command": "x", "timeout_s": "soon"}', "timeout_s: must be a number"),
        ('{"command": "x", "env": 5}', "env: must be a mapping"),
        ('{"command": "x", "env": {"A": {"b": 1}}}', "env.A must be text"),
        ('{"comand": "x"}', "has neither command nor url, and no plugin has this name"),
        ('"npx"', "must be an object"),
        ("null", "must be an object"),
    ],
)
def test_a_server_that_cannot_be_used_is_left_out_with_its_reason(
    folder: ConfigFolder, entry: str, complaint: str
) -> None:
    folder.write("mcp.json", f'{{"mcpServers": {{"bad": {entry}, "good": {{"command": "x"}}}}}}')
    found = inventory(folder, bundled=False)
    assert list(found.servers) == ["good"]
    assert complaint in found.unusable["bad"]


def test_a_name_that_cannot_be_shown_is_left_out(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{" ": {"url": "http://x"}, "good": {"command": "x"}}')
    found = inventory(folder, bundled=False)
    assert (list(found.servers), found.unusable) == (
        ["good"],
        {" ": "its name must have 1 to 64 printable characters"},
    )


def test_no_file_means_no_server(folder: ConfigFolder) -> None:
    assert inventory(folder, bundled=False).servers == {}


def test_the_bundled_plugins_are_found_with_their_own_interpreter(folder: ConfigFolder) -> None:
    found = inventory(folder)
    assert {"calculator", "clock", "tables"} <= set(found.servers)
    calculator = found.servers["calculator"]
    assert (calculator.command, calculator.transport) == (sys.executable, "stdio")
    assert Path(calculator.args[0]).name == "server.py"
    assert [p.origin for p in found.plugins][:3] == ["bundled"] * 3
    assert not [p.problem for p in found.plugins if p.problem]


def test_plugins_of_the_home_folder_and_of_further_folders(folder: ConfigFolder, tmp_path: Path) -> None:
    plugin(folder.places.home / "plugins", "mine", name="mine", version="2", groups=["staff"])
    plugin(tmp_path / "more", "theirs")
    found = inventory(folder, bundled=False, plugins=[str(tmp_path / "more")])
    assert list(found.servers) == ["mine", "theirs"]
    assert [(p.origin, p.version) for p in found.plugins] == [("home", "2"), ("settings", "0")]
    assert found.servers["mine"].groups == ["staff"]
    assert found.servers["mine"].cwd == folder.places.home / "plugins" / "mine"


def test_a_plugin_folder_may_be_named_itself_and_bring_a_url(folder: ConfigFolder, tmp_path: Path) -> None:
    here = tmp_path / "far"
    here.mkdir()
    (here / "plugin.json").write_text('{"url": "http://127.0.0.1:1/mcp"}')
    found = inventory(folder, bundled=False, plugins=[str(here)])
    assert found.servers["far"].transport == "http"


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ("{", "is not valid JSON"),
        ('{"server": "nope.py"}', "there is no file 'nope.py'"),
        ('{"server": "server.py", "command": "x"}', "give one of server, command and url"),
        ('{"serverr": "server.py"}', "did you mean 'server'?"),
        ('{"name": "bad"}', 'give one of server, command and url, such as "server": "server.py"'),
    ],
)
def test_a_broken_plugin_is_reported_and_stops_nobody(
    folder: ConfigFolder, manifest: str, complaint: str
) -> None:
    root = folder.places.home / "plugins"
    plugin(root, "good")
    (plugin(root, "bad") / "plugin.json").write_text(manifest)
    found = inventory(folder, bundled=False)
    assert list(found.servers) == ["good"]
    (broken,) = [p for p in found.plugins if p.problem]
    assert broken.name == "bad"
    assert complaint in broken.problem


def test_a_second_plugin_of_a_name_is_refused(folder: ConfigFolder) -> None:
    plugin(folder.places.home / "plugins", "calculator")
    found = inventory(folder)
    assert "tools" in str(found.servers["calculator"].cwd)
    assert [p.problem for p in found.plugins if p.problem] == [
        "another plugin is called 'calculator' already"
    ]


def test_mcp_json_changes_a_plugin_of_the_same_name(folder: ConfigFolder) -> None:
    folder.write(
        "mcp.json", '{"calculator": {"enabled": false}, "clock": {"require_approval": ["*"], "timeout_s": 3}}'
    )
    found = inventory(folder, disabled=["tables", "unknown"])
    assert not found.servers["calculator"].enabled
    assert not found.servers["tables"].enabled
    clock = found.servers["clock"]
    assert (clock.enabled, clock.timeout_s, clock.require_approval) == (True, 3, ["*"])
    assert clock.command == sys.executable


def test_mcp_json_replaces_a_plugin_of_the_same_name(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{"clock": {"url": "http://127.0.0.1:1/mcp"}, "off": {"enabled": false}}')
    found = inventory(folder)
    assert (found.servers["clock"].transport, found.servers["clock"].command) == ("http", None)
    assert not found.servers["off"].enabled


def test_an_entry_that_leads_nowhere_is_left_out_with_a_suggestion(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{"calculatr": {"groups": ["x"]}}')
    found = inventory(folder)
    assert "calculator" in found.servers
    assert "did you mean 'calculator'" in found.unusable["calculatr"]


def test_an_entry_without_limits_takes_the_sections() -> None:
    entry = ServerEntry.model_validate({"command": "x"})
    assert (entry.timeout_s, entry.max_result_bytes) == (None, None)


def test_secrets_are_what_is_named_like_one() -> None:
    entry = ServerEntry.model_validate(
        {
            "command": "x",
            "env": {"API_KEY": "k1", "LANG": "C"},
            "headers": {"Authorization": "a1", "Accept": "json"},
            "auth_token": "t1",
        }
    )
    assert list(entry.secrets()) == ["t1", "k1", "a1"]
