"""T4.3: mcp.json as other programs write it. What has no meaning here stops nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodes.config.reload import Snapshot, changes
from nodes.mcp_tools.module import MODULE
from nodes.mcp_tools.plugins import Inventory, missing_commands, take_inventory
from nodes.mcp_tools.settings import ServerEntry
from tests.kit.settings import ConfigFolder


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    return ConfigFolder(tmp_path, MODULE.sections, MODULE.files)


def read(folder: ConfigFolder, text: object) -> Inventory:
    folder.write("mcp.json", text if isinstance(text, str) else json.dumps(text))
    book, problems = folder.read(mcp={"bundled": False})
    assert problems == []
    return take_inventory(book)


def one(folder: ConfigFolder, **entry: Any) -> ServerEntry:
    found = read(folder, {"mcpServers": {"it": {"command": "x", **entry}}})
    assert found.unusable == {}
    return found.servers["it"]


def text_of(entry: ServerEntry, key: str = "env") -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in (getattr(entry, key) or {}).items()}


VS_CODE = """{
  // asked for once by the editor
  "inputs": [
    {"type": "promptString", "id": "api-key", "description": "A key", "password": true},
    {"type": "promptString", "id": "region", "description": "Where", "default": "north"},
  ],
  "servers": {
    "local": {
      "type": "stdio", "command": "npx", "args": ["-y", "some-server"], "envFile": "${workspaceFolder}/.env",
      "env": {"API_KEY": "${input:api-key}", "REGION": "${input:region}", "HOME_OF": "${env:WHO}"},
      "dev": {"watch": "src/**"}, /* only for who writes the server */
    },
    "far": {
      "type": "http", "url": "http://127.0.0.1:1/mcp", "headers": {"Authorization": "Bearer ${input:api-key}"}
    },
  }
}"""


def test_t4_3_vs_code_with_inputs_and_an_env_file(folder: ConfigFolder) -> None:
    (folder.places.config_dir / ".env").write_text("FROM_FILE='1 2'\nREGION=south\n# no\n", encoding="utf-8")
    folder.environ = {"MCP_INPUT_API_KEY": "k1", "WHO": "ada"}
    found = read(folder, VS_CODE)
    assert found.unusable == {}
    local, far = found.servers["local"], found.servers["far"]
    assert (local.command, local.args, local.transport) == ("npx", ["-y", "some-server"], "stdio")
    assert text_of(local) == {"FROM_FILE": "1 2", "REGION": "north", "API_KEY": "k1", "HOME_OF": "ada"}
    assert text_of(far, "headers") == {"Authorization": "Bearer k1"}
    assert [remark.key for remark in found.remarks["local"]] == ["dev"]


def test_t4_3_an_input_without_a_value_keeps_its_own_server_out(folder: ConfigFolder) -> None:
    (folder.places.config_dir / ".env").write_text("")
    folder.environ = {"WHO": "ada"}
    found = read(folder, VS_CODE.replace('"far": {', '"free": {"command": "x"}, "far": {'))
    assert list(found.servers) == ["free"]
    assert found.unusable["far"] == "the input 'api-key' has no value: set MCP_INPUT_API_KEY"


CLINE = {
    "mcpServers": {
        "old": {
            "command": "node",
            "args": ["s.js"],
            "disabled": True,
            "autoApprove": ["look"],
            "timeout": 60,
        },
        "far": {"type": "streamableHttp", "url": "http://h/mcp", "disabled": False, "alwaysAllow": []},
    }
}


def test_t4_3_cline(folder: ConfigFolder) -> None:
    found = read(folder, CLINE)
    assert found.unusable == {}
    assert (found.servers["old"].enabled, found.servers["old"].timeout_s) == (False, 60)
    assert (found.servers["far"].enabled, found.servers["far"].transport) == (True, "http")


def test_t4_3_what_another_program_may_run_unasked_lowers_no_approval(folder: ConfigFolder) -> None:
    for key in ("autoApprove", "alwaysAllow"):
        assert one(folder, require_approval=["*"], **{key: ["drop"]}).needs_approval("drop")
    assert one(folder, require_approval=["drop"], trust=True).needs_approval("drop")


def test_t4_3_librechat_gemini_windsurf_zed_continue_and_opencode(folder: ConfigFolder) -> None:
    librechat = read(
        folder,
        {
            "version": "1.3.0",
            "mcpServers": {
                "x": {
                    "type": "streamable-http",
                    "url": "http://h/mcp",
                    "timeout": 60000,
                    "initTimeout": 20000,
                    "serverInstructions": True,
                    "iconPath": "x.svg",
                    "chatMenu": False,
                }
            },
        },
    ).servers["x"]
    assert (librechat.transport, librechat.timeout_s, librechat.init_timeout_s) == ("http", 60, 20)
    gemini = read(
        folder,
        {
            "mcpServers": {
                "x": {"httpUrl": "http://h/a", "url": "http://h/b", "trust": True, "timeout": 30000}
            }
        },
    ).servers["x"]
    assert (gemini.transport, gemini.url, gemini.timeout_s) == ("http", "http://h/a", 30)
    windsurf = read(folder, {"mcpServers": {"x": {"serverUrl": "http://h/sse", "disabledTools": ["rm"]}}})
    assert (windsurf.servers["x"].url, windsurf.servers["x"].exclude_tools) == ("http://h/sse", ["rm"])
    zed = read(
        folder,
        {
            "context_servers": {
                "x": {"source": "custom", "command": {"path": "p", "args": ["a"], "env": None}}
            }
        },
    ).servers["x"]
    assert (zed.command, zed.args) == ("p", ["a"])
    listed = read(folder, {"mcpServers": [{"name": "x", "command": "p", "connectionTimeout": 5000}]})
    assert listed.servers["x"].init_timeout_s == 5
    opencode = read(
        folder,
        {"mcp": {"x": {"type": "local", "command": ["p", "a"], "environment": {"A": "1"}, "enabled": True}}},
    ).servers["x"]
    assert (opencode.command, opencode.args, text_of(opencode)) == ("p", ["a"], {"A": "1"})


def test_t4_3_numbers_and_booleans_in_env_are_text(folder: ConfigFolder) -> None:
    entry = one(folder, env={"PORT": 8080, "RATIO": 0.5, "DEBUG": True, "OFF": False, "GONE": None})
    assert text_of(entry) == {"PORT": "8080", "RATIO": "0.5", "DEBUG": "true", "OFF": "false"}
    assert text_of(one(folder, env=["A=1", "B=x=y"])) == {"A": "1", "B": "x=y"}
    assert one(folder, args=["-p", 8080, True]).args == ["-p", "8080", "true"]
    assert one(folder, args="-y 'a b'").args == ["-y", "a b"]


def test_t4_3_variables_of_every_dialect(folder: ConfigFolder) -> None:
    folder.environ = {"WHO": "ada"}
    entry = one(
        folder,
        env={
            "PLAIN": "${WHO}",
            "EDITOR": "${env:WHO}",
            "GEMINI": "$WHO",
            "DEFAULT": "${NOBODY:-eve}",
            "EMPTY": "${NOBODY:-}",
            "FOLDER": "${workspaceFolder}",
            "SEP": "a${/}b${pathSeparator}c",
            "PASSWORD": "pa$$word$WHO",
            "HALF": "${WHO",
        },
    )
    assert text_of(entry) == {
        "PLAIN": "ada",
        "EDITOR": "ada",
        "GEMINI": "ada",
        "DEFAULT": "eve",
        "EMPTY": "",
        "FOLDER": str(folder.places.config_dir),
        "SEP": "a/b/c",
        "PASSWORD": "pa$$word$WHO",
        "HALF": "${WHO",
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("${NOBODY}", "the environment variable NOBODY is not set"),
        ("${env:NOBODY}", "the environment variable NOBODY is not set"),
        ("${config:a.b}", "'${config:a.b}' has no value outside of its own program"),
        ("${command:pick}", "'${command:pick}' has no value outside of its own program"),
        ("{{LIBRECHAT_USER_ID}}", "'{{LIBRECHAT_USER_ID}}' is a value of each user"),
        ("{{MINE}}", "'{{MINE}}' is a value of each user"),
    ],
)
def test_t4_3_a_value_that_is_not_there_keeps_its_own_server_out(
    folder: ConfigFolder, value: str, reason: str
) -> None:
    entry = {"command": "x", "env": {"A": value}, "customUserVars": {"MINE": {"title": "m"}}}
    found = read(folder, {"mcpServers": {"it": entry, "other": {"command": "y"}}})
    assert list(found.servers) == ["other"]
    assert reason in found.unusable["it"]
    off = read(folder, {"mcpServers": {"it": {**entry, "disabled": True}}})
    assert off.unusable == {}


def test_t4_3_an_unknown_key_is_a_remark_with_the_nearest_known_one(folder: ConfigFolder) -> None:
    found = read(folder, {"mcpServers": {"it": {"command": "x", "descripton": "d", "zzz": 1, "_note": "n"}}})
    assert [(remark.key, remark.mistake) for remark in found.remarks["it"]] == [
        ("descripton", True),
        ("zzz", True),
    ]
    assert found.remarks["it"][0].message.endswith("did you mean 'description'?")
    book, _ = folder.read(mcp={"bundled": False})
    told = {place[-1] for place, _, _ in missing_commands(book)}
    assert {"descripton", "zzz"} <= told


@pytest.mark.parametrize("key", ["require_aproval", "requireApproval", "group", "exclude_tool", "disable"])
def test_a_misspelt_guard_keeps_its_server_out(folder: ConfigFolder, key: str) -> None:
    found = read(folder, {"mcpServers": {"it": {"command": "x", key: ["*"]}}})
    assert found.servers == {}
    assert f"the key '{key}' is not known; did you mean" in found.unusable["it"]


def test_comments_and_a_last_comma_are_read_and_errors_keep_their_line(folder: ConfigFolder) -> None:
    found = read(folder, '{"a": {"command": "//x", "args": ["/* y */", "z,]"],}, // c\n /* d\n */ }')
    assert found.servers["a"].command == "//x"
    assert found.servers["a"].args == ["/* y */", "z,]"]
    folder.write("mcp.json", '{ // c\n /* d\n */ "a": {"command" "x"}}')
    assert folder.problems()[0].startswith("mcp.json:3: is not valid JSON")


def test_an_env_file_that_is_not_there_keeps_its_server_out(folder: ConfigFolder) -> None:
    found = read(
        folder, {"mcpServers": {"it": {"command": "x", "envFile": "gone.env"}, "b": {"command": "y"}}}
    )
    assert list(found.servers) == ["b"]
    assert found.unusable["it"] == "envFile: 'gone.env' is no file of at most 1 MiB"


def test_a_limit_that_is_no_number_is_passed_over(folder: ConfigFolder) -> None:
    odd: list[Any] = ["soon", -5, 0, True, [], float(10**20)]
    for value in odd:
        entry = one(folder, timeout=value, initTimeout=value)
        assert entry.timeout_s in (None, 3600)


@pytest.mark.parametrize(
    ("keys", "on"),
    [
        ({"disabled": 1}, False),
        ({"disabled": "on"}, False),
        ({"disabled": 0}, True),
        ({"disabled": "No"}, True),
        ({"isActive": 1}, True),
        ({"isActive": 0}, False),
        ({"enabled": "false", "disabled": False}, False),
        ({"enabled": 0, "isActive": True}, False),
        ({"disabled": True, "enabled": True}, False),
    ],
)
def test_t4_3_a_switch_is_read_however_it_is_written(
    folder: ConfigFolder, keys: dict[str, Any], on: bool
) -> None:
    assert one(folder, **keys).enabled is on


@pytest.mark.parametrize("value", [2, "maybe", [True], {"a": 1}, "${HOME}"])
@pytest.mark.parametrize("key", ["disabled", "enabled", "isActive"])
def test_t4_3_a_switch_that_says_neither_keeps_the_server_out(
    folder: ConfigFolder, key: str, value: object
) -> None:
    folder.environ = {"HOME": "/home/ada"}
    found = read(folder, {"mcpServers": {"it": {"command": "x", key: value}, "other": {"command": "x"}}})
    assert list(found.servers) == ["other"]
    assert f"{key} must be true or false" in found.unusable["it"]


def test_t4_3_two_keys_that_keep_tools_back_hold_together(folder: ConfigFolder) -> None:
    entry = one(folder, exclude_tools=["a"], disabledTools=["b"], includeTools=["a", "c"], tools=["c", "d"])
    assert [tool for tool in "abcd" if entry.offers(tool)] == ["c"]
    assert not one(folder, exclude_tools=["*"]).offers("a")


def test_t4_3_tools_of_github_copilot_are_those_that_are_offered(folder: ConfigFolder) -> None:
    every, some = one(folder, tools=["*"]), one(folder, type="local", tools=["a"])
    assert (every.offers("a"), some.offers("a"), some.offers("b")) == (True, True, False)


@pytest.mark.parametrize("key", ["blockedTools", "allowed", "toolDenyList", "allowed_groups", "readOnly"])
def test_t4_3_an_unknown_key_that_sounds_like_a_guard_keeps_the_server_out(
    folder: ConfigFolder, key: str
) -> None:
    found = read(folder, {"mcpServers": {"it": {"command": "x", key: ["a"]}}})
    assert found.servers == {}
    assert f"the key '{key}' is not known" in found.unusable["it"]


@pytest.mark.parametrize("value", [True, ["a.env", "b.env"], "a\u0000b", "~nobody-of-this-name/x"])
def test_t4_3_an_env_file_that_cannot_be_read_keeps_its_server_out(
    folder: ConfigFolder, value: object
) -> None:
    found = read(folder, {"mcpServers": {"it": {"command": "x", "envFile": value}}})
    assert found.unusable["it"].startswith("envFile")


def test_t4_3_an_env_file_whose_variable_is_not_set_names_the_variable(folder: ConfigFolder) -> None:
    found = read(folder, {"mcpServers": {"it": {"command": "x", "envFile": "${WHERE}"}}})
    assert found.unusable["it"] == "the environment variable WHERE is not set"


def test_a_reload_sees_that_only_what_is_left_out_has_changed(folder: ConfigFolder) -> None:
    read(folder, {"mcpServers": {}})
    before = Snapshot.of(folder.read(mcp={"bundled": False})[0])
    read(folder, {"mcpServers": {"it": {"args": ["x"], "env": {"A": "${NOBODY}"}}}})
    after = folder.read(mcp={"bundled": False})[0]
    assert [change.key for change in changes(before, after)] == ["servers.it"]
