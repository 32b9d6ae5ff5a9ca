"""How long something may take that is promised to be quick, on a machine that is not.

People are told after four seconds that a database is away. A busy machine can take as long for an answer, and
a test of something else would fail: in processes of tests a database has its time, unless a file says
`pytestmark = pytest.mark.usefixtures("people_wait")`. Programs that tests start are as impatient as ever.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest

# Where the alternative is to wait for what never comes: a test tells the two apart, and measures nothing.
A_BUSY_MACHINE_S = 10.0
# What a database may take where no test is about that, and who waits for it under which name.
LATE_S = 30.0
_NAMES = ("ANSWER_S", "CONNECT_S", "POOL_WAIT_S")
_WHERE = (
    "core.database.outage",
    "core.database.engine",
    "core.database.postgres",
    "graph.checkpoints.saver",
    "graph.db.database",
)


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[ExitStack]:
    """Longer than anybody's; closed, it is what it is for people."""
    with ExitStack() as longer:
        _wait_longer(longer)
        yield longer


@pytest.fixture(scope="module")
def people_wait(patience: ExitStack) -> Iterator[None]:
    """In this file a database that does not answer is told of as soon as it is to people."""
    patience.close()
    yield
    _wait_longer(patience)


def _wait_longer(stack: ExitStack) -> None:
    for where in map(importlib.import_module, _WHERE):
        for name in (name for name in _NAMES if name in vars(where)):
            stack.enter_context(patch.object(where, name, LATE_S))
    options = importlib.import_module("core.database.postgres").OPTIONS
    stack.enter_context(patch.dict(options, connect_timeout=int(LATE_S)))
