"""Which models can be used now: what their endpoints say, and what their breakers saw."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.errors import WaystationError
from core.health import Health, HealthState, healthy
from core.resilience import Policies, TargetStatus
from nodes.llm.connections import Connections
from nodes.llm.models import Model

PING_SECONDS = 3.0


class ModelHealth:
    """Asks endpoints for their list of models, which spends no token, and reads the breakers.

    The list that is kept for "the first model of the endpoint" is of no use
    here: it would hide for minutes that an endpoint is gone, or is back.

    Args:
        policies: Whose breakers the models have.
    """

    def __init__(self, connections: Connections, policies: Policies) -> None:
        self._connections = connections
        self._policies = policies
        # Endpoints that did not answer, and have not been used since: since when.
        self._gone: dict[str, datetime] = {}

    async def check(self, models: Mapping[str, Model], *, default: str) -> Health:
        """Degraded while a model is out of reach or left alone; names it, and since when.

        Failed only when no endpoint answers at all. An open breaker is no
        reason to take the service out of use: the next call may close it.
        """
        answers = await self.ping(models)
        breakers = {t.name: t for t in self._policies.status() if t.kind == "model" and t.state != "closed"}
        found = {name: self._state_of(name, answers[name], breakers.get(name)) for name in models}
        details = {"default": default, "models": found}
        reasons = [one["reason"] for one in found.values() if one["reason"]]
        if not reasons:
            return healthy(**details)
        state = HealthState.FAILED if all(answers.values()) else HealthState.DEGRADED
        since = min(datetime.fromisoformat(one["since"]) for one in found.values() if one["since"])
        return Health(state, "; ".join(reasons), since, details)

    async def ping(self, models: Mapping[str, Model]) -> dict[str, str]:
        """What is wrong with the endpoint of each model; "" where it answers."""
        found = await asyncio.gather(*(self._ask(model) for model in models.values()))
        return dict(zip(models, found, strict=True))

    async def _ask(self, model: Model) -> str:
        if model.entry and model.entry.api_key_source == "user":
            return ""
        reason = await self._asked(model)
        if reason:
            self._gone.setdefault(model.name, datetime.now(UTC))
        return reason

    async def _asked(self, model: Model) -> str:
        connection = self._connections.of(model)
        try:
            async with asyncio.timeout(PING_SECONDS):
                await connection.ping()
                # Without a turn nobody else would find out that it can be used again.
                if model.name in self._gone and await connection.returned():
                    del self._gone[model.name]
        except TimeoutError:
            return f"the endpoint of the model '{model.name}' did not answer within {PING_SECONDS:g} s"
        except WaystationError as error:
            return error.detail
        return ""

    def _state_of(self, name: str, answer: str, breaker: TargetStatus | None) -> dict[str, Any]:
        reasons, since = [], []
        if answer:
            since.append(self._gone[name])
            reasons.append(f"{answer}, since {_clock(since[-1])}")
        if breaker:
            since.append(breaker.since)
            reasons.append(
                f"the model '{name}' is left alone since {_clock(breaker.since)}: {breaker.reason}"
            )
        return {
            "reachable": not answer,
            "breaker": breaker.state if breaker else "closed",
            "since": min(since).isoformat() if since else None,
            "reason": "; ".join(reasons),
        }


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"
