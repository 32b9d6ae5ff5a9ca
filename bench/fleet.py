"""The systems side by side: how each is started, how it is asked for a turn, and how its answer is read."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import orjson

from bench.load import Answer, Line, Reading, Slice, Took, Turn, TurnFailed, load
from bench.processes import HERE, Checkout, cpu_of, memory_of, running, wait_until_ready, written_of
from bench.systems import tool
from bench.systems.model import ANSWER
from waystation.testing.postgres import PostgresServer
from waystation.testing.service import free_port

QUESTION = "What is 19 + 23?"
# What is done behind the last answer belongs to the turns too.
SETTLE_SECONDS = 0.1
# One user has all the turns, and one endpoint and one tool server take them all.
CAPS = {
    "WAYSTATION_LIMITS__STREAMS_PER_USER": "2000",
    "WAYSTATION_LIMITS__THREADS_PER_USER": "0",
    "WAYSTATION_RESILIENCE__MODEL__AT_ONCE": "2000",
    "WAYSTATION_RESILIENCE__SERVER__AT_ONCE": "2000",
}


class System(Protocol):
    """Something that takes turns."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int: ...

    async def turns(self, at_once: int, turns: int, label: str) -> list[Took]:
        """So many turns, so many at a time, on threads whose names begin with `label`."""


async def measured(
    system: System, at_once: int, turns: int, label: str, *, storage: int | None = None
) -> Slice:
    """A slice of a system's turns, with what it used; every answer is held against what must come.

    Args:
        storage: The process of its database server.
    """
    peak = asyncio.create_task(_peak(system.pid))
    cpu, stored = cpu_of(system.pid), cpu_of(storage) if storage else 0.0
    written = written_of(system.pid)
    begun = time.perf_counter()
    found = await system.turns(at_once, turns, label)
    seconds = time.perf_counter() - begun
    await asyncio.sleep(SETTLE_SECONDS)
    cpu, stored = cpu_of(system.pid) - cpu, (cpu_of(storage) if storage else 0.0) - stored
    written = written_of(system.pid) - written
    peak.cancel()
    grown = (await asyncio.gather(peak, return_exceptions=True))[0]
    assert isinstance(grown, int)
    wrong = [turn.said for turn in found if turn.said is not None and turn.said != ANSWER]
    return Slice(found, cpu, stored, seconds, grown, wrong, written)


async def _peak(pid: int) -> int:
    before = peak = memory_of(pid)
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.2)
            peak = max(peak, memory_of(pid))
    return peak - before


@dataclass(frozen=True, slots=True)
class Served:
    """A system behind HTTP."""

    name: str
    pid: int
    port: int
    turn: Turn
    read: Reading

    async def turns(self, at_once: int, turns: int, label: str) -> list[Took]:
        return await load(self.port, self.turn, self.read, at_once=at_once, turns=turns, label=label)


