"""The step that decides who may use what in this turn."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import RunContext, context_of
from core.choices import checked
from nodes.config.lookup import ConfigLookup


class Reads(TypedDict, total=False):
    """Nothing but the run's context decides; an earlier `config` is replaced."""

    config: dict[str, Any]


class Writes(TypedDict):
    config: dict[str, Any]


class LookupConfig:
    """Checks again at execution what was checked when the request came: rights may have changed."""

    only_looks = True

    def __init__(self, lookup: ConfigLookup) -> None:
        self._lookup = lookup

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Writes:
        context = checked(context_of(runtime))
        config = self._lookup.resolve(context.principal, context)
        runtime.stream_writer(
            {
                "type": "config",
                "model": config.model,
                "tools": self._lookup.tool_names(config),
                "sources": list(config.sources),
            }
        )
        return {"config": {**config.as_json(), "servers": list(config.servers)}}
