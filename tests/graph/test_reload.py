"""Files change while turns run: a turn finishes on what it began with, the next one has the new."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.errors import Unavailable
from core.events import EventBus, record
from core.health import HealthState
from core.resilience import BreakerClosed, Kind, Policies, Policy
from core.settings.platform import LimitSettings
from graph import Agent
from graph.errors import StepLimit
from nodes.config.watch import ConfigWatcher
from nodes.mcp_tools import MCPToolManager
from nodes.rag import RAGClient
from tests.kit.events import check_stream
from waystation.testing.agents import BUNDLED, open_agent, write_config
from waystation.testing.mcp_servers import PEER, is_running, until
from waystation.testing.model_server import ModelServer, call, say

QUICK = {"quiet_s": 0.05, "every_s": 1}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ModelServer, ModelServer]]:
    with ModelServer(default="I am old.") as old, ModelServer(default="I am new.") as new:
        yield old, new


@pytest.fixture
def old_and_new(servers: tuple[ModelServer, ModelServer]) -> tuple[ModelServer, ModelServer]:
    for server in servers:
        server.reset()
    return servers


def models(**urls: str) -> str:
    """models.yaml in JSON, which is YAML."""
    return json.dumps({"models": {n: {"model_name": n, "model_url": url} for n, url in urls.items()}})


def save(path: Path, text: str) -> None:
    """Like an editor: a new file takes the place of the old."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text)
    draft.replace(path)


async def swapped(agent: Agent, *, above: int) -> None:
    await until(lambda: agent.editions.newest.number > above)


async def collected(agent: Agent, message: str, began: asyncio.Event | None = None) -> list[dict[str, Any]]:
    """A turn's events; `began` is set with the first token."""
    found = []
    async for event in agent.stream(message):
        found.append(event)
        if began and event["type"] == "token":
            began.set()
    return found


async def pids(agent: Agent) -> dict[str, int | None]:
    manager = await agent.container.get(MCPToolManager)
    return {name: status.pid for name, status in manager.status().items()}


async def test_a_turn_finishes_on_the_model_and_tools_it_began_with(
    tmp_path: Path, old_and_new: tuple[ModelServer, ModelServer]
) -> None:
    old, new = old_and_new
    apart: dict[str, dict[str, Any]] = {"clock": {"env": {}}, "tables": {"env": {}}}  # a process of its own
    servers = json.dumps({"mcpServers": apart})
    write_config(tmp_path, sources=False, files={"models.yaml": models(main=old.url), "mcp.json": servers})
    old.script({**say("Wait for it"), "hang_after": 1}, match="slow")
    async with open_agent(tmp_path, tools=BUNDLED, reload=QUICK, llm={"default_model": "main"}) as agent:
        config = tmp_path / "config"
        await agent.ask("hello")
        before = await pids(agent)
        began = asyncio.Event()
        running = asyncio.create_task(collected(agent, "slow", began))
        async with asyncio.timeout(20):
            await began.wait()
        save(config / "models.yaml", models(main=new.url))
        await swapped(agent, above=1)
        save(
            config / "mcp.json",
            json.dumps({"mcpServers": {"clock": {"env": {}, "timeout_s": 7}, "tables": {"enabled": False}}}),
        )
        await swapped(agent, above=2)
        assert (await agent.ask("hello"))["answer"] == "I am new."
        during = await pids(agent)
        assert set(during) == {"calculator", "clock"}
        assert during["calculator"] == before["calculator"]
        manager = await agent.container.get(MCPToolManager)
        await manager.tools("clock")
        assert (await pids(agent))["clock"] != before["clock"]
        assert before["tables"] is not None
        assert is_running(before["tables"])
        old.script(say("It is 8."), match="slow")
        old.release()
        events = await running
        check_stream(events)
        assert events[-1]["answer"].startswith("Wait")
        gone = [before["tables"], before["clock"]]
        await until(lambda: not any(is_running(pid) for pid in gone if pid))


async def test_a_tool_that_was_switched_off_is_still_called_by_the_turn_that_began_before(
    tmp_path: Path, old_and_new: tuple[ModelServer, ModelServer]
) -> None:
    model, _ = old_and_new
    model.script({**call("calculator_add", {"a": 5, "b": 3}), "text": "Let me see", "hang_after": 1})
    write_config(tmp_path, sources=False)
    async with open_agent(tmp_path, tools=BUNDLED, model_url=model.url, reload=QUICK) as agent:
        began = asyncio.Event()
        running = asyncio.create_task(collected(agent, "add", began))
        async with asyncio.timeout(20):
            await began.wait()
        off = {"mcpServers": {"calculator": {"enabled": False}}}
        save(tmp_path / "config" / "mcp.json", json.dumps(off))
        save(tmp_path / "config" / "waystation.yaml", "limits: {tool_calls: 1, steps: 1}")
        await swapped(agent, above=1)
        await until(lambda: agent.editions.newest.book[LimitSettings].steps == 1)
        model.script(say("It is 8."))
        model.release()
        events = await running
        (used,) = events[-1]["tool_calls"]
        assert (used["tool"], used["status"], events[-1]["answer"]) == ("add", "ok", "It is 8.")
        model.script(call("calculator_add", {"a": 5, "b": 3}))
        with pytest.raises(StepLimit, match="1 steps"):
            await agent.ask("add again")
        assert set(await pids(agent)) == {"clock", "tables"}


