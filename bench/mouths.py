"""CPU per turn of the service by the wire that it is asked over, in one run on the same model stub.

    python -m bench.mouths [--turns 300]

A turn is look-up, retrieval from no source, and one streamed answer of 50 tokens. Each way's ratio is
to `/agent/stream`; rounds are interleaved and the median is shown. The last way has no thread: its
client sends the conversation so far, three turns of it, and the service finds out where it goes on.
Beside them stands the tutorial's graph on `langgraph dev`, asked as `/langgraph` is.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx

from bench.systems.dev import dev_server
from bench.turn import ANSWER, Turn, measured, settings
from waystation.testing.model_server import ModelServer
from waystation.testing.service import Service

ROUNDS = 5
WARM = 10
FLOOR = "/agent/stream"
WIRE = "/langgraph"
PEER = "langgraph dev"
Ask = Callable[..., Awaitable[str]]


def asking(http: httpx.AsyncClient, url: str) -> Ask:
    """Posts a body to a path there, and gives the whole answer."""
    return partial(_asked, http, url)


def ways(http: httpx.AsyncClient, url: str) -> Mapping[str, Turn]:
    """The ways to ask for a turn, by what they are called."""

    ask = asking(http, url)

    async def agent(number: int) -> None:
        config = {"configurable": {"thread_id": f"a{number}"}}
        await ask(FLOOR, {"input": {"message": "hello"}, "config": config})

    def chat(said: list[dict[str, str]]) -> dict[str, Any]:
        return {"model": "waystation", "messages": said, "stream": True}

    async def completions(number: int) -> None:
        body = chat([{"role": "user", "content": "hello"}])
        await ask("/v1/chat/completions", body, {"x-thread-id": f"c{number}"})

    async def responses(number: int) -> None:
        body = {"model": "waystation", "input": "hello", "stream": True, "conversation": f"r{number}"}
        await ask("/v1/responses", body)

    async def langgraph(number: int) -> None:
        await wired(ask, "/langgraph", number)

    begun: list[dict[str, str]] = []

    async def remembered(number: int) -> None:
        # One turn of a conversation of three; the fourth begins another.
        if len(begun) >= 6:
            begun.clear()
        begun.append({"role": "user", "content": f"hello {number}" if not begun else "and then"})
        await ask("/v1/chat/completions", chat(begun))
        begun.append({"role": "assistant", "content": ANSWER})

    return {
        FLOOR: agent,
        "/v1/chat/completions": completions,
        "/v1/responses": responses,
        "/mcp": mcp_way(http, url),
        "/ag-ui": page(ask),
        WIRE: langgraph,
        "the same, without a thread": remembered,
    }


async def _asked(
    http: httpx.AsyncClient,
    url: str,
    path: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> str:
    async with http.stream("POST", f"{url}{path}", json=body, headers=headers) as answer:
        said = b"".join([part async for part in answer.aiter_bytes()]).decode()
    assert answer.status_code == 200, said
    return said


def mcp_way(http: httpx.AsyncClient, url: str) -> Turn:
    """The tool `ask` within one session, with progress for what is said."""
    headers = {"accept": "application/json, text/event-stream"}

    async def mcp(number: int) -> None:
        if "mcp-session-id" not in headers:
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}}
            body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
            met = await http.post(f"{url}/mcp", json=body, headers=headers)
            headers["mcp-session-id"] = met.headers["mcp-session-id"]
        arguments = {"message": "hello", "thread_id": f"m{number}"}
        params = {"name": "ask", "arguments": arguments, "_meta": {"progressToken": number}}
        call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        assert '"isError":false' in await _asked(http, url, "/mcp", call, headers)

    return mcp


def page(ask: Callable[[str, Mapping[str, Any]], Awaitable[str]]) -> Turn:
    """A turn of a front end that speaks AG-UI."""

    async def turn(number: int) -> None:
        messages = [{"id": "u1", "role": "user", "content": "hello"}]
        await ask("/ag-ui", {"threadId": f"p{number}", "runId": "r1", "messages": messages})

    return turn


async def wired(ask: Ask, root: str, number: int) -> None:
    """A turn of LangGraph's wire with both of the modes that `useStream` asks for."""
    body = {
        "assistant_id": "waystation",
        "input": {"messages": [{"type": "human", "content": "hello"}]},
        "stream_mode": ["messages-tuple", "values"],
        "if_not_exists": "create",
    }
    said = await ask(f"{root}/threads/{uuid5(NAMESPACE_URL, f'{root}{number}')}/runs/stream", body)
    assert "event: error" not in said, said[-1000:]
    assert said.count("word") > 50, said[-1000:]


async def compare(model_url: str, home: Path, turns: int) -> dict[str, float]:
    """CPU milliseconds of a turn, by way."""
    context = settings(home / "agent")
    env = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "bench", "WAYSTATION_MCP__BUNDLED": "false"}
    found: dict[str, list[float]] = {}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        with (
            Service(home / "service", config_dir=context.places.config_dir, env=env) as service,
            dev_server(home / "dev", model_url) as (peer, peer_pid),
        ):
            ask_peer = asking(http, peer)
            every = {name: (turn, service.pid) for name, turn in ways(http, service.url).items()}
            every[PEER] = (lambda number: wired(ask_peer, "", number), peer_pid)
            for turn, pid in every.values():
                await measured(turn, WARM, 0, pid)
            share = turns // ROUNDS
            for lap in range(ROUNDS):
                for name, (turn, pid) in every.items():
                    took = await measured(turn, share, 100 + lap * share, pid)
                    found.setdefault(name, []).append(took)
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=300, help="turns for each way")
    turns = parser.parse_args().turns
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as home, ModelServer(default=ANSWER) as model:
        found = asyncio.run(compare(model.url, Path(home), turns))
    took = time.monotonic() - started
    print(f"CPU per turn, median of {ROUNDS} rounds of {turns // ROUNDS} turns (took {took:.0f} s)")
    for name, value in found.items():
        print(f"  {name:<28} {value:7.2f} ms   {value / found[FLOOR]:.2f}x")
    print(f"  {WIRE} against {PEER}: {found[WIRE] / found[PEER]:.2f}")


if __name__ == "__main__":
    main()
