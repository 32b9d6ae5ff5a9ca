"""Who loses the stream of a turn may come back for the rest, to any process; meanwhile the turn goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

from core.signals import Listener, Signals
from server.protocols.mcp.exchange import Exchange

# Clients come back after a second or two, and try it a few times.
WAIT_SECONDS = 15.0

_waiting: set[asyncio.Task[None]] = set()


class Return:
    """Hears, in whatever process, that the client has come back."""

    def __init__(self, open_: ExitStack, ear: Listener) -> None:
        self._open = open_
        self._ear = ear

    @classmethod
    async def to(cls, x: Exchange, run_id: str, *, again: bool = False) -> Return:
        """Listen for who comes back to this run; `again`: this is somebody who does."""
        signals, topic = await x.agent.container.get(Signals), f"mcp:back:{run_id}"
        if again:
            signals.send(topic)
        stack = ExitStack()
        return cls(stack, stack.enter_context(signals.listen(topic)))

    def wait(self, gone: Callable[[], object]) -> None:
        """The stream is lost: call `gone` unless somebody comes back to the run in a while."""

        async def waited() -> None:
            with self._open:
                if not await self._ear.heard(WAIT_SECONDS):
                    gone()

        task = asyncio.create_task(waited())
        _waiting.add(task)
        task.add_done_callback(_waiting.discard)

    def close(self) -> None:
        """Nobody has to be waited for."""
        self._open.close()
