"""Make a call once, whatever happens to the attempt that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph.errors import GraphInterrupt

from nodes.mcp_tools.executor import Target, ToolExecutor
from nodes.mcp_tools.models import Ask, ExecutionContext, Progress, ToolOutcome
from nodes.mcp_tools.ports import Receipts


class CallsOnce:
    """Notes each call before it is made and keeps its outcome after it."""

    def __init__(self, executor: ToolExecutor, receipts: Receipts) -> None:
        self._executor = executor
        self._receipts = receipts

    async def make(
        self,
        call: Mapping[str, Any],
        context: ExecutionContext,
        target: Target,
        progress: Progress,
        ask: Ask | None = None,
        *,
        decision: Mapping[str, Any] | None = None,
    ) -> ToolOutcome:
        """The outcome of the call, of an earlier attempt where that one had made it.

        A call that an earlier attempt began and did not finish is made again
        only where its tool is repeatable; any other ends as unknown. One that ends
        with a question for a person is forgotten: with the answer it is made again.

        Args:
            decision: What a person decided of it; kept with the outcome.
        """
        receipt = await self._receipts.begin(context)
        if receipt.outcome:
            return receipt.outcome
        if receipt.begun and not (target.tool and target.tool.repeatable):
            return replace(self._executor.unknown(call, context, target), decision=decision)
        try:
            outcome = await self._executor.execute(call, context, progress=progress, ask=ask)
        except GraphInterrupt:
            await self._receipts.forget(context)
            raise
        outcome = replace(outcome, decision=decision)
        await self._receipts.end(context, outcome)
        return outcome
