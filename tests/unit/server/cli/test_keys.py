"""`waystation keys`: made once, shown once, listed without secrets, ended."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.keys import keys


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def test_a_key_is_shown_once_and_then_never(call: CliRunner) -> None:
    made = call.invoke(keys, ["create", "--user", "ada", "--name", "ci", "--group", "a", "--group", "b"])
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert key.startswith("wsk_")
    assert "shown only now" in made.stderr
    assert key not in made.stderr
    (listed,) = json.loads(call.invoke(keys, ["list", "--json"]).stdout)
    assert (listed["user"], listed["groups"], listed["scopes"]) == ("ada", ["a", "b"], ["use"])
    assert (listed["state"], listed["last_used_at"]) == ("valid", None)
    secret = key.split("_", 2)[2]
    for found in (call.invoke(keys, ["list"]).stdout, json.dumps(listed)):
        assert secret not in found
        assert listed["id"] in found


def test_a_key_for_machines_is_one_object(call: CliRunner) -> None:
    options = ["--scope", "operate", "--level", "secret", "--days", "1", "--json"]
    made = json.loads(call.invoke(keys, ["create", "--user", "prometheus", *options]).stdout)
    assert made["key"].startswith(f"wsk_{made['id']}_")
    assert (made["scopes"], made["levels"]) == (["operate"], ["secret"])
    assert made["expires_at"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())


def test_a_revoked_key_says_so_in_the_list(call: CliRunner) -> None:
    made = json.loads(call.invoke(keys, ["create", "--user", "ada", "--json"]).stdout)
    assert f"revoked {made['id']} of ada" in call.invoke(keys, ["revoke", made["id"]]).stdout
    assert json.loads(call.invoke(keys, ["revoke", made["id"], "--json"]).stdout)["state"] == "revoked"
    assert "revoked" in call.invoke(keys, ["list"]).stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["revoke", "made-up"], 1, "key_not_found"),
        (["create", "--user", "a b"], 1, "cannot be a user"),
        (["create", "--user", "ada", "--scope", "rule"], 1, "no scope 'rule'"),
        (["create"], 2, "--user"),
        (["create", "--user", "ada", "--days", "0"], 2, "--days"),
    ],
)
def test_what_goes_wrong_is_one_line(call: CliRunner, words: list[str], code: int, message: str) -> None:
    found = call.invoke(keys, words, env={"TERM": "dumb", "NO_COLOR": "1"})
    assert found.exit_code == code
    assert message in found.stderr


def test_without_keys_the_list_is_empty(call: CliRunner) -> None:
    assert call.invoke(keys, ["list"]).stdout == "(no keys)\n"
