"""A turn with servers of other people: the model calls, the server asks, a person answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.access import Principal
from tests.kit.foreign import node_server, python_of, written_with
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, calls, say


async def test_a_turn_calls_servers_of_three_libraries_and_one_of_them_asks(tmp_path: Path) -> None:
    servers: dict[str, Any] = {
        "zones": {"command": [python_of("time"), "-m", "mcp_server_time"]},
        "hotels": {"command": [*written_with("fastmcp"), "stdio"]},
        "rooms": {"command": [*written_with("mcp2"), "stdio"]},
    }
    files = {"mcp.json": json.dumps(servers)}
    with ModelServer() as model:
        async with open_agent(tmp_path, model_url=model.url, files=files, mcp={"bundled": False}) as agent:
            now = call("zones_get_current_time", {"timezone": "Europe/Rome"})
            stay = call("hotels_book", {"place": "Rome"})
            model.script(now, stay, call("rooms_pixel", {}), say("Booked."), match="Book a room")
            waiting = await agent.ask("Book a room", thread="t1")
            assert waiting["status"] == "interrupted"
            (question,) = waiting["interrupts"]
            assert question["detail"] == "How many nights in Rome?"
            answer = {"action": "accept", "content": {"nights": 3}}
            handle = await agent.resume(Principal("local"), waiting["run_id"], {question["id"]: answer})
            reply = await handle.result()
    assert (reply["status"], reply["answer"]) == ("done", "Booked.")
    told = {made["tool"]: made["status"] for made in reply["tool_calls"]}
    assert told["book"] == told["pixel"] == "ok"
    assert [file["name"] for file in reply["files"]] == ["pixel-1.png"]


async def test_edits_of_one_file_in_one_answer_are_all_kept(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    page = folder / "page.txt"
    page.write_text("".join(f"line {number}\n" for number in range(8)))
    files = {"mcp.json": json.dumps({"fs": {"command": [*node_server("server-filesystem"), str(folder)]}})}
    wanted = [
        ("fs_edit_file", {"path": str(page), "edits": [{"oldText": f"line {n}\n", "newText": f"new {n}\n"}]})
        for n in range(8)
    ]
    with ModelServer() as model:
        async with open_agent(tmp_path, model_url=model.url, files=files, mcp={"bundled": False}) as agent:
            model.script(calls(*wanted), say("Changed."), match="Change")
            reply = await agent.ask("Change every line", thread="t1")
    assert [made["status"] for made in reply["tool_calls"]] == ["ok"] * 8
    assert page.read_text() == "".join(f"new {number}\n" for number in range(8))
