"""The agent as one command needs it: opened for a user, quiet, closed at the end."""

# ruff: noqa: PLC0415 - usage errors and `--help` do not wait for the agent
from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from core.callers import is_user
from core.cli import progress_bar
from core.errors import InvalidInput

if TYPE_CHECKING:
    from core.access import Principal
    from graph.agent import Agent

UserOption = Annotated[str, typer.Option("--user", help="Whose; by default the user of the settings.")]


def quiet() -> None:
    """Only errors are logged, unless the settings' variable says otherwise."""
    from core.observability import configure_logging

    configure_logging(level=os.environ.get("WAYSTATION_TELEMETRY__LOG_LEVEL", "error"), as_json=False)


@asynccontextmanager
async def opened(
    user: str = "", groups: Sequence[str] = (), *, idle: bool = False
) -> AsyncIterator[tuple[Agent, Principal]]:
    """The agent on this process's configuration, and who the command acts for: with every scope.

    Args:
        user: By default the user of the settings.
        groups: By default those of the settings, where the user is theirs.
        idle: For commands that look at what is stored and run no turn.

    Raises:
        WaystationError: It cannot be opened.
    """
    if user and not is_user(user):
        raise InvalidInput(f"'{user[:80]}' cannot be a user; use 1 to 128 of A-Z a-z 0-9 _ . @ : | + -")
    from core.collecting import settle
    from core.identity.authenticator import local_principal
    from core.settings.auth import AuthSettings
    from graph.agent import Agent

    quiet()
    with progress_bar("indexing") as progress:
        async with Agent.open(progress=progress, idle=idle) as agent:
            settle()
            yield agent, local_principal(agent.book[AuthSettings], user, groups or None)
