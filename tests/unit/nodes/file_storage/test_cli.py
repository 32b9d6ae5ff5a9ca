"""The command line: in process for the paths, and as the process that people start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from core.access import Principal
from core.container import open_module
from nodes.file_storage import FileManager
from nodes.file_storage.cli import app
from nodes.file_storage.module import MODULE
from tests.kit import documents

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def ok(*arguments: str) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "source.csv"
    path.write_bytes(b"a,b\n1,2\n")
    return path


def test_upload_list_download_delete(csv: Path, tmp_path: Path) -> None:
    info = ok("upload", "日本.csv", str(csv), "--user", "ada")
    assert (info["name"], info["size"], info["media_type"], info["owner"]) == (
        "日本.csv",
        8,
        "text/csv",
        "ada",
    )
    assert [i["key"] for i in ok("list", "ada")] == [info["key"]]
    got = ok("download", info["key"], "--user", "ada", "--output", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_bytes() == csv.read_bytes()
    assert got["path"] == str(tmp_path / "out.csv")
    assert ok("stats")["files"] == ok("stats", "--user", "ada")["files"] == 1
    assert ok("delete", info["key"], "--user", "ada") == {"key": info["key"], "deleted": True}
    assert ok("list", "ada") == []


def test_people_read_tables_and_lines(csv: Path) -> None:
    shown = call("upload", "in.csv", str(csv)).stdout
    key = shown.split()[1]
    assert "text/csv" in shown
    assert "in.csv" in call("list", "local").stdout
    assert call("list", "local", "--thread", "none").stdout == "(no files)\n"
    assert call("download", key).stdout == "in.csv (8 bytes)\n"
    assert Path("in.csv").read_bytes() == csv.read_bytes()
    assert "backend:" in call("stats").stdout
    assert call("delete", key).stdout == f"deleted {key}\n"


def test_download_to_stdout_writes_the_bytes_alone(csv: Path) -> None:
    key = ok("upload", "in.csv", str(csv))["key"]
    assert call("download", key, "--output", "-").stdout_bytes == csv.read_bytes()


def test_download_into_a_folder_takes_the_files_name(csv: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    key = ok("upload", "in.csv", str(csv))["key"]
    ok("download", key, "--output", str(tmp_path / "folder"))
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["in.csv"]


def test_download_replaces_only_with_force(csv: Path) -> None:
    key = ok("upload", "in.csv", str(csv))["key"]
    Path("in.csv").write_text("mine")
    refused = call("download", key)
    assert (refused.exit_code, Path("in.csv").read_text()) == (1, "mine")
    assert refused.stderr == "invalid_file: 'in.csv' exists; give another --output, or --force\n"
    ok("download", key, "--force")
    assert Path("in.csv").read_bytes() == csv.read_bytes()


def test_download_to_where_nothing_can_be_written(csv: Path) -> None:
    key = ok("upload", "in.csv", str(csv))["key"]
    refused = call("download", key, "--output", "missing/in.csv")
    assert refused.exit_code == 1
    assert refused.stderr == "invalid_file: 'missing/in.csv' cannot be written: No such file or directory\n"


def test_list_is_filtered_and_paged(csv: Path) -> None:
    keys = {ok("upload", f"{n}.csv", str(csv))["key"] for n in range(3)}
    first = ok("list", "local", "--limit", "2")
    rest = ok("list", "local", "--after", first[-1]["key"])
    assert {i["key"] for i in [*first, *rest]} == keys
    assert ok("list", "local", "--thread", "t1") == []


def test_a_link_leads_to_the_service(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ok("upload", "in.csv", str(csv))["key"]
    found = ok("url", key)
    assert found["url"].startswith("http://127.0.0.1:8000/files/link/")
    assert found["seconds"] == 600
    monkeypatch.setenv("WAYSTATION_FILE_STORAGE__LINK_BASE_URL", "https://w.example")
    shown = call("url", key, "--seconds", "60").stdout
    assert shown.startswith("https://w.example/files/link/")


async def test_the_service_accepts_a_link_made_on_the_command_line(csv: Path) -> None:
    # The runner starts an event loop of its own, so this goes through a process.
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-m", "nodes.file_storage.cli"]
    up = subprocess.run(
        [*run, "upload", "in.csv", str(csv), "--json"], env=environ, check=True, capture_output=True
    )
    key = json.loads(up.stdout)["key"]
    link = (
        subprocess.run([*run, "url", key], env=environ, check=True, capture_output=True)
        .stdout.decode()
        .strip()
    )
    container = open_module(MODULE)
    files = await container.get(FileManager)
    info = await files.resolve_link(link.rsplit("/", 1)[1])
    assert (info.key, info.name, info.owner) == (key, "in.csv", "local")
    assert await files.info(Principal("local"), key) == info
    await container.close()


@pytest.mark.parametrize("command", ["download", "delete", "url"])
def test_an_unknown_key_is_one_line_on_stderr(command: str) -> None:
    result = call(command, "f_unknown")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "file_not_found: no file 'f_unknown'\n"


def test_a_source_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    result = call("upload", "a.txt", "none.txt")
    assert (result.exit_code, result.stderr) == (
        1,
        "invalid_file: 'none.txt' cannot be read: No such file or directory\n",
    )
    assert "Is a directory" in call("upload", "a.txt", str(tmp_path)).stderr


def test_a_file_over_the_limit_is_refused(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_FILE_STORAGE__MAX_BYTES", "4")
    result = call("upload", "in.csv", str(csv))
    assert result.exit_code == 1
    assert result.stderr.startswith("file_too_large: 'in.csv' is larger than 4 bytes")


def test_wrong_settings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_FILE_STORAGE__BACKEND", "ftp")
    result = call("stats")
    assert result.exit_code == 1
    assert "WAYSTATION_FILE_STORAGE__BACKEND" in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_usage_is_2() -> None:
    assert call("download").exit_code == 2
    assert call("list", "ada", "--limit", "0").exit_code == 2


def test_cl2_where_nobody_logs_in_everybody_is_one_user(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ok("upload", "test.txt", str(csv))["key"]
    result = call("list", "user@example.com", "--json")
    assert [info["key"] for info in json.loads(result.stdout)] == [key]
    assert result.stderr == "'user@example.com' has none; nobody logs in here, so these are of 'local'\n"
    own = ok("upload", "own.txt", str(csv), "--user", "user@example.com")["key"]
    assert [info["key"] for info in ok("list", "user@example.com")] == [own]
    monkeypatch.setenv("WAYSTATION_AUTH__MODE", "keys")
    assert ok("list", "somebody@example.com") == []


def test_the_user_of_the_settings_is_the_default_owner(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_AUTH__USER", "ada")
    assert ok("upload", "test.txt", str(csv))["owner"] == "ada"


def test_leftovers_are_counted_and_removed_on_the_command_line(tmp_path: Path) -> None:
    incoming = tmp_path / "home" / "files" / ".incoming"
    incoming.mkdir(parents=True)
    (incoming / "half").write_bytes(b"12345")
    assert ok("reconcile") == {"pieces": 0, "bytes": 0, "records": 0, "removed": False}
    found = ok("reconcile", "--hours", "0")
    assert found == {"pieces": 1, "bytes": 5, "records": 0, "removed": False}
    assert ok("reconcile", "--hours", "0", "--remove") == {**found, "removed": True}
    assert (
        "0 pieces of 0 bytes and 0 records without content found" in call("reconcile", "--hours", "0").stdout
    )


def test_a_text_is_extracted_and_found_by_name_and_by_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "coast.pdf").write_bytes(documents.pdf([["The lighthouse."], ["The harbour."]]))
    key = ok("upload", "coast.pdf", str(tmp_path / "coast.pdf"))["key"]
    told = ok("extract", "coast.pdf")
    assert told["parts"] == [
        {"where": "page 1", "text": "The lighthouse."},
        {"where": "page 2", "text": "The harbour."},
    ]
    assert call("extract", key).stdout == "[page 1]\nThe lighthouse.\n\n[page 2]\nThe harbour.\n"
    (hit,) = ok("search", "harbours")["hits"]
    assert (hit["key"], hit["where"]) == (key, "page 2")
    assert ok("search", "aeroplane")["hits"] == []
    wrong = call("extract", "cost.pdf")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("file_not_found: no file has the key or the name 'cost.pdf'")


def test_a_scan_says_why_it_has_no_text(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(documents.scan())
    ok("upload", "scan.pdf", str(tmp_path / "scan.pdf"))
    wrong = call("extract", "scan.pdf")
    assert wrong.exit_code == 1
    assert "it is a scan: its pages are pictures without text" in wrong.stderr


def test_files_are_copied_tagged_and_listed_by_what_they_are(csv: Path) -> None:
    key = ok("upload", "fees.csv", str(csv))["key"]
    assert ok("tag", key, "year=2026", "kind=fees")["tags"] == {"year": "2026", "kind": "fees"}
    copy = ok("copy", key, "--name", "fees of old.csv")
    assert copy["tags"] == {"year": "2026", "kind": "fees"}
    assert ok("tag", copy["key"], "year=1999")["tags"] == {"year": "1999", "kind": "fees"}
    assert [i["name"] for i in ok("list", "local", "--tag", "year=2026")] == ["fees.csv"]
    assert [i["name"] for i in ok("list", "local", "-q", "OLD fees")] == ["fees of old.csv"]
    assert ok("list", "local", "--type", "image/") == []
    assert ok("tag", key, "kind=", "--replace")["tags"] == {}
