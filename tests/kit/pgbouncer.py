"""A real pgbouncer on loopback before a PostgreSQL, which shares connections by transaction."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from sqlalchemy.engine import make_url

from waystation.testing.service import free_port

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
MISSING = "pgbouncer is not installed (Debian: apt-get install pgbouncer)"
NOBODY = 65534
# As docs/database.md says: a client whose host has vanished keeps no transaction, and none of its locks.
NOTICES = "tcp_keepidle = 10\ntcp_keepintvl = 3\ntcp_keepcnt = 3\ntcp_user_timeout = 15000\n"
PATIENCE_SECONDS = 30.0


class Pooler:
    """Starts and stops it, at the address of `direct`; `url` leads through it to that database."""

    def __init__(self, direct: str, folder: Path, *, connections: int = 8) -> None:
        self._to = make_url(direct)
        self._folder = folder / "pgbouncer"
        self.port = free_port()
        self.url = self._to.set(port=self.port).render_as_string(hide_password=False)
        self._connections = connections
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert PROGRAM, MISSING
        self._folder.mkdir()
        as_root = os.geteuid() == 0
        host, port, user = self._to.host, self._to.port, self._to.username
        ini = self._folder / "pgbouncer.ini"
        (self._folder / "users.txt").write_text(f'"{user}" ""\n')
        ini.write_text(
            f"[databases]\n* = host={host} port={port}\n[pgbouncer]\nlisten_addr = {host}\n"
            f"listen_port = {self.port}\nauth_type = any\npool_mode = transaction\n"
            f"auth_file = {self._folder / 'users.txt'}\nunix_socket_dir =\nmax_client_conn = 500\n"
            f"default_pool_size = {self._connections}\nserver_reset_query =\n"
            f"ignore_startup_parameters = extra_float_digits\n{NOTICES}"
            + ("user = nobody\n" if as_root else "")
        )
        # auth_type any takes the user that the database line names.
        text = ini.read_text().replace(f"port={port}\n", f"port={port} user={user}\n", 1)
        ini.write_text(text)
        if as_root:
            for path in (self._folder.parent, self._folder, *self._folder.iterdir()):
                path.chmod(0o755 if path.is_dir() else 0o644)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, str(ini)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait(self._process)
        return self

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with psycopg.connect(self.url, connect_timeout=5, prepare_threshold=None):
                    return
            except psycopg.OperationalError:
                time.sleep(0.02)  # its port is not there yet
        raise AssertionError(f"pgbouncer did not start:\n{(self._folder / 'log').read_text()[-3000:]}")

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=PATIENCE_SECONDS)
            self._process = None
