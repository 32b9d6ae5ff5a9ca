"""The counters of the benchmarks, each on the real thing that it counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

from bench.counts import show
from bench.processes import HERE, cpu_of, memory_of, running, tree
from bench.systems.wire import Relay
from waystation.testing.postgres import PostgresServer

# In a process of its own: the counting VFS stays the default of whoever installs it.
_COMMITS = """
import json, sqlite3, sys
from collections import Counter
from bench.systems.vfs import CountingVfs
counts = Counter()
CountingVfs(counts).install()
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("PRAGMA journal_mode=WAL")
base.execute("CREATE TABLE kept (word TEXT)")
counts.clear()
for number in range(3):
    base.execute("BEGIN")
    base.executemany("INSERT INTO kept VALUES (?)", [("x" * 4000,)] * 5)
    base.execute("COMMIT")
base.execute("BEGIN"); base.execute("INSERT INTO kept VALUES ('no')"); base.execute("ROLLBACK")
base.execute("SELECT count(*) FROM kept").fetchall()
print(json.dumps(counts))
"""


def test_commits_and_syncs_of_sqlite_are_counted_where_they_are_written(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _COMMITS, str(tmp_path / "kept.db")]
    done = subprocess.run(words, cwd=HERE.root, capture_output=True, text=True, check=True, timeout=60)
    counts = json.loads(done.stdout)
    assert counts["commits"] == 3
    assert counts["syncs"] == 3
    assert counts["log bytes"] > 3 * 5 * 4000


@pytest.fixture
def counted_connection(
    postgres_server: PostgresServer, postgres_url: URL
) -> tuple[psycopg.Connection, Counter[str]]:
    counts: Counter[str] = Counter()
    relay = Relay(postgres_server.port, counts)
    relay.start()
    url = postgres_url.set(drivername="postgresql", port=relay.port)
    connection = psycopg.connect(url.render_as_string(), autocommit=True)
    connection.execute("CREATE TABLE kept (word text)")
    counts.clear()
    return connection, counts


def test_transactions_that_change_rows_are_the_commits_of_postgresql(
    counted_connection: tuple[psycopg.Connection, Counter[str]],
) -> None:
    connection, counts = counted_connection
    with connection:
        with connection.transaction():
            connection.execute("INSERT INTO kept VALUES ('a')")
            connection.execute("INSERT INTO kept VALUES ('b')")
        with connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO kept VALUES ('c')")
        connection.execute("SELECT word FROM kept")
        connection.execute("UPDATE kept SET word = 'd' WHERE word = 'nothing'")
        assert counts["transactions"] == 4
        assert counts["commits"] == 1
        assert counts["statements"] == 9


def test_a_pipeline_is_one_round_trip(
    counted_connection: tuple[psycopg.Connection, Counter[str]],
) -> None:
    connection, counts = counted_connection
    with connection:
        for _ in range(3):
            connection.execute("SELECT 1")
        assert counts["round trips"] == 3
        counts.clear()
        with connection.pipeline():
            for _ in range(3):
                connection.execute("INSERT INTO kept VALUES ('a')")
        assert counts["round trips"] == 1
        assert counts["statements"] == 3


def test_the_cpu_of_a_tree_holds_that_of_children_and_of_those_that_ended(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {busy!r}])\n"
        f"alive = subprocess.Popen([sys.executable, '-c', {busy!r} + 'print(flush=True); input()'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "alive.stdout.readline(); print('ready', flush=True); input(); alive.communicate(b'end')\n"
    )
    with running(["-c", parent], HERE, tmp_path / "log", {}, talks=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        assert len(tree(process.pid)) == 2
        assert 0.6 <= cpu_of(process.pid) < 6
        assert memory_of(process.pid) > 8 * 2**20
        process.communicate("end\n", timeout=20)


def test_counts_say_what_is_asked_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    show("sqlite", {"now": {"commits": 1.2, "log bytes": 200 * 1024, "tasks": 44}})
    lines = {" ".join(line.split()[:2]): line for line in capsys.readouterr().out.splitlines()}
    assert lines["commits 1.2"].endswith("<= 5  met")
    assert lines["log bytes"].endswith("<= 150 KB  MISSED")
    assert lines["tasks 44.0"].endswith("44.0")
