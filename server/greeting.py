"""What is printed when the service is ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dishka import AsyncContainer

from core.installed import command
from core.settings.roles import RoleSettings
from nodes.rag import RAGClient


class Serving(Protocol):
    """An agent, or modules apart from one."""

    @property
    def container(self) -> AsyncContainer: ...

    def has(self, module: str) -> bool: ...


async def source_summaries(agent: Serving) -> list[tuple[str, str]]:
    """(name, what it holds and what is left out of it) of each source that is switched on."""
    if not agent.has("rag"):
        return []
    rag = await agent.container.get(RAGClient)
    entries = rag.entries()
    return [(found.source, found.summary()) for found in await rag.stats() if entries[found.source].enabled]


def greeting(base: str, sources: Sequence[tuple[str, str]] = (), *, console: bool = True) -> str:
    """Where everything is, what the sources hold, and what to try.

    Args:
        console: Its pages are served.
    """
    post = "-H 'content-type: application/json' -d"
    pages = f"  console      {base}/\n" if console else ""
    return f"""Waystation is ready at {base}

{pages}  playground   {base}/agent/playground/
  chat         {base}/chat/playground/
  API          {base}/docs
  health       {base}/health
{_listed(sources)}
Three things to try in another shell:
  curl -s {base}/agent/invoke {post} '{{"input": {{"message": "What is 5 + 3?"}}}}'
  curl -sN {base}/agent/stream {post} '{{"input": {{"message": "How do I add a tool?"}}}}'
  {command()} ask "What time is it in Tokyo?"

Stop it with Ctrl-C."""


def greeting_worker(base: str, settings: RoleSettings) -> str:
    """The same for a worker."""
    tags = f", of the tags {', '.join(settings.tags)}" if settings.tags else ""
    return f"""Waystation is ready at {base}

  worker       executes {" and ".join(settings.executes)}{tags}; up to {settings.runs_at_once} runs at once
  health       {base}/health
  metrics      {base}/metrics

Stop it with Ctrl-C: what runs is finished, or given to another worker."""


def greeting_apart(base: str, modules: Sequence[str], sources: Sequence[tuple[str, str]] = ()) -> str:
    """The same for modules without turns."""
    return f"""Waystation is ready at {base}

  modules      {", ".join(modules)}; no turns are answered here
  API          {base}/docs
  health       {base}/health
{_listed(sources)}
Stop it with Ctrl-C."""


def _listed(sources: Sequence[tuple[str, str]]) -> str:
    if not sources:
        return ""
    lines = [f"  source       {name}: {told}" for name, told in sources]
    return "\n".join(["", *lines, ""])
