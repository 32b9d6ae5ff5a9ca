"""The small parts: names, lines, logs, reasons, results and progress."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.mcp_tools.adapters.messages import LineCutter, Oversize
from nodes.mcp_tools.adapters.stdio import BoundedLog
from nodes.mcp_tools.calls import file_stem, full_name, function_schema, problem_with, progress_to, with_user
from nodes.mcp_tools.errors import ServerGone
from nodes.mcp_tools.models import CallResult, Content, ToolInfo
from nodes.mcp_tools.reasons import reason_of
from nodes.mcp_tools.results import read_result
from nodes.mcp_tools.settings import ServerEntry

B64 = base64.b64encode(b"data").decode()


def read(*parts: Content, max_bytes: int = 1024, **more: Any) -> Any:
    return read_result(CallResult(parts, **more), call_id="c", tool="t", max_bytes=max_bytes)


def test_a_name_is_the_servers_and_the_tools() -> None:
    assert full_name("calculator", "add", ["calculator"]) == "calculator_add"


def test_two_servers_whose_names_meet_stay_apart() -> None:
    servers = ["a", "a_b"]
    names = {full_name("a", "b_c", servers), full_name("a_b", "c", servers)}
    assert len(names) == 2
    assert "a_b_c" in names


@given(
    st.lists(st.text(min_size=1, max_size=40), min_size=2, max_size=4, unique=True),
    st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4, unique=True),
)
def test_names_are_unique_and_fit_the_alphabet(servers: list[str], tools: list[str]) -> None:
    names = [full_name(server, tool, servers) for server in servers for tool in tools]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)


def test_a_log_is_named_after_its_server_without_leaving_the_folder() -> None:
    assert file_stem("peer") == "peer"
    assert "/" not in file_stem("../etc")
    assert file_stem("a b") != file_stem("a_b")


@given(st.binary(max_size=300), st.integers(1, 50))
def test_lines_come_out_as_they_went_in_whatever_the_chunks(data: bytes, size: int) -> None:
    cutter = LineCutter(1000)
    found = [line for i in range(0, len(data), size) for line in cutter.feed(data[i : i + size])]
    assert found == data.split(b"\n")[:-1]


@pytest.mark.parametrize(
    ("line", "request_id"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":"' + b"x" * 200 + b'"}', 7),
        (b'{"result":"' + b"x" * 200 + b'","jsonrpc":"2.0","id":8}', 8),
        (b"x" * 200, None),
    ],
)
def test_a_line_over_the_limit_names_the_request_it_answers(line: bytes, request_id: int | None) -> None:
    cutter = LineCutter(100)
    assert list(cutter.feed(line + b"\nnext\n")) == [Oversize(len(line), request_id), b"next"]


def test_a_log_keeps_the_last_of_what_came(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.log"
    log = BoundedLog(path, limit=10)
    for part in (b"12345678", b"abcdef", b"z" * 50):
        log.write(part)
    log.close()
    assert path.read_bytes() == b"z" * 10
    assert path.with_name("x.log.1").read_bytes() == b"abcdef"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            FileNotFoundError(),
            "the command 'tool' or its folder was not found; install it, or write its full path",
        ),
        (PermissionError(), "the command 'tool' may not be run"),
        (
            ExceptionGroup("g", [TimeoutError()]),
            "it did not start within 3 s; init_timeout_s in its entry gives it longer",
        ),
        (ConnectionRefusedError(), "nothing answers at its url"),
        (RuntimeError("/secret/path"), "its session failed (RuntimeError)"),
        (ExceptionGroup("g", [OSError(), ServerGone("it is ill")]), "it is ill"),
    ],
)
def test_a_reason_has_no_path_and_no_secret(error: Exception, reason: str) -> None:
    assert reason_of(error, ServerEntry(command="/opt/tool"), 3) == reason


def test_text_that_only_looks_like_version_2_stays_text() -> None:
    for text in ("{not json", '{"results": 1, "other": 2}', '{"total": 3}'):
        assert read(Content("text", text=text)).text == text


def test_version_2_in_structured_content_wins() -> None:
    reading = read(Content("text", text="{}"), structured={"results": "four"})
    assert reading.text == "four"


def test_bad_artifacts_stay_in_the_text() -> None:
    structured = {"results": "r", "artifacts": ["x", {"name": "a", "b64": "%%%"}]}
    reading = read(structured=structured)
    assert reading.artifacts == ()
    assert reading.text == 'r\nartifacts: ["x",{"name":"a","b64":"%%%"}]'


def test_an_image_that_is_no_base64_is_left_out_with_a_note() -> None:
    reading = read(Content("image", b64="%%%", name="a"))
    assert "[the file a was left out: its content is not base64]" in reading.text


def test_files_over_the_limit_are_left_out_with_a_note() -> None:
    big = base64.b64encode(b"x" * 100).decode()
    reading = read(Content("image", b64=big, media_type="image/png"), max_bytes=4)
    assert reading.artifacts == ()
    assert "100 bytes are over the limit" in reading.text


def test_file_names_are_made_safe_and_differ() -> None:
    names = ["../../etc/passwd", "a.csv", "a.csv", "", "\x00"]
    items = [{"name": name, "b64": B64} for name in names]
    reading = read(structured={"results": "", "artifacts": items})
    found = [artifact.name for artifact in reading.artifacts]
    assert found[1:3] == ["a.csv", "a-2.csv"]
    assert len(set(found)) == 5
    assert not [name for name in found if "/" in name or not name]


def test_version_2_keeps_the_images_beside_it() -> None:
    image = Content("image", b64=B64, media_type="image/png")
    reading = read(Content("text", text='{"results": "r"}'), image)
    assert [artifact.name for artifact in reading.artifacts] == ["t-1.png"]


def test_nul_and_lone_surrogates_do_not_reach_the_thread() -> None:
    assert read(Content("text", text="a\x00b\ud800")).text == "a\ufffdb?"


def test_text_is_cut_between_characters() -> None:
    assert read(Content("text", text="éééé"), max_bytes=5).text.startswith("éé\n[cut: 4 of 8 bytes")


def test_a_link_with_a_broken_address_is_still_shown() -> None:
    link = Content("link", text="about", uri="http://[broken", name="")
    assert read(link).text == ": http://[broken (about)"


def test_a_schema_that_cannot_be_used_leaves_the_judgement_to_the_server() -> None:
    assert problem_with({}, {"type": 5}) == ""
    assert problem_with({"a": 1}, {"properties": {"a": {"$ref": "http://example.test/x"}}}) == ""


def test_a_tool_without_parameters_says_so() -> None:
    complaint = problem_with({"a": 1}, {"type": "object", "properties": {}, "additionalProperties": False})
    assert complaint.endswith("The tool takes no parameters.")


def test_what_we_fill_in_is_never_taken_from_the_model() -> None:
    schema = {"properties": {"username": {"type": "string"}}}
    asked = ServerEntry(command="x", fill_username=True).filled_in
    assert with_user({"_atlas_user": "root", "x": 1}, schema, "ada", hidden=asked) == {
        "x": 1,
        "username": "ada",
    }


def test_t4_5_a_foreign_parameter_of_that_name_is_the_models() -> None:
    schema = {"properties": {"username": {"type": "string"}, "_atlas_user": {}}, "required": ["username"]}
    tool = ToolInfo("get_user", "", schema)
    plain, asking = ServerEntry(command="x"), ServerEntry(command="x", fill_username=True)
    given = {"username": "octocat", "_atlas_user": "root"}
    assert with_user(given, schema, "ada", hidden=plain.filled_in) == {
        "username": "octocat",
        "_atlas_user": "ada",
    }
    assert with_user(given, schema, "ada", hidden=asking.filled_in) == {
        "username": "ada",
        "_atlas_user": "ada",
    }
    shown = function_schema("f", tool, hidden=plain.filled_in)["function"]["parameters"]
    assert (list(shown["properties"]), shown["required"]) == (["username"], ["username"])
    hidden = function_schema("f", tool, hidden=asking.filled_in)["function"]["parameters"]
    assert (hidden["properties"], hidden["required"]) == ({}, [])
    assert "username (string)" in problem_with({"x": 1}, {**schema, "additionalProperties": False})


def test_a_burst_of_progress_becomes_few_events() -> None:
    written: list[dict[str, Any]] = []
    report = progress_to(written.append, "c")
    for step in range(1, 1001):
        report(step, 1000, "")
    assert written[0]["progress"] == 1
    assert written[-1]["progress"] == 1000
    assert len(written) < 50
