"""G3.2: two homes with files of their own on one PostgreSQL: a file of one is not found by the other."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL

from core.access import Principal
from core.health import HealthState
from graph import Agent
from nodes.file_storage import FileManager
from waystation.testing.agents import open_agent

ADA = Principal("ada")


async def replicas(agent: Agent) -> tuple[HealthState, str]:
    found = (await agent.health.report())["replicas"]
    return found.state, found.reason


async def test_g3_2_two_homes_with_local_files_on_one_database_are_told(
    postgres_url: URL, tmp_path: Path
) -> None:
    storage = {"url": postgres_url.set(drivername="postgresql").render_as_string()}
    async with open_agent(tmp_path / "a", storage=storage) as here:
        assert (await replicas(here))[0] is HealthState.HEALTHY
        async with open_agent(tmp_path / "b", storage=storage) as there:
            stored = await (await here.container.get(FileManager)).put(ADA, "a.txt", b"x")
            state, reason = await replicas(there)
            assert state is HealthState.DEGRADED
            assert "1 other home with files of their own" in reason
            assert "set file_storage.backend: s3" in reason
            assert stored.key not in reason


async def test_processes_that_share_a_home_share_their_files(postgres_url: URL, tmp_path: Path) -> None:
    storage = {"url": postgres_url.set(drivername="postgresql").render_as_string()}
    async with (
        open_agent(tmp_path, storage=storage) as here,
        open_agent(tmp_path, storage=storage) as there,
    ):
        for agent in (here, there):
            assert (await replicas(agent))[0] is HealthState.HEALTHY


async def test_on_sqlite_nobody_asks(tmp_path: Path) -> None:
    async with open_agent(tmp_path) as agent:
        assert "replicas" not in await agent.health.report()
