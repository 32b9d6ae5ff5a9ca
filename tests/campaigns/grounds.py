"""What a fleet stands on: one database, one S3, one model; and what its database says of its runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.campaigns.model import LOOPBACK, RuleServer
from tests.campaigns.nursery import LEASE_VARIABLE
from tests.campaigns.victims import Site, plain
from tests.kit.pgbouncer import Pooler
from waystation.testing.postgres import USER, PostgresServer
from waystation.testing.s3 import ACCESS_KEY, SECRET_KEY, S3Server

BUCKET = "fleet"
# Many processes, each with up to 31.
CONNECTIONS = {"max_connections": "300"}


# An answer that is held back stays so for as long as something happens.
MODELS = """models:
  rules:
    model_name: rules-1
    model_url: {url}
    api_key: test
    silence_timeout_s: 300
    timeout_s: 300
"""


class Grounds:
    """Database, files and model, all at one address.

    Args:
        lease: Seconds after which a silent holder of a thread is given up.
        pooled: The database is reached through pgbouncer.
        server: One that runs already; else it has one of its own.
    """

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        *,
        lease: float,
        pooled: bool = False,
        address: str = LOOPBACK,
        server: PostgresServer | None = None,
    ) -> None:
        self._lease = lease
        if server is None:
            server = stack.enter_context(PostgresServer(address=address, settings=CONNECTIONS))
        self.direct = plain(server.create_database())
        self.storage = self.direct
        if pooled:
            # What docs/database.md wants of the role.
            server.execute(f"ALTER ROLE {USER} SET client_connection_check_interval = '5s'")
            server.execute(f"ALTER ROLE {USER} SET idle_in_transaction_session_timeout = '60s'")
            self.storage = stack.enter_context(Pooler(self.direct, folder)).url
        self._model = stack.enter_context(RuleServer(address=address))
        self._s3 = stack.enter_context(S3Server(address=address))

    def site(self, folder: Path, role: str, **more: str) -> Site:
        """A home for a process of this role, with more of its environment."""
        settings = {
            "WAYSTATION_SERVER__ROLE": role,
            "WAYSTATION_SERVER__DRAIN_SECONDS": "1",
            "WAYSTATION_LIMITS__STREAMS_PER_USER": "500",
            "WAYSTATION_FILE_STORAGE__BACKEND": "s3",
            "WAYSTATION_FILE_STORAGE__LINK_SECRET": "0" * 64,
            "WAYSTATION_FILE_STORAGE__S3__BUCKET": BUCKET,
            "WAYSTATION_FILE_STORAGE__S3__CREATE_BUCKET": "true",
            "WAYSTATION_FILE_STORAGE__S3__ENDPOINT_URL": self._s3.url,
            "WAYSTATION_FILE_STORAGE__S3__ACCESS_KEY_ID": ACCESS_KEY,
            "WAYSTATION_FILE_STORAGE__S3__SECRET_ACCESS_KEY": SECRET_KEY,
            "WAYSTATION_LLM__DEFAULT_MODEL": "rules",
            LEASE_VARIABLE: str(self._lease),
        }
        if self.storage != self.direct:
            settings["WAYSTATION_STORAGE__LISTEN_URL"] = self.direct
        site = Site(folder, self._model.url, self.storage, True, {**settings, **more})
        (site.config / "models.yaml").write_text(MODELS.format(url=self._model.url))
        return site

    def free(self, names: list[str]) -> None:
        """Have the model go on with these."""
        self._model.free(names)

    def holders(self) -> list[str]:
        """Who holds threads whose answer is held back."""
        with psycopg.connect(self.direct) as db:
            return [row[0] for row in db.execute("SELECT holder FROM threads WHERE run_id IS NOT NULL")]

    def taken_over(self) -> int:
        """Runs that a second worker went on with."""
        query = "SELECT count(*) FROM runs WHERE attempts > 1 AND request ->> 'answers' IS NULL"
        with psycopg.connect(self.direct) as db:
            found = db.execute(query).fetchone()
        return int(found[0]) if found else 0

    def releases(self) -> list[str]:
        """Of the workers that are there."""
        query = "SELECT release FROM workers WHERE seen_at > date_part('epoch', clock_timestamp()) - 10"
        with psycopg.connect(self.direct) as db:
            return [row[0] for row in db.execute(query)]

    def active(self) -> list[str]:
        """Runs that go on, and threads that somebody holds."""
        with psycopg.connect(self.direct) as db:
            going = db.execute("SELECT id, status FROM runs WHERE status IN ('queued', 'running')").fetchall()
            held = db.execute("SELECT id, run_id FROM threads WHERE run_id IS NOT NULL").fetchall()
        return [f"goes on still: {row}" for row in [*going, *held]]
