"""How the tool servers are doing, for operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from core.health import Health, HealthState
from core.resilience import TargetStatus
from nodes.mcp_tools.models import ServerState, ServerStatus
from nodes.mcp_tools.plugins import Inventory

_NAMED = 3  # of what was left out; the details name more
_AWAY = (ServerState.DOWN, ServerState.RESTARTING)


def health_of(
    servers: Mapping[str, ServerStatus], breakers: Mapping[str, TargetStatus], inventory: Inventory
) -> Health:
    """Degraded while a server is away, left alone or left out, or a plugin is broken; since the first.

    A plugin that waits to be allowed is told, and degrades nothing: it is as it should be.

    Args:
        breakers: By server; a server that was never called has none.
    """
    broken = {p.name: p.problem for p in inventory.plugins if p.problem and not p.waiting}
    details = {
        "servers": {name: {**s.as_json(), **_breaker(breakers.get(name))} for name, s in servers.items()},
        "broken_plugins": broken,
        "waiting_plugins": {p.name: p.problem for p in inventory.plugins if p.waiting},
        "left_out": dict(inventory.unusable),
        "remarks": remarks_of(inventory),
    }
    troubles = sorted(_troubles(servers, breakers), key=lambda found: found[1])
    reasons = [f"{what} (since {since:%H:%M:%S} UTC)" for what, since in troubles]
    reasons += [f"server '{name}' is left out: {why}" for name, why in inventory.unusable.items()]
    reasons += [f"plugin '{name}' is broken: {problem}" for name, problem in broken.items()]
    state = HealthState.DEGRADED if reasons else HealthState.HEALTHY
    # Not a fault of the service: what is left works, and nobody here can mend somebody else's tool.
    reasons += [f"server '{name}': {_first(s.left_out)}" for name, s in servers.items() if s.left_out]
    return Health(state, "; ".join(reasons), troubles[0][1] if troubles else None, details)


def remarks_of(inventory: Inventory) -> dict[str, list[str]]:
    """What was passed over in mcp.json, as sentences by server."""
    return {
        name: [f"{remark.key}: {remark.message}" for remark in remarks]
        for name, remarks in inventory.remarks.items()
    }


def _first(left_out: Sequence[str]) -> str:
    more = len(left_out) - _NAMED
    return "; ".join(left_out[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _breaker(target: TargetStatus | None) -> dict[str, str]:
    if target is None:
        return {"breaker": "closed"}
    return {"breaker": target.state, "breaker_since": target.since.isoformat()}


def _troubles(
    servers: Mapping[str, ServerStatus], breakers: Mapping[str, TargetStatus]
) -> Iterator[tuple[str, datetime]]:
    for name, server in servers.items():
        if server.state in _AWAY:
            yield f"server '{name}' is {server.state.value}: {server.last_error}", server.since
        breaker = breakers.get(name)
        if breaker is not None and breaker.state != "closed":
            yield f"server '{name}' is left alone: {breaker.reason}", breaker.since
