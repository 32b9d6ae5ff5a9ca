"""Agents for tests: real modules, real tool servers, a temporary home, and no key unless one is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dishka import Provider

from core.settings import Context, Places
from core.steps import Step
from graph import Agent
from nodes.mcp_tools.plugins import BUNDLED as TOOLS

# The model that finds by meaning takes a core for a second, in each agent with an index of its own.
_QUICK = {"WAYSTATION_RAG__SEARCH": "words"}
BUNDLED = frozenset(manifest.parent.name for manifest in TOOLS.glob("*/plugin.json"))
HANDBOOK = """# Harbour handbook

## Berths

A berth is reserved for fourteen days at most. The harbour master may extend a reservation once.

## Fees

Boats under eight metres pay twelve euros a night. Electricity is included in the fee.
"""

SOURCES = """harbour:
  type: local
  path: {path}
  description: How the harbour works.
"""


def write_config(folder: Path, *, sources: bool = True, files: Mapping[str, str] | None = None) -> Path:
    """A configuration folder with the source `harbour` (one small document) and whatever else is given."""
    config = folder / "config"
    config.mkdir(parents=True)
    if sources:
        documents = folder / "harbour"
        documents.mkdir()
        (documents / "handbook.md").write_text(HANDBOOK)
        (config / "sources.yaml").write_text(SOURCES.format(path="../harbour"))
    for name, text in (files or {}).items():
        (config / name).write_text(text)
    return config


def context_at(
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    tools: Collection[str] = ("calculator",),
    **overrides: Mapping[str, Any],
) -> Context:
    """A context on a new configuration folder, with an environment of its own.

    Args:
        environ: That environment; searches are by words unless it, or `rag`, says otherwise.
        tools: Which bundled tool servers run: each is a process that takes most of a second to start.
    """
    disabled = sorted(BUNDLED - set(tools))
    overrides["mcp"] = {"disabled": disabled, **overrides.get("mcp", {})}
    config = folder / "config"
    if not config.exists():
        write_config(folder, files=files)
    return Context(Places(config, folder / "home"), {**_QUICK, **(environ or {})}, overrides)


@asynccontextmanager
async def open_agent(
    folder: Path,
    *,
    model_url: str | None = None,
    files: Mapping[str, str] | None = None,
    providers: Sequence[Provider] = (),
    steps: Sequence[Step] = (),
    tools: Collection[str] = ("calculator",),
    **overrides: Mapping[str, Any],
) -> AsyncIterator[Agent]:
    """An open agent: on the offline model, or on the endpoint at `model_url`; `providers` override."""
    environ = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "test"} if model_url else {}
    context = context_at(folder, environ=environ, files=files, tools=tools, **overrides)
    async with Agent.open(context, providers=providers, steps=steps) as agent:
        yield agent