async def test_a_new_source_is_indexed_while_turns_go_on(tmp_path: Path) -> None:
    async with open_agent(tmp_path, tools=BUNDLED, reload=QUICK) as agent:
        documents = tmp_path / "kites"
        documents.mkdir()
        (documents / "kites.md").write_text(
            "# Kites\n\n## Tails\n\nA kite of two metres needs a tail of six.\n"
        )
        both = {"harbour": {"path": "../harbour"}, "kites": {"path": "../kites"}}
        save(tmp_path / "config" / "sources.yaml", json.dumps(both))
        await swapped(agent, above=1)
        rag = await agent.container.get(RAGClient)

        async def found() -> bool:
            answer = await rag.query("kite tail", sources=["kites"], principal=Principal("local"))
            return bool(answer.passages)

        async with asyncio.timeout(30):
            while not await found():  # noqa: ASYNC110 - an index that fills in the background has no event
                await asyncio.sleep(0.02)
        save(tmp_path / "config" / "sources.yaml", json.dumps({"kites": {"path": "../kites"}}))
        await swapped(agent, above=2)
        events = [event async for event in agent.stream("How long is the tail of a kite?")]
        (config,) = [event for event in events if event["type"] == "config"]
        assert config["sources"] == ["kites"]


async def test_a_bad_edit_shows_in_the_health_until_it_is_repaired(tmp_path: Path) -> None:
    write_config(tmp_path, sources=False)
    async with open_agent(tmp_path, tools=BUNDLED, reload=QUICK) as agent:
        watcher = await agent.container.get(ConfigWatcher)
        config = tmp_path / "config"
        save(config / "waystation.yaml", "llm:\n  default_model: gone\n")
        await until(lambda: watcher.rejection is not None)
        health = await watcher.check()
        assert health.state is HealthState.DEGRADED
        assert "waystation.yaml:2: llm.default_model: there is no model 'gone'" in health.reason
        save(config / "mcp.json", '{"mcpServers": {},\n"mcpServers": {}}')
        save(config / "waystation.yaml", "")
        problem = "mcp.json:2: has the key 'mcpServers' twice"
        await until(lambda: problem in str(watcher.rejection and watcher.rejection.problems[0]))
        assert agent.editions.newest.number == 1
        assert (await agent.ask("What is 5 + 3?"))["status"] == "done"
        save(config / "mcp.json", "{}")
        await until(lambda: watcher.rejection is None)
        assert (await watcher.check()).state is HealthState.HEALTHY


