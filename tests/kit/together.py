"""Files that share what takes long to start run in one worker, one after the other, which starts it once.

What they share is a fixture with the scope "session" in the conftest.py of their folder.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# What the names of files that belong together begin with.
TOGETHER = ("tests/clients/",)


class Together(LoadFileScheduling):
    """A file is one piece of work, and so are all files that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        return piece_of(nodeid)


def piece_of(nodeid: str) -> str:
    """The piece of work that a test is of."""
    file = nodeid.partition("::")[0]
    return next((start for start in TOGETHER if file.startswith(start)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    return Together(config, log)
