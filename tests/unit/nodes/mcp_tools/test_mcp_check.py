"""`waystation mcp check FILE`: what a foreign file would give, with nothing started and no secret shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nodes.mcp_tools.cli import app

FOREIGN = """{
  // two servers of an editor
  "inputs": [{"type": "promptString", "id": "token", "description": "t"}],
  "servers": {
    "a": {"command": "npx", "args": ["-y", "thing", "--token", "s3cret"], "env": {"KEY": "s3cret"},
          "colour": 1},
    "b": {"url": "http://h/mcp?key=s3cret", "headers": {"X-Key": "${input:token}"}},
    "c": {"type": "websocket", "url": "ws://h"},
  }
}"""


def checked(path: Path, *more: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["check", str(path), *more])
    return done.exit_code, done.stdout, done.stderr


def test_each_server_is_told_with_its_state_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(FOREIGN)
    code, out, _ = checked(path, "--json")
    found = json.loads(out)
    assert (code, found["usable"], found["program"]) == (0, True, "VS Code")
    a, b, c = found["servers"]
    assert (a["state"], a["runs"], a["env"]) == ("usable", "npx -y thing --token ***", ["KEY"])
    assert "is not known" in a["mistakes"]["colour"]
    assert (b["state"], b["headers"], b["reason"]) == (
        "needs values",
        ["X-Key"],
        "the input 'token' has no value: set MCP_INPUT_TOKEN",
    )
    assert c["state"] == "left out"
    assert "s3cret" not in out
    code, out, _ = checked(path)
    assert code == 0
    assert "Read as VS Code." in out
    assert "s3cret" not in out


def test_yaml_of_librechat_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "librechat.yaml"
    path.write_text(
        "version: 1\nmcpServers:\n  far:\n    type: sse\n    url: http://h/sse\n    timeout: 60000\n"
    )
    code, out, _ = checked(path, "--json")
    found = json.loads(out)
    assert (code, found["beside"], found["servers"][0]["transport"]) == (0, ["version"], "sse")


def test_a_file_with_nothing_usable_exits_1(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"mcpServers": {"a": {"args": ["x"]}}}')
    code, out, _ = checked(path)
    assert code == 1
    assert "a: left out: has neither command nor url" in out


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "names no server"),
        (b"{", "is not valid JSON"),
        (b"[1]", "must be a mapping of keys to values"),
        (b"\x00\xff\x00", "is not UTF-8 text"),
        (b" " * 1_048_577, "is larger than 1048576 bytes"),
        (b'{"mcpServers": 1}', "mcpServers must be an object"),
        (b'{"mcpServers": {}}', "names no server"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(content)
    code, out, error = checked(path)
    assert (code, out) == (1, "")
    assert complaint in error
    assert len(error.splitlines()) == 1


def test_a_folder_and_a_missing_file_are_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.json"):
        code, _, error = checked(path)
        assert (code, error.count("\n")) == (1, 1)
        assert "it is not a file" in error
