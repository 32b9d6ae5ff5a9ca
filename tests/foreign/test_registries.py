"""Servers of the registries as they are: time and git, everything and filesystem."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.fake import FakeLinks
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import Answer, Ask, ExecutionContext, Progress, ToolOutcome
from nodes.mcp_tools.settings import ServerEntry
from tests.kit.foreign import listening, local, node_server, python_of
from waystation.testing.contracts.tool_connector import Person
from waystation.testing.mcp_servers import kill, managed, text_of

CONTEXT = ExecutionContext(Principal("ada"), call_id="c1")
EVERYTHING = {"stdio": ("stdio", ""), "http": ("streamableHttp", "/mcp"), "sse": ("sse", "/sse")}


class Caller:
    """Calls tools of the server `far` as a turn does."""

    def __init__(self, manager: MCPToolManager) -> None:
        self._executor = ToolExecutor(manager, FakeLinks())

    async def __call__(
        self, tool: str, *, ask: Ask | None = None, progress: Progress | None = None, **args: Any
    ) -> ToolOutcome:
        name = {"id": "c1", "name": f"far_{tool}", "args": args}
        return await self._executor.execute(name, CONTEXT, ask=ask, progress=progress)


async def test_the_time_server_tells_the_time_and_refuses_a_zone_of_another_planet(tmp_path: Path) -> None:
    async with managed({"far": local([python_of("time"), "-m", "mcp_server_time"])}, tmp_path) as manager:
        assert [tool.name for tool in await manager.tools("far")] == ["get_current_time", "convert_time"]
        call = Caller(manager)
        there, wrong = await asyncio.gather(
            call("get_current_time", timezone="Europe/Rome"), call("get_current_time", timezone="Mars/Base")
        )
        assert (there.status, '"timezone": "Europe/Rome"' in there.text) == ("ok", True)
        assert (wrong.status, "Invalid timezone" in wrong.text) == ("error", True)


async def test_the_git_server_reads_a_repository_and_says_what_is_none(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    (repository / "new.txt").write_text("new")
    async with managed({"far": local([python_of("git"), "-m", "mcp_server_git"])}, tmp_path) as manager:
        assert {"git_status", "git_log", "git_commit"} <= {tool.name for tool in await manager.tools("far")}
        call = Caller(manager)
        status = await call("git_status", repo_path=str(repository))
        assert (status.status, "new.txt" in status.text) == ("ok", True)
        assert (await call("git_status", repo_path=str(tmp_path / "none"))).status == "error"
        assert "argument" in (await call("git_status", repo_path=5)).text


async def test_the_filesystem_server_reads_only_where_it_may(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "note.txt").write_text("noted")
    (folder / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 200)
    entry = local([*node_server("server-filesystem"), str(folder)])
    async with managed({"far": entry}, tmp_path) as manager:
        call = Caller(manager)
        assert (await call("read_text_file", path=str(folder / "note.txt"))).text == "noted"
        picture = await call("read_media_file", path=str(folder / "dot.png"))
        assert picture.text == "Files made: read_media_file-1.png", "its bytes come twice, and are one file"
        assert [(file.media_type, len(file.data)) for file in picture.artifacts] == [("image/png", 208)]
        outside = await call("read_text_file", path=str(tmp_path / "logs"))
        assert (outside.status, "outside allowed directories" in outside.text) == ("error", True)
        written = await call("write_file", path=str(folder / "b.txt"), content="b")
        assert (written.status, (folder / "b.txt").read_text()) == ("ok", "b")


@contextmanager
def everything(transport: str) -> Iterator[ServerEntry]:
    kind, path = EVERYTHING[transport]
    command = [*node_server("server-everything"), kind]
    if not path:
        yield local(command)
        return
    with listening(command, path, port_in="PORT") as (url, _):
        yield ServerEntry.model_validate({"url": url})


@pytest.fixture(params=list(EVERYTHING))
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MCPToolManager]:
    with everything(request.param) as entry:
        async with managed({"far": entry}, tmp_path, call_timeout_s=60) as manager:
            yield manager


@pytest.mark.always
async def test_everything_is_offered_but_what_needs_tasks_and_each_kind_of_answer_is_read(
    manager: MCPToolManager,
) -> None:
    assert {"echo", "get-tiny-image", "trigger-elicitation-request"} <= {
        tool.name for tool in await manager.tools("far")
    }
    (left_out,) = manager.status()["far"].left_out
    assert left_out.startswith("tool 'simulate-research-query' is left out: execution.taskSupport")
    call = Caller(manager)
    image = await call("get-tiny-image")
    assert [file.media_type for file in image.artifacts] == ["image/png"]
    weather = await call("get-structured-content", location="Chicago")
    assert weather.text.count("temperature") == 1
    links = await call("get-resource-links", count=2)
    assert "demo://resource/dynamic/text/2" in links.text
    noted = await call("get-annotated-message", messageType="error", includeImage=True)
    assert (noted.status, len(noted.artifacts)) == ("ok", 1)
    assert (await call("get-sum", a=1)).status == "error"
    assert manager.status()["far"].restarts == 0


async def test_everything_reports_progress_and_asks_and_two_callers_stay_apart(
    manager: MCPToolManager,
) -> None:
    call = Caller(manager)
    steps: list[float] = []
    person = Person(Answer("accept", {"name": "Ada", "check": True}))
    long, asked = await asyncio.gather(
        call(
            "trigger-long-running-operation",
            duration=0.3,
            steps=3,
            progress=lambda done, total, message: steps.append(done),
        ),
        call("trigger-elicitation-request", ask=person.ask),
    )
    assert (long.status, steps) == ("ok", [1, 2, 3])
    assert (asked.status, "Name: Ada" in asked.text) == ("ok", True)
    assert {question.schema["type"] for question in person.heard} == {"object"}


async def test_everything_over_http_that_was_replaced_answers_the_next_call(tmp_path: Path) -> None:
    """It says of a session that it does not know: 400, and not 404 as the protocol has it."""
    command = [*node_server("server-everything"), "streamableHttp"]
    with listening(command, "/mcp", port_in="PORT") as (url, process):
        async with managed({"far": ServerEntry.model_validate({"url": url})}, tmp_path) as manager:
            assert text_of(await manager.call("far", "echo", {"message": "a"})) == "Echo: a"
            process.kill()
            process.wait()
            port = int(url.rsplit(":", 1)[1].split("/")[0])
            with listening(command, "/mcp", port=port, port_in="PORT"):
                assert text_of(await manager.call("far", "echo", {"message": "b"})) == "Echo: b"
                assert manager.status()["far"].restarts >= 1


async def test_everything_over_stdio_that_is_killed_in_a_call_is_unknown_and_used_again(
    tmp_path: Path,
) -> None:
    async with managed({"far": local([*node_server("server-everything"), "stdio"])}, tmp_path) as manager:
        await manager.tools("far")
        call = Caller(manager)
        begun = asyncio.Event()
        going = asyncio.create_task(
            call(
                "trigger-long-running-operation",
                duration=100,
                steps=1000,
                progress=lambda done, total, message: begun.set(),
            )
        )
        await begun.wait()
        pid = manager.status()["far"].pid
        assert pid
        kill(pid)
        assert (await going).status == "unknown"
        assert (await call("echo", message="again")).text == "Echo: again"
