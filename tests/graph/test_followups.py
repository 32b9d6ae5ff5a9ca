"""Follow-up questions in turns: searched for with what was said before, by a rule or by a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graph import Agent
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, say

GUIDE = """# Guide

## Berths

A berth costs twelve euros a night in summer. In winter a berth costs seven euros a night.

## Winter storage

Sails are dried in the hall. The hall is heated in winter from November on.

## Dogs

Dogs are welcome on every pier and are kept on a leash.
"""
FIRST, THEN = "What does a berth cost?", "And in winter?"


async def documents(agent: Agent, *questions: str, thread: str = "t") -> list[dict[str, Any]]:
    """The event `documents` of the last turn."""
    events: list[dict[str, Any]] = []
    for question in questions:
        events = [event async for event in agent.stream(question, thread=thread)]
        assert events[-1]["status"] == "done"
    return [event for event in events if event["type"] == "documents"]


def guide(folder: Path) -> dict[str, str]:
    (folder / "guide").mkdir()
    (folder / "guide" / "guide.md").write_text(GUIDE)
    return {"sources.yaml": "guide: {path: ../guide, chunk_tokens: 20}\n"}


async def test_the_offline_model_finds_what_the_question_alone_does_not(tmp_path: Path) -> None:
    titles = {}
    for rewrite in ("auto", "off"):
        folder = tmp_path / rewrite
        folder.mkdir()
        files = guide(folder)
        (folder / "config").mkdir()
        (folder / "config" / "sources.yaml").write_text(files["sources.yaml"])
        async with open_agent(folder, tools=(), rag={"rewrite": rewrite, "limit": 1}) as agent:
            (found,) = await documents(agent, FIRST, THEN)
            titles[rewrite] = (found["items"][0]["title"], found.get("searched"))
    assert titles["auto"] == ("Guide › Berths", f"{THEN}\n{FIRST}")
    assert titles["off"] == ("Guide › Winter storage", None)


async def test_a_model_says_what_to_search_for_and_is_asked_only_then(tmp_path: Path) -> None:
    files = guide(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sources.yaml").write_text(files["sources.yaml"])
    with ModelServer() as server:
        async with open_agent(tmp_path, model_url=server.url, tools=(), rag={"limit": 1}) as agent:
            server.script(
                say("Twelve euros [1]."), say("What does a berth cost in winter?"), say("Seven [1].")
            )
            (first,) = await documents(agent, FIRST)
            asked = len(server.requests())
            (then,) = await documents(agent, THEN)
            server.script(say("Yes [1]."))
            (alone,) = await documents(agent, "Are dogs welcome on the pier?")
            sent = server.requests()
    assert "searched" not in first
    assert asked == 1
    assert (then["searched"], then["items"][0]["title"]) == (
        "What does a berth cost in winter?",
        "Guide › Berths",
    )
    assert "searched" not in alone
    assert len(sent) == 4
