"""The executor: every way a call can end, as an outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.fake import FakeLinks
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import ExecutionContext, ToolOutcome
from nodes.mcp_tools.ports import NoFileLinks
from waystation.testing.mcp_servers import managed, peer

pytestmark = pytest.mark.slow

CONTEXT = ExecutionContext(Principal("ada", frozenset({"staff"})), call_id="c1")


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[MCPToolManager]:
    servers = {
        "peer": peer(max_result_bytes=2048),
        "closed": peer(groups=["admins"]),
        "asking": peer(fill_username=True),
        "limited": peer(include_tools=["echo", "pid"], exclude_tools=["pid"]),
        "staff": peer(groups=["staff"], require_approval=["echo"]),
    }
    async with managed(servers, tmp_path, call_timeout_s=20) as manager:
        yield manager


@pytest.fixture
def executor(manager: MCPToolManager) -> ToolExecutor:
    return ToolExecutor(manager, FakeLinks())


async def run(
    executor: ToolExecutor, name: str, context: ExecutionContext = CONTEXT, **args: Any
) -> ToolOutcome:
    return await executor.execute({"id": "c1", "name": name, "args": args}, context)


async def test_a_good_call_gives_text_names_and_time(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_echo", text="hello")
    assert (outcome.status, outcome.text, outcome.server, outcome.tool) == ("ok", "hello", "peer", "echo")
    assert (outcome.call_id, dict(outcome.arguments)) == ("c1", {"text": "hello"})
    assert outcome.duration_ms >= 0


async def test_an_unknown_tool_lists_those_that_are_known(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_nope")
    assert outcome.status == "error"
    assert "there is no tool 'peer_nope'" in outcome.text
    assert "peer_echo" in outcome.text
    assert "closed_echo" not in outcome.text


async def test_a_server_of_other_groups_does_not_exist_for_the_caller(executor: ToolExecutor) -> None:
    outcome = await run(executor, "closed_echo", text="x")
    assert outcome.status == "error"
    assert outcome.text.startswith("there is no tool 'closed_echo'")


async def test_a_tool_outside_of_the_turns_choice_does_not_exist(executor: ToolExecutor) -> None:
    only = replace(CONTEXT, servers=("peer",), tools=("peer_pid",))
    assert (await run(executor, "peer_pid", only)).status == "ok"
    assert "tools: peer_pid" in (await run(executor, "peer_echo", only, text="x")).text
    assert (
        await run(executor, "staff_echo", replace(CONTEXT, servers=("peer",)), text="x")
    ).status == "error"


async def test_schemas_show_only_usable_servers_and_hide_what_we_fill_in(manager: MCPToolManager) -> None:
    principal = CONTEXT.principal
    schemas = await manager.schemas(principal, ["peer", "closed", "staff", "asking"])
    functions = {schema["function"]["name"]: schema["function"] for schema in schemas}
    assert not [name for name in functions if name.startswith("closed_")]
    assert list(functions["peer_whoami"]["parameters"]["properties"]) == ["username"]
    assert functions["asking_whoami"]["parameters"]["properties"] == {}
    assert functions["asking_whoami"]["parameters"]["required"] == []
    chosen = await manager.schemas(principal, ["peer"], ["peer_echo"])
    assert [schema["function"]["name"] for schema in chosen] == ["peer_echo"]
    assert chosen[0]["type"] == "function"


async def test_malformed_arguments_come_back_with_a_hint(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_echo", __malformed__='{"text": ')
    assert outcome.status == "error"
    assert "are not a JSON object" in outcome.text
    assert "Parameters: text (string)" in outcome.text


@pytest.mark.parametrize(
    ("args", "complaint"),
    [({}, "'text' is a required property"), ({"text": 5}, "argument 'text': 5 is not of type 'string'")],
)
async def test_arguments_that_do_not_fit_the_schema_are_not_sent(
    executor: ToolExecutor, args: dict[str, Any], complaint: str
) -> None:
    outcome = await run(executor, "peer_echo", **args)
    assert outcome.status == "error"
    assert complaint in outcome.text


async def test_lone_surrogates_do_not_break_the_session(executor: ToolExecutor) -> None:
    assert (await run(executor, "peer_echo", text="a\ud800b")).text == "a?b"


async def test_the_user_is_filled_in_whatever_the_model_wrote(executor: ToolExecutor) -> None:
    outcome = await run(executor, "asking_whoami", username="root")
    assert json.loads(outcome.text) == {"_atlas_user": "ada", "username": "ada"}
    assert dict(outcome.arguments) == {"username": "root"}


async def test_t4_5_a_username_is_the_models_where_nobody_asked_for_ours(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_whoami", username="octocat", _atlas_user="root")
    assert json.loads(outcome.text) == {"_atlas_user": "ada", "username": "octocat"}


async def test_a_tool_that_the_entry_keeps_back_does_not_exist(executor: ToolExecutor) -> None:
    assert (await run(executor, "limited_echo", text="x")).status == "ok"
    for name in ("limited_pid", "limited_whoami"):
        outcome = await run(executor, name)
        assert outcome.text.startswith(f"there is no tool '{name}'")


async def test_a_file_of_the_thread_becomes_an_address(executor: ToolExecutor) -> None:
    context = replace(CONTEXT, files={"sales.csv": "k1"})
    outcome = await run(executor, "peer_read", context, filename="sales.csv")
    assert json.loads(outcome.text) == {"filename": "http://127.0.0.1/files/k1?for=ada"}
    assert dict(outcome.arguments) == {"filename": "sales.csv"}
    listed = await run(executor, "peer_read", context, filename="sales.csv", file_names=["sales.csv", "b"])
    assert json.loads(listed.text)["file_names"] == ["http://127.0.0.1/files/k1?for=ada", "b"]


async def test_without_file_storage_a_file_is_an_error_in_words(manager: MCPToolManager) -> None:
    context = replace(CONTEXT, files={"sales.csv": "k1"})
    outcome = await run(ToolExecutor(manager, NoFileLinks()), "peer_read", context, filename="sales.csv")
    assert (outcome.status, "cannot be reached" in outcome.text) == ("error", True)


async def test_a_failing_tool_is_an_error_with_its_own_words(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_fail")
    assert (outcome.status, outcome.text) == ("error", "that went wrong")


async def test_a_crash_leaves_the_result_unknown(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_crash")
    assert outcome.status == "unknown"
    assert "whether the tool did its work is unknown" in outcome.text


async def test_a_hang_is_a_timeout(tmp_path: Path) -> None:
    async with managed({"peer": peer(timeout_s=0.3)}, tmp_path) as manager:
        outcome = await run(ToolExecutor(manager, FakeLinks()), "peer_hang")
    assert (outcome.status, outcome.text) == ("timeout", "'hang' did not answer within 0.3 s")


async def test_a_tool_of_a_server_that_went_down_says_why(tmp_path: Path) -> None:
    async with managed({"peer": peer(restart="never")}, tmp_path) as manager:
        executor = ToolExecutor(manager, FakeLinks())
        assert (await run(executor, "peer_crash")).status == "unknown"
        outcome = await run(executor, "peer_echo", text="x")
    assert outcome.status == "error"
    assert "the tool server 'peer' is down" in outcome.text


async def test_a_long_text_is_cut_and_says_so(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_big", bytes=10_000)
    assert len(outcome.text) < 2300
    assert outcome.text.endswith("[cut: 2048 of 10000 bytes are shown; the limit is 2048]")


async def test_cancelling_passes_through(executor: ToolExecutor) -> None:
    task = asyncio.create_task(run(executor, "peer_hang"))
    await asyncio.wait({task}, timeout=0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_version_2_of_the_result_brings_files_and_display(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_v2")
    assert outcome.text == '{"total":42}\nmeta_data: {"took_ms":3}\nFiles made: total.csv'
    assert outcome.display == {"open_canvas": True, "primary_file": "total.csv"}
    (artifact,) = outcome.artifacts
    assert (artifact.id, artifact.name, artifact.media_type) == ("c1-1", "total.csv", "text/csv")
    assert artifact.data == b"total\n42\n"


async def test_every_kind_of_content_becomes_text_or_a_file(executor: ToolExecutor) -> None:
    outcome = await run(executor, "peer_contents")
    assert outcome.text.startswith("some text\nnoted\npaper: https://example.test/paper.pdf")
    names = [artifact.name for artifact in outcome.artifacts]
    assert names[0] == "contents-1.png"
    assert names[2:] == ["notes.txt", "data.bin"]


async def test_structured_content_alone_is_the_text(executor: ToolExecutor) -> None:
    assert (await run(executor, "peer_structured")).text == '{"answer":42}'


async def test_approval_is_known_before_the_call(executor: ToolExecutor) -> None:
    assert (await executor.find("staff_echo", CONTEXT)).approval
    assert not (await executor.find("staff_pid", CONTEXT)).approval
    assert (await executor.find("nope", CONTEXT)).tool is None