async def test_a_breaker_of_what_was_removed_does_not_stay_open(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    files = {
        "models.yaml": models(gone=f"{nowhere}/v1", kept=f"{nowhere}/v1"),
        "sources.yaml": json.dumps({"gone": {"type": "http", "url": nowhere}}),
        "mcp.json": json.dumps({"mcpServers": {"gone": {"url": f"{nowhere}/mcp"}}}),
    }
    write_config(tmp_path, sources=False, files=files)
    targets: list[tuple[Kind, str]] = [
        ("model", "gone"),
        ("model", "kept"),
        ("source", "gone"),
        ("server", "gone"),
    ]
    async with open_agent(tmp_path, tools=BUNDLED, reload=QUICK) as agent:
        policies, bus = await agent.container.get(Policies), await agent.container.get(EventBus)
        for kind, name in targets:
            await open_breaker(policies.of(kind, name, attempts=1))
        with record(bus, BreakerClosed) as seen:
            save(tmp_path / "config" / "models.yaml", models(kept=f"{nowhere}/v1"))
            for name in ("sources.yaml", "mcp.json"):
                save(tmp_path / "config" / name, "{}")
            closed = await seen.wait_for(BreakerClosed, 3)
        assert sorted((e.kind, e.name) for e in closed) == [
            (k, "gone") for k in ("model", "server", "source")
        ]
        known = [(t.kind, t.name) for t in policies.status() if t.state != "closed"]
        assert known == [("model", "kept")]


async def open_breaker(policy: Policy) -> None:
    async def down() -> None:
        raise Unavailable("down")

    for _ in range(policy.settings.in_a_row):
        with suppress(Unavailable):
            await policy.call(down)


async def test_a_plugin_that_is_dropped_into_the_home_folder_is_a_server(tmp_path: Path) -> None:
    write_config(tmp_path, sources=False)
    plugin = tmp_path / "home" / "plugins" / "hats"
    async with open_agent(tmp_path, tools=BUNDLED, reload=QUICK) as agent:
        plugin.mkdir(parents=True)
        command = [sys.executable, "-P", str(PEER), "normal"]
        (plugin / "plugin.json").write_text(json.dumps({"name": "hats", "command": command}))
        await swapped(agent, above=1)
        manager = await agent.container.get(MCPToolManager)
        assert await manager.tools("hats")


async def test_files_edited_at_random_never_give_a_turn_half_a_configuration(
    tmp_path: Path, old_and_new: tuple[ModelServer, ModelServer]
) -> None:
    chance = random.Random(20)  # noqa: S311 - the same edits each time
    url = old_and_new[0].url
    files = {"models.yaml": models(m=url)}
    async with open_agent(
        tmp_path, tools=BUNDLED, files=files, reload={"quiet_s": 0.01, "every_s": 1}
    ) as agent:
        editor = Editor(tmp_path / "config", url, chance)
        edits = asyncio.create_task(editor.edit(100, agent))
        turns: list[asyncio.Task[list[dict[str, Any]]]] = []
        while len(turns) < 20:
            turns.append(asyncio.create_task(collected(agent, "What is 5 + 3?")))
            await asyncio.wait([turns[-1]], timeout=chance.uniform(0, 0.3))
        async with asyncio.timeout(60):
            await edits
            found = await asyncio.gather(*turns)
        for events in found:
            check_stream(events)
            assert events[-1]["type"] == "done", events[-1]
            (config,) = [event for event in events if event["type"] == "config"]
            servers = frozenset(name.partition("_")[0] for name in config["tools"])
            seen = (config["model"], tuple(config["sources"]))
            assert any(seen == (v.model, v.sources) and servers <= v.servers for v in editor.valid), config
        assert agent.editions.newest.number > 1
        watcher = await agent.container.get(ConfigWatcher)
        editor.repair()
        await until(lambda: watcher.rejection is None)


@dataclass(frozen=True)
class Valid:
    """What a turn may see of one valid state of the files."""

    model: str
    sources: tuple[str, ...]
    servers: frozenset[str]


class Editor:
    """Writes valid and invalid files over each other, and remembers every valid state there was."""

    def __init__(self, folder: Path, url: str, chance: random.Random) -> None:
        self._folder = folder
        self._url = url
        self._chance = chance
        self._good = {"models": True, "sources": True, "servers": True}
        self._now = Valid("m", ("harbour",), frozenset({"calculator", "clock", "tables"}))
        self.valid = [self._now]

    async def edit(self, times: int, agent: Agent) -> None:
        for n in range(times):
            kind = self._chance.choice(list(self._good))
            self._write(kind, n, good=self._chance.random() < 0.6)
            if n % 10 == 9:
                self.repair()
            await asyncio.sleep(self._chance.uniform(0, 0.08))

    def repair(self) -> None:
        """Every file is valid again."""
        for n, (kind, good) in enumerate(self._good.items()):
            if not good:
                self._write(kind, 1000 + n, good=True)

    def _write(self, kind: str, n: int, *, good: bool) -> None:
        name, text = getattr(self, f"_{kind}")(n) if good else self._bad(kind)
        self._good[kind] = good
        if all(self._good.values()):
            self.valid.append(self._now)  # before it is written: it may be seen at once
        path = self._folder / name
        if self._chance.random() < 0.5:
            save(path, text)
        else:
            path.write_text(text)

    def _models(self, n: int) -> tuple[str, str]:
        self._now = replace(self._now, model=f"m{n}")
        return "models.yaml", models(**{f"m{n}": self._url})

    def _sources(self, n: int) -> tuple[str, str]:
        names = ("harbour", f"s{n}") if n % 2 else (f"s{n}",)
        self._now = replace(self._now, sources=names)
        return "sources.yaml", json.dumps({name: {"path": "../harbour"} for name in names})

    def _servers(self, n: int) -> tuple[str, str]:
        off = ("clock", "tables")[n % 2]
        self._now = replace(self._now, servers=frozenset({"calculator", "clock", "tables"} - {off}))
        return "mcp.json", json.dumps({"mcpServers": {off: {"enabled": False}}})

    def _bad(self, kind: str) -> tuple[str, str]:
        bad = {
            "models": ("models.yaml", ["models: [}", "models: {a: {model_nam: x}}"]),
            "sources": ("sources.yaml", ["harbour: {pth: x}", "a: {type: nothing}"]),
            "servers": (
                "mcp.json",
                ['{"mcpServers": {"clock": {}', '{"mcpServers": {"clock": {}, "clock": {}}}'],
            ),
        }
        name, texts = bad[kind]
        return name, self._chance.choice(texts)
