"""LangServe as its page shows it: `add_routes` on a graph with LangGraph's own saver.

    python -m bench.systems.naive MODEL_URL PORT DATABASE_FILE

The thread comes in a header: a `thread_id` of the body does not reach a graph's saver.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langserve import add_routes

from bench.systems.graph import tutorial


def with_thread(config: dict[str, Any], request: Request) -> dict[str, Any]:
    """The configuration of a request, on its thread."""
    thread = request.headers.get("x-thread", "one")
    return {**config, "configurable": {**config.get("configurable", {}), "thread_id": thread}}


async def main(model_url: str, port: int, file: str) -> None:
    """Serve until the process is ended."""
    async with AsyncSqliteSaver.from_conn_string(file) as saver:
        service = FastAPI()
        graph = tutorial(model_url, saver)
        add_routes(service, graph, path="/agent", per_req_config_modifier=with_thread)
        await uvicorn.Server(uvicorn.Config(service, port=port, log_level="warning", backlog=2048)).serve()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
