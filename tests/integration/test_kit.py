"""What the test kit promises to authors of modules, adapters and plugins (docs/testing.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dishka import Provider, Scope

from core.access import Principal
from nodes.file_storage import FileManager
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.module import MODULE as FILES
from nodes.file_storage.ports import FileStore
from nodes.llm.fake import ScriptedModel
from nodes.mcp_tools.errors import CallTimedOut, ServerGone
from nodes.mcp_tools.fake import FakeServer
from nodes.mcp_tools.models import Progress, ServerState, ToolInfo
from tests.kit.events import check_stream
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes, module_container
from waystation.testing.mcp_servers import IsolatedServer, isolated, text_of, until
from waystation.testing.service import Service

PLUGIN = Path(__file__).parents[2] / "tools" / "calculator"
ADA = Principal("ada")


async def _roll(_: Mapping[str, Any], __: Progress) -> str:
    return "a four"


async def test_a_whole_agent_runs_on_fakes(tmp_path: Path) -> None:
    dice = FakeServer()
    dice.add(ToolInfo("roll", "Roll one die."), _roll)
    model = ScriptedModel(("dice_roll", "{}"), "It shows a four.")
    texts = {"rules": {"dice.md": "The higher die wins."}}
    fakes = Fakes(model=model, servers={"dice": dice}, sources=texts)
    async with open_agent(tmp_path, providers=[fakes]) as agent:
        events = [event async for event in agent.stream("Which die wins?", thread="t1")]
    check_stream(events)
    told = {event["type"]: event for event in events}
    assert told["documents"]["items"][0]["document"] == "dice.md"
    assert (told["tool_result"]["status"], told["tool_result"]["content"]) == ("ok", "a four")
    assert told["done"]["answer"] == "It shows a four."
    assert (dice.starts, fakes.sources["rules"].asked) == (1, [("Which die wins?", "local")])
    assert not (tmp_path / "home" / "files").exists()


async def test_a_module_alone_keeps_its_own_services_over_the_fakes(tmp_path: Path) -> None:
    mine = MemoryStore()
    override = Provider(scope=Scope.APP)
    override.provide(lambda: mine, provides=FileStore)
    async with module_container(FILES, tmp_path, override) as container:
        files = await container.get(FileManager)
        await files.put(ADA, "a.txt", b"alpha")
        assert [info.name async for info in mine.scan("ada")] == ["a.txt"]


async def test_an_isolated_server_sees_its_own_folder_alone(mcp_server: IsolatedServer) -> None:
    seen = json.loads(text_of(await mcp_server.call("env")))
    assert seen["HOME"] == str(mcp_server.folder)
    assert Path(f"/proc/{mcp_server.pid}/cwd").readlink() == mcp_server.folder
    assert "echo" in await mcp_server.tools()


async def test_an_isolated_server_can_hang_and_die(tmp_path: Path) -> None:
    async with isolated(tmp_path / "server", call_timeout_s=1) as server:
        server.freeze()
        with pytest.raises((CallTimedOut, ServerGone)):
            await server.call("echo", text="?")
        server.thaw()
        before = server.pid
        server.kill()
        status = server.manager.status
        await until(lambda: status()["server"].state is ServerState.UP and status()["server"].pid != before)
        assert text_of(await server.call("echo", text="again")) == "again"


async def test_a_plugin_runs_from_a_copy_of_its_folder(tmp_path: Path) -> None:
    async with isolated(tmp_path / "plugin", plugin=PLUGIN) as server:
        assert "8" in text_of(await server.call("add", a=5, b=3))
        assert (server.folder / "plugin.json").is_file()


def test_a_service_that_does_not_come_up_in_time_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waystation.testing.service.START_SECONDS", 0.0)
    service = Service(tmp_path / "home")
    with pytest.raises(AssertionError, match="did not start"):
        service.start()
    with pytest.raises(AssertionError, match="not running"):
        assert service.pid
