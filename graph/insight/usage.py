"""How the steps of the graph are used: how often each ran, how long it took, and how often it failed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.steps import PARTS
from graph.db.tables import runs
from graph.flow.steps import Steps
from graph.insight.listing import Wanted

# The newest runs are looked at: what was long ago tells nothing of the graph of now.
RUNS = 1000
_CALM = frozenset({"ok", "interrupted", "cancelled", ""})


async def usage(engine: AsyncEngine, wanted: Wanted) -> tuple[int, dict[str, dict[str, Any]]]:
    """How many of the newest runs were looked at, and per step what they say.

    Of each step `count`, `errors`, and in milliseconds `median_ms`, `p95_ms` and `longest_ms`.
    """
    known = wanted.clause() & runs.c.steps.is_not(None)
    query = select(runs.c.steps).where(known).order_by(runs.c.created_at.desc()).limit(RUNS)
    async with engine.connect() as db:
        found = list((await db.execute(query)).scalars())
    times: defaultdict[str, list[float]] = defaultdict(list)
    errors: defaultdict[str, int] = defaultdict(int)
    for step in (one for steps in found for one in steps or ()):
        if step["ms"] is not None:
            times[step["name"]].append(step["ms"])
        errors[step["name"]] += step["end"] not in _CALM
    return len(found), {name: _figures(taken, errors[name]) for name, taken in times.items()}


def _figures(taken: list[float], errors: int) -> dict[str, Any]:
    taken.sort()
    return {
        "count": len(taken),
        "errors": errors,
        "median_ms": taken[len(taken) // 2],
        "p95_ms": taken[min(int(len(taken) * 0.95), len(taken) - 1)],
        "longest_ms": taken[-1],
    }


NEVER = {"count": 0, "errors": 0, "median_ms": None, "p95_ms": None, "longest_ms": None}


def drawn(graph: Any, steps: Steps, used: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The graph for whoever draws it: nodes with their figures, and edges.

    Args:
        graph: What `get_graph()` of the compiled graph gives.
    """
    levels = layers(graph)
    rows: defaultdict[int, list[str]] = defaultdict(list)
    for name, level in levels.items():
        rows[level].append(name)
    nodes = []
    for name, level in levels.items():
        placed = steps.by_name.get(name)
        nodes.append(
            {
                "id": name,
                "name": name.strip("_"),
                "part": placed.part if placed else None,
                "main": bool(placed and placed.main),
                "level": level,
                "place": rows[level].index(name),
                "beside": len(rows[level]),
                "figures": used.get(name, NEVER) if placed else None,
            }
        )
    edges = [{"from": e.source, "to": e.target, "conditional": bool(e.conditional)} for e in graph.edges]
    return {"parts": list(PARTS), "nodes": nodes, "edges": edges}


def layers(graph: Any) -> dict[str, int]:
    """How many steps each node is from the start, the end below all."""
    first = graph.first_node()
    found = {first.id if first else next(iter(graph.nodes)): 0}
    queue = list(found)
    while queue:
        node = queue.pop(0)
        for edge in graph.edges:
            if edge.source == node and edge.target not in found:
                found[edge.target] = found[node] + 1
                queue.append(edge.target)
    return found
