"""Callers that go away at any moment cost the others nothing."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from graph import Agent
from waystation.testing.agents import context_at

ROUNDS = 6
PATIENCE_S = 30.0


async def test_callers_that_vanish_while_turns_begin_and_run_lock_nobody_out(tmp_path: Path) -> None:
    dice = random.Random(1)  # noqa: S311 - the same moments in every run
    context = context_at(tmp_path, mcp={"bundled": False})
    async with Agent.open(context) as agent:

        async def vanish(number: int, seconds: float) -> None:
            try:
                async with asyncio.timeout(seconds):
                    async for _ in agent.stream("hello", thread=f"gone{number}", user=f"u{number}"):
                        pass
            except TimeoutError:
                pass

        for lap in range(ROUNDS):
            await asyncio.gather(*(vanish(10 * lap + n, dice.uniform(0, 0.15)) for n in range(8)))
            async with asyncio.timeout(PATIENCE_S):
                replies = await asyncio.gather(*(agent.ask("hello", user=f"v{n}") for n in range(4)))
            assert [reply["status"] for reply in replies] == ["done"] * 4
        for number in range(8):
            reply = await agent.ask("and again", thread=f"gone{number}", user=f"u{number}")
            assert reply["status"] == "done"
