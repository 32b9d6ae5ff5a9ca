"""An answer is read part by part: what a tool did is never lost, and never told as not done."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from nodes.mcp_tools.adapters.messages import _parsed
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.fake import FakeLinks
from nodes.mcp_tools.models import ExecutionContext
from nodes.mcp_tools.results import ReadResult, call_result, read_result
from tests.kit.odd_servers import odd, text
from waystation.testing.mcp_servers import managed

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 40).decode()
PLACED = {"type": "text", "text": "order 4711 placed"}
CONTEXT = ExecutionContext(Principal("ada"), call_id="c1")


def read(answer: object, max_bytes: int = 4096) -> ReadResult:
    return read_result(call_result(answer), call_id="c", tool="t", max_bytes=max_bytes)


def beside(*parts: Any, **more: Any) -> str:
    """The text of an answer that says that an order was placed, and these parts."""
    answer = {"content": [PLACED, *parts], **more}
    assert not call_result(answer).is_error
    found = read(answer).text
    assert found.startswith("order 4711 placed")
    return found.removeprefix("order 4711 placed").strip()


def test_t3_1_a_link_with_a_relative_address_is_kept() -> None:
    assert beside({"type": "resource_link", "uri": "orders/4711", "name": "order"}) == "order: orders/4711"
    assert beside({"type": "resource_link", "uri": "x y", "title": "T", "description": 5}) == "T: x y"
    assert beside({"type": "resource_link", "name": "n"}) == '{"type":"resource_link","name":"n"}'


def test_t3_1_an_image_without_a_media_type_is_a_file() -> None:
    (image,) = read({"content": [PLACED, {"type": "image", "data": PNG}]}).artifacts
    assert (image.name, image.media_type) == ("t-1.png", "image/png")
    riff = base64.b64encode(b"RIFF0000WAVE").decode()
    (sound,) = read({"content": [{"type": "audio", "data": riff, "mimeType": None}]}).artifacts
    assert sound.media_type == "audio/wav"
    (other,) = read({"content": [{"type": "image", "data": base64.b64encode(b"?").decode()}]}).artifacts
    assert other.media_type == "application/octet-stream"


@pytest.mark.parametrize(
    "data", [PNG.rstrip("="), PNG.replace("+", "-").replace("/", "_"), f"{PNG[:20]}\n{PNG[20:]}"]
)
def test_t3_1_base64_may_be_written_in_any_of_its_ways(data: str) -> None:
    assert read({"content": [{"type": "image", "data": data}]}).artifacts[0].data.startswith(b"\x89PNG")
    (image,) = read({"content": [{"type": "image", "data": f"data:image/x-own;base64,{data}"}]}).artifacts
    assert image.media_type == "image/x-own"


@pytest.mark.parametrize("flag", [None, "no", 0, [], {}, False])
def test_t3_1_only_a_yes_says_that_a_call_failed(flag: object) -> None:
    assert beside(isError=flag) == ""
    assert call_result({"content": [], "isError": True}).is_error
    assert call_result({"content": [], "isError": "True"}).is_error


KEPT: list[tuple[Any, str]] = [
    ({"type": "image", "data": "%%%"}, '{"type":"image","data":"%%%"}'),
    ({"type": "image"}, '{"type":"image"}'),
    ({"type": "video", "url": "https://x.test/v"}, '{"type":"video","url":"https://x.test/v"}'),
    ({"type": ["text"]}, '{"type":["text"]}'),
    ({"text": "no type"}, '{"text":"no type"}'),
    ({"type": "text", "text": None}, '{"type":"text","text":null}'),
    ({"type": "text", "text": 5}, '{"type":"text","text":5}'),
    ({"type": "resource", "resource": {"uri": "a"}}, '{"type":"resource","resource":{"uri":"a"}}'),
    ({"type": "resource", "resource": "a"}, '{"type":"resource","resource":"a"}'),
    ("plain", "plain"),
    (7, "7"),
    (None, "null"),
    ({"type": "text", "text": "fine", "annotations": {"audience": 5}}, "fine"),
    ({"type": "odd", "big": 10**30, "no": float("nan")}, f'{{"type":"odd","big":"{10**30}","no":"NaN"}}'),
]


@pytest.mark.parametrize(("part", "shown"), KEPT)
def test_t3_1_a_part_that_is_not_understood_is_shown_as_it_is(part: Any, shown: str) -> None:
    assert beside(part) == shown


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"content": "a text"}, "a text"),
        ({"content": PLACED}, "order 4711 placed"),
        ([PLACED], "order 4711 placed"),
        ("a text", "a text"),
        (None, ""),
        ({}, ""),
        ({"content": None}, ""),
        ({"toolResult": {"a": 1}}, '{"toolResult":{"a":1}}'),
        ({"content": [PLACED], "more": 1, "_meta": {"x": 1}}, 'order 4711 placed\n{"more":1}'),
    ],
)
def test_t3_1_an_answer_of_another_shape_is_read_too(answer: object, shown: str) -> None:
    assert read(answer).text == shown


def test_t3_1_an_embedded_resource_is_read_with_what_it_has() -> None:
    blob = {"type": "resource", "resource": {"blob": PNG}}
    note = {"type": "resource", "resource": {"uri": 5, "text": "noted", "mimeType": None}}
    reading = read({"content": [PLACED, blob, note]})
    assert [artifact.media_type for artifact in reading.artifacts] == ["image/png", "text/plain"]
    assert "noted" in reading.text


async def test_t3_1_what_was_done_is_never_told_as_not_done(tmp_path: Path) -> None:
    tools = ["order", "cut", "neither", "huge", "both"]
    odd_parts = [PLACED, {"type": "resource_link", "uri": "o/1", "name": "o"}, {"type": "image", "data": PNG}]
    script = {
        "tools": [{"name": name, "inputSchema": {"type": "object"}} for name in tools],
        "calls": {
            "order": {"result": {"content": odd_parts, "isError": None}},
            "cut": {"line": '{"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type"'},
            "neither": {"done": True},
            "huge": text("x" * 40_000),
            "both": {**text("done"), "error": None},
        },
    }
    entry = odd(tmp_path / "s", script, max_result_bytes=1024)
    async with managed({"far": entry}, tmp_path) as manager:
        executor = ToolExecutor(manager, FakeLinks())
        found = {}
        for name in tools:
            call = {"id": "c1", "name": f"far_{name}", "args": {}}
            found[name] = await executor.execute(call, CONTEXT)
        assert manager.status()["far"].restarts == 0
    assert {name: outcome.status for name, outcome in found.items()} == {
        **dict.fromkeys(("order", "both"), "ok"),
        **dict.fromkeys(("cut", "neither", "huge"), "unknown"),
    }
    assert found["order"].text == "order 4711 placed\no: o/1\nFiles made: order-1.png"
    assert "whether the tool did its work is unknown, so do not repeat" in found["cut"].text


@pytest.mark.parametrize(
    ("parts", "structured", "shown"),
    [
        (["hello"], {"total": 3}, 'hello\n{"total":3}'),
        (["hello"], ["a"], 'hello\n["a"]'),
        (["hello"], "other", "hello\nother"),
        (["3"], 0, "3\n0"),
        ([], {"total": 3}, '{"total":3}'),
        (['{\n "total": 3\n}'], {"total": 3}, '{\n "total": 3\n}'),
        (["7"], {"result": 7}, "7"),
        (["seven"], {"result": "seven"}, "seven"),
        (["1", "2"], {"result": [1, 2]}, "1\n2"),
        (["a file"], {"content": "a file"}, "a file"),
        (["one"], {"result": "two"}, 'one\n{"result":"two"}'),
        (["hello"], None, "hello"),
        (["{broken"], {"a": 10**30}, f'{{broken\n{{"a":"{10**30}"}}'),
    ],
)
def test_t3_2_structured_content_is_kept_unless_the_text_says_it(
    parts: list[str], structured: Any, shown: str
) -> None:
    content = [{"type": "text", "text": part} for part in parts]
    assert read({"content": content, "structuredContent": structured}).text == shown


def test_t3_2_bytes_that_come_twice_are_one_file() -> None:
    image = {"type": "image", "data": PNG}
    same = read({"content": [image], "structuredContent": {"content": [image]}})
    assert same.text == "Files made: t-1.png"
    other = read({"content": [image], "structuredContent": {"image": PNG, "width": 1}})
    assert other.text == '{"image":"[the file]","width":1}\nFiles made: t-1.png'


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            '{"results": "build ok", "artifacts": [{"name": "log", "url": "https://x.test/1"}]}',
            "https://x.test/1",
        ),
        ('{"results": "ok", "meta_data": {"next_page": 2}}', '{"next_page":2}'),
        ('{"results": "ok", "artifacts": "log.txt"}', "log.txt"),
        ('{"results": "ok", "artifacts": [{"name": "a", "b64": "%%%"}]}', "%%%"),
        ('{"results": "ok", "display": "https://x.test/2"}', "https://x.test/2"),
        ('{"results": "ok", "display": {"size": 123456789012345678901234567890}}', "1234567890"),
        ('{"results": "ok", "cursor": 7}', "7"),
    ],
)
def test_t3_3_what_only_looks_like_version_2_loses_nothing(said: str, kept: str) -> None:
    assert kept in read({"content": [{"type": "text", "text": said}]}).text


def test_t3_3_version_2_in_one_place_keeps_what_the_other_says() -> None:
    both = {"content": [{"type": "text", "text": "done"}], "structuredContent": {"results": "four"}}
    assert read(both).text == "four\ndone"
    other = {"content": [{"type": "text", "text": '{"results": "four"}'}], "structuredContent": {"page": 2}}
    assert read(other).text == 'four\n{"page":2}'


def test_the_number_of_files_is_bounded() -> None:
    parts = [{"type": "image", "data": PNG}] * 130
    reading = read({"content": parts})
    assert len(reading.artifacts) == 100
    assert reading.text.count("over 100 files") == 20
    assert reading.text.endswith("[and 10 more]")


def test_t3_1_a_number_of_more_digits_than_python_reads_keeps_them_all() -> None:
    digits = "7" * 5000
    assert _parsed(f'{{"id": 1, "result": {{"n": {digits}}}}}') == {"id": 1, "result": {"n": digits}}
