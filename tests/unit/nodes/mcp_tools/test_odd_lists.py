"""A list of tools is judged tool by tool: an odd one is left out and named, the rest is offered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.health import HealthState
from nodes.mcp_tools.calls import MALFORMED, function_schema, problem_with, with_user
from nodes.mcp_tools.models import ServerState, ToolInfo
from nodes.mcp_tools.tool_list import MOST_TOOLS, tool_list
from tests.kit.odd_servers import GOOD, odd, text
from waystation.testing.mcp_servers import managed, text_of

ADA = Principal("ada")
OBJECT = {"type": "object"}


def named(**fields: Any) -> dict[str, Any]:
    return {"name": "odd", "inputSchema": OBJECT, **fields}


T2_1 = [
    (named(inputSchema={**OBJECT, "required": None}), "inputSchema.required"),
    (named(inputSchema={**OBJECT, "required": True}), "inputSchema.required"),
    (named(inputSchema={**OBJECT, "required": [1]}), "inputSchema.required"),
    (named(inputSchema={**OBJECT, "properties": ["x"]}), "inputSchema.properties"),
    (named(inputSchema={**OBJECT, "properties": {"x": 5}}), "inputSchema.properties.x"),
]
T2_2 = [
    ({"name": "odd"}, "inputSchema is missing"),
    (named(inputSchema=None), "inputSchema is missing"),
    (named(inputSchema=[]), "inputSchema is no object"),
    (named(inputSchema={"type": "array"}), "inputSchema.type"),
    (named(annotations={"readOnlyHint": "yes"}), "annotations.readOnlyHint is 'yes'"),
    (named(annotations={"idempotentHint": 1}), "annotations.idempotentHint is a number"),
    (named(annotations="none"), "annotations is no object"),
    (named(execution={"taskSupport": "maybe"}), "execution.taskSupport is 'maybe'"),
    (named(execution={"taskSupport": ["required"]}), "execution.taskSupport is a list"),
    (named(execution=True), "execution is no object"),
    (named(description=["x"]), "description is no text"),
    (named(name="odd\x00"), "name has characters"),
]
T2_3 = [(named(execution={"taskSupport": "required"}), "execution.taskSupport is 'required'")]


@pytest.mark.parametrize(("tool", "field"), [*T2_1, *T2_2, *T2_3])
def test_t2_an_odd_tool_is_left_out_and_named_with_its_field(tool: dict[str, Any], field: str) -> None:
    found = tool_list([tool, GOOD])
    assert [info.name for info in found.tools] == ["good"]
    (why,) = found.left_out
    assert why.startswith("tool 'odd")
    assert field in why


@pytest.mark.parametrize("tool", [None, 5, "x", [], {}, {"name": 7}, {"name": " "}, {"name": "x" * 300}])
def test_t2_2_a_tool_without_a_usable_name_is_left_out_by_its_place(tool: object) -> None:
    found = tool_list([GOOD, tool])
    assert [info.name for info in found.tools] == ["good"]
    assert "2" in found.left_out[0] or "tool 'xxx" in found.left_out[0]


FINE = [
    named(inputSchema={}),
    named(outputSchema="odd", title=5, icons=3, _meta=[]),
    named(annotations={"readOnlyHint": None, "title": 5}),
    named(execution={"taskSupport": "optional"}),
    named(name="with spaces/ü"),
    named(description=None),
]


@pytest.mark.parametrize("tool", FINE)
def test_t2_2_what_nobody_here_reads_costs_nothing(tool: dict[str, Any]) -> None:
    found = tool_list([tool])
    assert ([info.name for info in found.tools], found.left_out) == ([tool["name"]], ())


def test_t2_2_a_schema_that_no_store_holds_is_left_out() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"items": deep}
    odd_ones = [{"default": 10**30}, {"default": float("nan")}, deep, {"description": "x" * 100_000}]
    for part in odd_ones:
        found = tool_list([named(inputSchema={**OBJECT, "properties": {"a": part}})])
        assert found.tools == ()
        assert "inputSchema" in found.left_out[0]


def test_t2_2_a_description_without_end_is_cut() -> None:
    (tool,) = tool_list([named(description="x" * 1_000_000)]).tools
    assert len(tool.description) == 8192


def test_t2_3_of_two_tools_of_one_name_the_first_is_offered() -> None:
    found = tool_list([GOOD, {**GOOD, "description": "Another."}])
    assert [tool.description for tool in found.tools] == ["Works."]
    assert found.left_out == ("another tool 'good' is left out: its name is the same",)


def test_a_list_without_end_is_bounded_and_says_so() -> None:
    found = tool_list({**GOOD, "name": f"t{n}"} for n in range(MOST_TOOLS + 5))
    assert (len(found.tools), len(found.left_out)) == (MOST_TOOLS, 1)
    many = tool_list([None] * 100)
    assert len(many.left_out) == 21
    assert many.left_out[-1] == "and 80 more"


@pytest.mark.parametrize(
    "part", [{"required": None}, {"required": True}, {"properties": ["x"]}, {"properties": 5}]
)
def test_t2_1_a_list_that_was_kept_from_before_is_read_all_the_same(part: dict[str, Any]) -> None:
    tool = ToolInfo("odd", "", {**OBJECT, **part})
    shown = function_schema("far_odd", tool)["function"]["parameters"]
    assert (shown["properties"], shown.get("required", [])) == ({}, [])
    assert with_user({"a": 1}, tool.parameters, "ada") == {"a": 1}
    assert "not a JSON object" in problem_with({MALFORMED: "x"}, tool.parameters)


async def test_t2_1_a_turn_of_anybody_gets_the_other_tools_and_health_names_the_odd_ones(
    tmp_path: Path,
) -> None:
    tools = [*(tool for tool, _ in T2_1), *(tool for tool, _ in T2_2), *(tool for tool, _ in T2_3), GOOD]
    script = {"tools": tools, "calls": {"good": text("fine")}}
    async with managed({"far": odd(tmp_path / "s", script)}, tmp_path) as manager:
        schemas = await manager.schemas(ADA, ["far"])
        assert [schema["function"]["name"] for schema in schemas] == ["far_good"]
        assert text_of(await manager.call("far", "good", {})) == "fine"
        status = manager.status()["far"]
        assert (status.state, status.restarts, len(status.left_out)) == (ServerState.UP, 0, 18)
        health = await manager.check()
        assert health.state is HealthState.HEALTHY
        assert (
            "server 'far': tool 'odd' is left out: inputSchema.required is no list of names" in health.reason
        )
        assert "and 15 more" in health.reason
        assert len(health.as_json()["details"]["servers"]["far"]["left_out"]) == 18


def page(*names: str, **more: Any) -> dict[str, Any]:
    return {"result": {"tools": [{**GOOD, "name": name} for name in names], **more}}


PAGES = [
    ({"": page("a", nextCursor="1"), "1": page("b", nextCursor="1")}, ["a", "b"], "for a second time"),
    ({"": page("a", nextCursor=5)}, ["a"], "nextCursor is no text"),
    ({"": page("a", nextCursor="1"), "1": {"result": {"tools": None}}}, ["a"], "no list under 'tools'"),
    ({"": page("a", nextCursor="1"), "1": {"result": 5}}, ["a"], "no list under 'tools'"),
    ({"": page("a", nextCursor="1"), "1": {"error": {"code": 1, "message": "no"}}}, ["a"], "breaks off: no"),
    ({"": page("a", nextCursor="1"), "1": {"line": '{"id": ID, "result": {'}}, ["a"], "no JSON"),
    ({"": {"result": {}}}, [], "no list under 'tools'"),
    ({"": {"error": {"code": -32601, "message": "Method not found"}}}, [], ""),
    ({"": page("a", nextCursor="")}, ["a"], ""),
    ({"": page("a", nextCursor=None)}, ["a"], ""),
]


@pytest.mark.parametrize(("pages", "names", "note"), PAGES)
async def test_t2_pages_that_go_wrong_cost_what_comes_after_them(
    tmp_path: Path, pages: dict[str, Any], names: list[str], note: str
) -> None:
    async with managed({"far": odd(tmp_path / "s", {"pages": pages})}, tmp_path) as manager:
        assert [tool.name for tool in await manager.tools("far")] == names
        assert note in "".join(manager.status()["far"].left_out)
        assert bool(manager.status()["far"].left_out) is bool(note)


async def test_t2_pages_without_end_are_read_to_a_bound(tmp_path: Path) -> None:
    pages = {str(n) if n else "": page(f"t{n}", nextCursor=str(n + 1)) for n in range(200)}
    async with managed({"far": odd(tmp_path / "s", {"pages": pages})}, tmp_path) as manager:
        assert len(await manager.tools("far")) == 100
        assert "more than 100 pages" in manager.status()["far"].left_out[0]


OPENED = [
    {"capabilities": None, "serverInfo": "odd", "instructions": 7},
    {"capabilities": {"tools": True, "resources": 5, "prompts": [], "x": {}}, "serverInfo": {"name": 5}},
    {"protocolVersion": "2024-11-05", "_meta": "x", "unknown": {}},
]


@pytest.mark.parametrize("opened", OPENED)
async def test_t2_what_a_server_says_of_itself_may_be_odd(tmp_path: Path, opened: dict[str, Any]) -> None:
    script = {"tools": [GOOD], "calls": {"good": text("fine")}, "opened": opened}
    async with managed({"far": odd(tmp_path / "s", script)}, tmp_path) as manager:
        assert text_of(await manager.call("far", "good", {})) == "fine"


NOISE: list[Any] = [
    {"jsonrpc": "2.0", "method": "notifications/unknown", "params": 5},
    {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": {}, "progress": "half"},
    },
    {"jsonrpc": "2.0", "method": "notifications/progress", "params": None},
    {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "odd", "data": {"a": 1}}},
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "x"}},
    {"jsonrpc": "2.0", "method": "notifications/cancelled"},
    {"jsonrpc": "2.0", "id": "r1", "method": "roots/list"},
    {"jsonrpc": "2.0", "id": "r2", "method": "sampling/createMessage", "params": {"messages": 5}},
    {"jsonrpc": "2.0", "id": 3, "method": "what/ever", "params": []},
    {"jsonrpc": "2.0", "id": 4, "method": "ping"},
    {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
    {"jsonrpc": "2.0", "id": 99_999, "result": {}},
    {"jsonrpc": "2.0", "id": [], "result": {}},
    *["no JSON", "{}", "[]", "[1, null]", "null", "5", '{"method": 5}'],
]


async def test_t2_what_is_not_known_is_answered_or_passed_over(tmp_path: Path) -> None:
    script = {"tools": [GOOD], "calls": {"good": text("fine")}, "before": NOISE}
    async with managed({"far": odd(tmp_path / "s", script)}, tmp_path) as manager:
        assert text_of(await manager.call("far", "good", {})) == "fine"
        heard = json.loads(text_of(await manager.call("far", "heard", {})))
        assert manager.status()["far"].restarts == 0
    codes = {answer["id"]: answer.get("error", {}).get("code") for answer in heard}
    assert codes == {"r1": -32601, "r2": -32601, 3: -32601, 4: None}
