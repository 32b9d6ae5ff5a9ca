"""Workers that die, freeze and are replaced while others answer: a sample of `tests.campaigns.fleet`.

The same through pgbouncer is in `make campaign`; `tests/integration/test_pgbouncer.py` has the pooler alone.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.campaigns.fleet import campaign, of_processes
from tests.campaigns.grounds import Grounds
from tests.campaigns.victims import nursery
from waystation.testing.postgres import PostgresServer

TURNS = 30
# The service's own is longer: a frozen worker is given up when it is over.
LEASE_SECONDS = 2.0


async def test_turns_outlive_the_workers_that_they_began_at(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    with ExitStack() as stack:
        parent = stack.enter_context(nursery(wait=False))
        grounds = Grounds(stack, tmp_path, lease=LEASE_SECONDS, server=postgres_server)
        wrong, made = await campaign(
            grounds,
            of_processes(parent, grounds, tmp_path),
            workers=2,
            clients=4,
            turns=TURNS,
            rounds=1,
            lease=LEASE_SECONDS,
            seed=1,
        )
        assert wrong == []
        assert sum(made.kinds.values()) >= TURNS
        assert grounds.taken_over() >= 3, "one by each of what happens to workers"
