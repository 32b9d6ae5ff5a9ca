"""`waystation serve` as a process: how it starts, refuses to, and stops."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.kit.http import turn
from waystation.testing.agents import write_config
from waystation.testing.service import ROOT, Service, free_port


def serve(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.cli.main", "serve", *words]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=250, check=False
    )


def test_it_says_where_it_is_and_what_to_try_and_stops_when_told(tmp_path: Path) -> None:
    with Service(tmp_path / "home", config_dir=write_config(tmp_path)) as service:
        answer = httpx.post(f"{service.url}/agent/invoke", json=turn(), timeout=60).json()["output"]
        said = service.log.read_text()
        code = service.stop()
    assert "8" in answer["answer"]
    assert f"ready at {service.url}" in said
    assert said.count("curl") == 2
    assert code == 0
    assert "Traceback" not in service.log.read_text()


@pytest.fixture
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(write_config(tmp_path)))


@pytest.mark.usefixtures("_config")
def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        said = serve("--port", str(other.getsockname()[1]))
    assert said.returncode == 1
    assert said.stderr.startswith("address_in_use: another process listens on 127.0.0.1:")
    assert said.stderr.count("\n") == 1


@pytest.mark.usefixtures("_config")
@pytest.mark.parametrize("host", ["0.0.0.0", "203.0.113.7", "no-such-host.invalid"])  # noqa: S104 - refused
def test_an_address_of_a_network_is_refused_without_a_login(host: str) -> None:
    said = serve("--host", host, "--port", str(free_port()))
    assert said.returncode == 1
    assert said.stderr.startswith("bind_refused: ")


def test_g5_a_new_home_and_all_that_a_turn_leaves_in_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = os.umask(0o022)
    try:
        with Service(home, config_dir=write_config(tmp_path)) as service:
            httpx.post(f"{service.url}/agent/invoke", json=turn(), timeout=60).raise_for_status()
            files = {"file": ("note.txt", b"private")}
            httpx.post(f"{service.url}/files", files=files, timeout=60).raise_for_status()
            found = [home, *home.rglob("*")]
            # Also while it runs: SQLite's files beside the database are there now.
            open_to_others = [
                path for path in found if path.lstat().st_mode & 0o077 and not path.is_symlink()
            ]
    finally:
        os.umask(before)
    assert {"waystation.db", "waystation.db-wal", "files", "index", "logs"} <= {path.name for path in found}
    assert open_to_others == []


def test_g5_an_old_home_that_others_can_read_is_warned_of_at_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    with Service(home, config_dir=write_config(tmp_path)) as service:
        said = service.log.read_text()
        health = httpx.get(f"{service.url}/health", timeout=20).json()
    assert f"chmod -R go= {home}" in said
    assert "chmod -R go=" in str(health)


def test_g1_3_open_connections_of_every_kind_end_with_the_service_and_leave_no_traceback(
    tmp_path: Path,
) -> None:
    upload = (
        b"POST /files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000000\r\n"
        b"content-type: multipart/form-data; boundary=x\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nbegun'
    )
    body = (
        b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 99\r\n\r\n{"
    )
    begun = [
        b"",
        b"GET / HTTP/1.1\r\nhost: lo",
        b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n",
        *(body % path for path in (b"/threads", b"/agent/invoke", b"/agent/stream", b"/none")),
        upload,
        upload.replace(b"/files", b"/threads/import").replace(
            b"multipart/form-data; boundary=x", b"application/x-ndjson"
        ),
    ]
    with Service(tmp_path / "home", config_dir=write_config(tmp_path)) as service:
        opened = [socket.create_connection(("127.0.0.1", service.port)) for _ in begun * 5]
        for connection, said in zip(opened, begun * 5, strict=True):
            connection.sendall(said)
        assert httpx.get(f"{service.url}/health/live", timeout=20).status_code == 200
        code = service.stop()
    for connection in opened:
        connection.close()
    log = service.log.read_text()
    assert code == 0
    assert "Traceback" not in log
    assert "request_crashed" not in log


def listening(pid: int) -> set[int]:
    """TCP ports on which the process listens."""
    own = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            own.add(os.readlink(entry))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {
        int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_workers_share_the_threads_and_tools_fetch_files_from_the_service_itself(
    tmp_path: Path, workers: str
) -> None:
    env = {"WAYSTATION_SERVER__WORKERS": workers}
    table = {"file": ("sales.csv", b"region,amount\nnorth,10.5\nsouth,4\nnorth,2\n")}
    with Service(tmp_path / "home", config_dir=write_config(tmp_path), env=env) as service:
        key = httpx.post(f"{service.url}/files", files=table, timeout=20).json()["key"]
        body = {"input": {"message": "What is the total of amount by region in sales.csv?", "files": [key]}}
        answer = httpx.post(f"{service.url}/agent/invoke", json=body, timeout=60).json()["output"]
        ports = listening(service.pid)
        for _ in range(4):
            shared = httpx.post(f"{service.url}/agent/invoke", json=turn(thread_id="shared"), timeout=60)
            assert "8" in shared.json()["output"]["answer"]
        thread = httpx.get(f"{service.url}/threads/shared", timeout=20).json()
    assert "12.5" in answer["answer"]
    assert [call["status"] for call in answer["tool_calls"]] == ["ok"]
    assert ports == {service.port}
    assert thread["turns"] == 4