@dataclass(frozen=True, slots=True)
class InProcess:
    """A system that turns in its own process, told how many by a line."""

    name: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    async def turns(self, at_once: int, turns: int, label: str) -> list[Took]:
        line = await asyncio.to_thread(self._ask, json.dumps({"at_once": at_once, "turns": turns}))
        return [Took(*turn) for turn in json.loads(line)]

    def _ask(self, line: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


async def ask_proxy(line: Line, thread: str) -> Answer:
    return await line.ask("POST", "/stream", {"message": QUESTION})


def said_by_proxy(answer: Answer) -> str:
    return b"".join(re.findall(rb'"delta":"([^"]*)"', answer.body)).decode()


async def ask_naive(line: Line, thread: str) -> Answer:
    body = {"input": {"messages": [{"type": "human", "content": QUESTION}]}}
    return await line.ask("POST", "/agent/stream_events", body, {"x-thread": thread})


def said_by_naive(answer: Answer) -> str:
    lines = [line[6:] for line in answer.body.split(b"\r\n") if b'"on_chat_model_stream"' in line]
    return "".join(str(orjson.loads(line)["data"]["chunk"]["content"]) for line in lines)


def _body(thread: str) -> dict[str, object]:
    return {"input": {"message": QUESTION}, "config": {"configurable": {"thread_id": thread}}}


async def ask_stream(line: Line, thread: str) -> Answer:
    return await line.ask("POST", "/agent/stream", _body(thread))


def said_in_events(answer: Answer) -> str:
    """What the tokens say, where the last event says the same.

    Raises:
        TurnFailed: The last event is an error, with its code.
    """
    lines = [line[6:] for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    events = [orjson.loads(line) for line in lines]
    if events[-1]["type"] == "error":
        raise TurnFailed(events[-1]["code"])
    # `text` is what it was called once.
    tokens = [event.get("delta", event.get("text")) for event in events if event["type"] == "token"]
    said, told = "".join(tokens), events[-1].get("answer", events[-1])
    return said if said == told else f"the tokens say {said!r} and the end {told!r}"


async def ask_invoke(line: Line, thread: str) -> Answer:
    """An answer that comes whole: its first token is its end."""
    answer = await line.ask("POST", "/agent/invoke", _body(thread))
    return replace(answer, first=time.perf_counter())


def said_in_reply(answer: Answer) -> str:
    return str(orjson.loads(answer.body)["output"]["answer"])


async def ask_run(line: Line, thread: str) -> Answer:
    """A run in the background, and its events."""
    begun = await line.ask("POST", f"/threads/{thread}/runs", {"input": {"message": QUESTION}})
    if begun.status != 202:
        return begun
    return await line.ask("GET", f"/runs/{orjson.loads(begun.body)['run_id']}/events")


def waystation_ways(name: str, pid: int, port: int) -> dict[str, Served]:
    """The three ways to ask Waystation for a turn."""
    return {
        "stream": Served(name, pid, port, ask_stream, said_in_events),
        "invoke": Served(f"{name}, invoke", pid, port, ask_invoke, said_in_reply),
        "runs": Served(f"{name}, runs", pid, port, ask_run, said_in_events),
    }


@contextmanager
def proxy(model: str, folder: Path) -> Iterator[Served]:
    """The floor."""
    port = free_port()
    with _served(HERE, ["-m", "bench.systems.proxy", model, str(port)], (folder, port, "docs")) as pid:
        yield Served("proxy", pid, port, ask_proxy, said_by_proxy)


@contextmanager
def naive(model: str, folder: Path) -> Iterator[Served]:
    """LangServe on the graph."""
    port = free_port()
    words = ["-m", "bench.systems.naive", model, str(port), str(folder / "naive.db")]
    with _served(HERE, words, (folder, port, "docs")) as pid:
        yield Served("naive LangServe", pid, port, ask_naive, said_by_naive)


@contextmanager
def bare(model: str, folder: Path) -> Iterator[InProcess]:
    """The graph alone."""
    with running(["-m", "bench.systems.bare", model], HERE, folder / "bare.log", {}, talks=True) as process:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError((folder / "bare.log").read_text()[-3000:])
        yield InProcess("bare graph", process)


@contextmanager
def waystation(
    checkout: Checkout,
    model: str,
    folder: Path,
    env: Mapping[str, str] | None = None,
    *,
    caps: Mapping[str, str] = CAPS,
) -> Iterator[tuple[int, int]]:
    """A service of a checkout, in a folder of its own: its process and its port.

    Args:
        env: More of its settings.
        caps: Its limits, where they are not as they come.
    """
    folder.mkdir()
    write_config(folder)
    port = free_port()
    given = {**settings(model, folder, caps), **(env or {})}
    words = ["-m", "waystation", "serve", "--port", str(port)]
    with _served(checkout, words, (folder, port, "health/ready"), given) as pid:
        yield pid, port


def write_config(folder: Path) -> None:
    """A configuration with one tool server and no source."""
    config = folder / "config"
    config.mkdir()
    server = {"command": sys.executable, "args": ["-S", "-E", str(tool.__file__)]}
    (config / "mcp.json").write_text(json.dumps({"mcpServers": {"calc": server}}))


def settings(model: str, folder: Path, caps: Mapping[str, str] = CAPS) -> dict[str, str]:
    """The environment of a Waystation in `folder`, on the model at `model`."""
    return {
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "bench",
        "WAYSTATION_HOME": str(folder / "home"),
        "WAYSTATION_CONFIG_DIR": str(folder / "config"),
        "WAYSTATION_MCP__BUNDLED": "false",
        **caps,
    }


def stored_on(server: PostgresServer) -> dict[str, str]:
    """The setting of a service that stores in a new database of a server."""
    url = server.create_database(empty=True).render_as_string(hide_password=False)
    return {"WAYSTATION_STORAGE__URL": url.replace("+psycopg", "")}


@contextmanager
def _served(
    checkout: Checkout, words: list[str], place: tuple[Path, int, str], env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """The process of a server that logs into a folder and listens on a port, when a path of it answers."""
    folder, port, path = place
    log = folder / f"{port}.log"
    with running(words, checkout, log, env or {}) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/{path}", process, log)
        yield process.pid
