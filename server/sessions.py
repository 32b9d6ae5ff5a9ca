"""The agent as one command needs it: opened for a user, quiet, closed at the end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.access import Principal
from core.observability import configure_logging
from core.settings.platform import AuthSettings
from graph.agent import Agent
from server.auth import local_principal
from server.progress import indexing


def principal_for(agent: Agent, user: str) -> Principal:
    """The named user, without groups; by default the user of the settings, in theirs."""
    local = local_principal(agent.book)
    if not user or user == agent.book[AuthSettings].user:
        return local
    return Principal(user)


@asynccontextmanager
async def opened(user: str = "") -> AsyncIterator[tuple[Agent, Principal]]:
    """The agent on this process's configuration, and who the command acts for.

    Raises:
        WaystationError: It cannot be opened.
    """
    configure_logging(level=os.environ.get("WAYSTATION_TELEMETRY__LOG_LEVEL", "error"), as_json=False)
    with indexing() as progress:
        async with Agent.open(progress=progress) as agent:
            yield agent, principal_for(agent, user)
