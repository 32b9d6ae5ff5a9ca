"""`waystation serve --modules`: modules without turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.identity.keys import KeyStore
from core.registry import discover
from core.settings.platform import AuthSettings, ServerSettings
from graph.wiring.apart import named_modules, turns_work
from nodes.rag import RAGClient
from server.apart import Host, create_apart, open_host
from server.serve import Server, bind, uvicorn_config
from tests.kit.http import assert_problem, client_of
from waystation.testing.agents import context_at, write_config
from waystation.testing.service import Service, run

OWN = {
    "llm": {"/models"},
    "rag": {"/sources", "/api/v2/rag/query"},
    "mcp_tools": {"/servers", "/tools"},
    "file_storage": {"/files"},
    "config": set[str](),
}
PATIENCE_S = 60
Hosted = tuple[Host, httpx.AsyncClient]


@asynccontextmanager
async def hosted(
    folder: Path, *names: str, **overrides: Any
) -> AsyncIterator[tuple[Host, httpx.AsyncClient]]:
    """These modules over real HTTP in the test's own loop."""
    ready = asyncio.Event()
    async with open_host(context_at(folder, tools=(), **overrides), names) as host:
        with bind(ServerSettings(port=0), AuthSettings()) as listener:
            config = uvicorn_config(create_apart(host), settings=host.book[ServerSettings])
            server = Server(config, ready=ready.set, agent=host)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            async with asyncio.timeout(PATIENCE_S):
                await ready.wait()
            try:
                async with client_of(f"http://127.0.0.1:{listener.getsockname()[1]}") as http:
                    yield host, http
            finally:
                server.should_exit = True
                await serving


@pytest.mark.parametrize("name", sorted(OWN))
async def test_each_module_is_served_alone_with_health_and_metrics(tmp_path: Path, name: str) -> None:
    async with hosted(tmp_path, name) as (host, http):
        assert host.names == sorted({"config", name})
        paths = (await http.get("/openapi.json")).json()["paths"].keys()
        known = await http.get("/health")
        ready = await http.get("/health/ready")
        metrics = await http.get("/metrics")
        turn = await http.post("/agent/invoke", json={"input": {"message": "hi"}})
    assert OWN[name] <= paths
    assert not set().union(*(own for other, own in OWN.items() if other != name)) & paths
    assert known.json()["modules"].keys() == {"config", name}
    assert ready.json() == {"status": "ready"}
    assert "waystation_" in metrics.text
    assert_problem(turn, 404, "no_such_route")


async def test_keys_and_scopes_count_there_too(tmp_path: Path) -> None:
    async with hosted(tmp_path, "rag", auth={"mode": "keys"}) as (host, http):
        _, key = await KeyStore(await host.container.get(AsyncEngine)).create("ada")
        query = {"query": "How long is a berth reserved?"}
        assert_problem(await http.post("/api/v2/rag/query", json=query), 401, "not_authenticated")
        http.headers["authorization"] = f"Bearer {key}"
        found = (await http.post("/api/v2/rag/query", json=query)).json()
        assert_problem(await http.get("/health"), 403, "scope_missing")
        written = await http.post("/api/v2/rag/query", json={**query, "mode": "synthesized"})
    assert "fourteen days" in found["results"]["hits"][0]["sections"][0]["text"]
    assert "no model runs here" in assert_problem(written, 400, "query_not_accepted")["detail"]


async def test_retrieval_with_a_model_beside_it_writes_answers(tmp_path: Path) -> None:
    async with hosted(tmp_path, "rag", "llm") as (_, http):
        body = {"query": "How long is a berth reserved?", "mode": "synthesized"}
        answer = (await http.post("/api/v2/rag/query", json=body)).json()["results"]
    assert "fourteen days" in answer["answer"]
    assert answer["citations"][0]["filename"] == "handbook.md"


async def test_its_sources_follow_their_file(tmp_path: Path) -> None:
    async with hosted(tmp_path, "rag") as (host, http):
        more = "boats: {path: ../harbour, description: 'Boats'}\n"
        with (tmp_path / "config" / "sources.yaml").open("a") as file:
            file.write(more)
        rag = await host.container.get(RAGClient)
        async with asyncio.timeout(PATIENCE_S):
            while "boats" not in rag.entries():  # noqa: ASYNC110 - another task reads the file
                await asyncio.sleep(0.05)
        names = [source["name"] for source in (await http.get("/sources")).json()]
    assert names == ["harbour", "boats"]


def test_a_list_with_which_turns_work_is_a_whole_service_without_the_others() -> None:
    required = [module.name for module in discover() if module.required]
    assert turns_work(named_modules(required))
    assert not turns_work(named_modules(["rag", "mcp_tools"]))


@pytest.mark.slow
def test_the_command_serves_the_modules_that_it_names(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with Service(tmp_path / "home", config_dir=config, words=["--modules", "rag"]) as service:
        said = service.log.read_text()
        found = httpx.get(f"{service.url}/sources", timeout=PATIENCE_S, trust_env=False).json()
        code = service.stop()
    assert "modules      config, rag; no turns are answered here" in said
    assert "source       harbour: 1 document, 2 chunks" in said
    assert (found[0]["name"], code) == ("harbour", 0)


@pytest.mark.slow
def test_with_all_that_a_turn_needs_the_command_answers_turns(tmp_path: Path) -> None:
    words = ["--modules", "llm,file_storage", "--modules", "rag"]
    with (
        Service(tmp_path / "home", config_dir=write_config(tmp_path), words=words) as service,
        httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as http,
    ):
        modules = http.get("/health").json()["modules"]
        body = {"input": {"message": "How long is a berth reserved?"}}
        answer = http.post("/agent/invoke", json=body).json()["output"]
    assert "fourteen days" in answer["answer"]
    assert "rag" in modules
    assert "mcp_tools" not in modules


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--modules", "rga"], "config_invalid: there is no module 'rga'; did you mean 'rag'?"),
        (["--modules", "rag", "--workers", "2"], "config_invalid: --modules serves in one process"),
    ],
)
def test_what_cannot_be_served_is_one_clear_line(tmp_path: Path, words: list[str], said: str) -> None:
    ended = run("serve", *words, home=tmp_path / "home", config_dir=write_config(tmp_path))
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
