"""Files over HTTP: up, down, in parts, by link, and with a turn."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json

import httpx
import pytest

from core.access import Principal
from graph.agent import Agent
from nodes.file_storage import FileManager
from server.examples import EXAMPLES
from tests.kit.http import assert_problem, client_of, served
from waystation.testing.agents import open_agent
from waystation.testing.s3 import S3Server

CSV = b"region,amount\nnorth,10\nsouth,32\n"


async def put(http: httpx.AsyncClient, name: str = "sales.csv", data: bytes = CSV) -> dict[str, object]:
    answer = await http.post("/files", files={"file": (name, data, "text/csv")}, data={"tags": '{"a": "b"}'})
    assert answer.status_code == 201, answer.text
    found: dict[str, object] = answer.json()
    return found


async def test_an_upload_is_described_and_comes_back_byte_for_byte(http: httpx.AsyncClient) -> None:
    info = await put(http)
    answer = await http.get(f"/files/{info['key']}/content")
    assert {
        "filename": "sales.csv",
        "size": len(CSV),
        "content_type": "text/csv",
        "tags": {"a": "b"},
    }.items() <= (info.items())
    assert (await http.get(f"/files/{info['key']}")).json() == info
    assert answer.content == CSV
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment; ")


async def test_the_json_form_of_the_format_works(http: httpx.AsyncClient) -> None:
    body = {
        "filename": "a.txt",
        "content_base64": base64.b64encode(b"hello").decode(),
        "content_type": "text/plain",
    }
    info = (await http.post("/files", json=body)).json()
    assert info.keys() >= {"key", "filename", "size", "content_type", "last_modified", "etag", "tags"}
    assert (await http.get(f"/files/{info['key']}/content")).text == "hello"


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-5", 206, CSV[:6]),
        ("bytes=-3", 206, CSV[-3:]),
        ("bytes=10-", 206, CSV[10:]),
        ("bytes=0-2,4-5", 200, CSV),
        ("lines=1-2", 200, CSV),
        ("bytes=9999-", 416, None),
    ],
)
async def test_ranges(http: httpx.AsyncClient, asked: str, status: int, content: bytes | None) -> None:
    key = (await put(http))["key"]
    answer = await http.get(f"/files/{key}/content", headers={"range": asked})
    if content is None:
        assert_problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["content-range"].startswith("bytes */")
        return
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers["content-length"] == str(len(content))


async def test_a_range_of_another_version_gives_the_whole_file(http: httpx.AsyncClient) -> None:
    key = (await put(http))["key"]
    headers = {"range": "bytes=0-1", "if-range": '"other"'}
    assert (await http.get(f"/files/{key}/content", headers=headers)).status_code == 200


async def test_a_known_version_is_not_sent_again(http: httpx.AsyncClient) -> None:
    key = (await put(http))["key"]
    etag = (await http.get(f"/files/{key}/content")).headers["etag"]
    assert (await http.get(f"/files/{key}/content", headers={"if-none-match": etag})).status_code == 304


async def test_a_name_cannot_break_out_of_its_header(http: httpx.AsyncClient) -> None:
    info = await put(http, name='a"b é漢\\.csv')
    disposition = (await http.get(f"/files/{info['key']}/content")).headers["content-disposition"]
    assert disposition.count('"') == 2
    assert "filename*=UTF-8''" in disposition


async def test_lists_are_by_kind_and_page_by_page(http: httpx.AsyncClient) -> None:
    await put(http)
    newest = await put(http, name="newest.csv")
    first = (await http.get("/files", params={"file_type": "user", "limit": 1})).json()
    second = (await http.get("/files", params={"limit": 1, "after": first[0]["key"]})).json()
    assert [item["key"] for item in first] == [newest["key"]]
    assert second[0]["key"] != newest["key"]
    assert (await http.get("/files", params={"file_type": "tool"})).json() == []


async def test_a_deleted_file_is_gone(http: httpx.AsyncClient) -> None:
    key = (await put(http))["key"]
    assert (await http.delete(f"/files/{key}")).status_code == 204
    assert_problem(await http.get(f"/files/{key}"), 404, "file_not_found")
    assert_problem(await http.get(f"/files/{key}/content"), 404, "file_not_found")


async def test_a_signed_link_needs_no_login_and_a_changed_one_is_refused(
    http: httpx.AsyncClient, agent: Agent, base: str
) -> None:
    files = await agent.container.get(FileManager)
    info = await files.put(Principal("somebody-else"), "x.txt", b"secret")
    link = await files.link(Principal("somebody-else"), info.key, base_url=base)
    assert (await http.get(link)).content == b"secret"
    assert_problem(await http.get(link[:-2]), 403, "link_invalid")
    assert_problem(await http.get(f"/files/{info.key}"), 404, "file_not_found")


@pytest.mark.parametrize(
    ("files", "data"),
    [
        ({"other": ("a.txt", b"x")}, {}),
        ({"file": ("a.txt", b"x")}, {"tags": "[1]"}),
        ({"file": ("a.txt", b"x")}, {"tags": "{"}),
        ([("file", ("a.txt", b"x")), ("file", ("b.txt", b"y"))], {}),
    ],
)
async def test_a_form_that_cannot_be_read_says_why(
    http: httpx.AsyncClient, files: object, data: dict[str, str]
) -> None:
    assert_problem(await http.post("/files", files=files, data=data), 422, "invalid_request")  # type: ignore[arg-type]  # both shapes of httpx


async def test_tags_may_stand_behind_the_file(http: httpx.AsyncClient) -> None:
    form = [("file", ("late.txt", b"x")), ("tags", (None, b'{"a": "b"}'))]
    assert (await http.post("/files", files=form)).json()["tags"] == {"a": "b"}
    form[1] = ("tags", (None, b"[1]"))
    before = (await http.get("/files")).json()
    assert_problem(await http.post("/files", files=form), 422, "invalid_request")
    assert (await http.get("/files")).json() == before


async def test_what_has_no_room_is_refused_when_it_is_announced(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    quota = {"user_bytes": 1_000_000}
    async with (
        open_agent(tmp_path_factory.mktemp("full"), tools=(), file_storage=quota) as agent,
        served(agent) as base,
    ):
        host, port = base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /files HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5000000\r\n"
        part = '--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        # Of the file itself nothing is sent.
        writer.write(f"{head}content-type: multipart/form-data; boundary=b\r\n\r\n{part}".encode())
        async with asyncio.timeout(30):
            answer = await reader.readuntil(b"}")
        writer.close()
        assert b" 413 " in answer.splitlines()[0]
        assert b"file_total_reached" in answer


async def test_an_upload_over_the_limit_is_cut_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = {"upload_bytes": 200_000, "body_bytes": 2048}
    async with (
        open_agent(tmp_path_factory.mktemp("small"), limits=limits) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        big = {"file": ("big.bin", b"x" * 400_000)}
        assert_problem(await http.post("/files", files=big), 413)
        assert (await http.get("/files")).json() == []
        assert (await http.post("/files", files={"file": ("ok.bin", b"x" * 100_000)})).status_code == 201


async def test_a_file_goes_with_a_turn_and_the_tools_artifact_downloads(http: httpx.AsyncClient) -> None:
    key = (await put(http))["key"]
    body = {
        "input": {"message": "Aggregate sales.csv: the total of amount by region", "files": [key]},
        "config": {"configurable": {"thread_id": "with-file", "tools": ["tables"]}},
    }
    output = (await http.post("/agent/invoke", json=body)).json()["output"]
    made = output["files"]
    assert [call["server"] for call in output["tool_calls"]] == ["tables"]
    assert "32" in output["answer"]
    assert made
    content = await http.get(f"/files/{made[0]['key']}/content")
    assert b"south" in content.content


async def test_cl3_head_tells_what_get_would(http: httpx.AsyncClient) -> None:
    stored = (await http.post("/files", files={"file": ("a.txt", b"x" * 1000, "text/plain")})).json()
    path = f"/files/{stored['key']}/content"
    got, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-length", "content-type", "etag", "content-disposition", "accept-ranges")
    assert {name: head.headers[name] for name in same} == {name: got.headers[name] for name in same}
    assert head.headers["content-length"] == "1000"
    assert (await http.head(path, headers={"range": "bytes=5000-"})).status_code == 200
    assert (await http.head(path, headers={"if-none-match": head.headers["etag"]})).status_code == 304
    assert (await http.head(f"/files/{stored['key']}")).status_code == 200
    assert (await http.head("/files/f_nobody/content")).status_code == 404


async def test_cl3_head_of_a_signed_link(http: httpx.AsyncClient, agent: Agent) -> None:
    stored = (await http.post("/files", files={"file": ("a.txt", b"x" * 10)})).json()
    files = await agent.container.get(FileManager)
    for base in (str(http.base_url).rstrip("/"), None):  # of the service, and of the one for tools
        link = await files.link(Principal("ada"), stored["key"], base_url=base)
        head = await http.head(link)
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")
        assert (await http.head(link[:-3] + "abc")).status_code == 403


async def test_files_are_copied_tagged_and_found(http: httpx.AsyncClient) -> None:
    tags = {"tags": json.dumps({"year": "2026", "kind": "log"})}
    made = (await http.post("/files", files={"file": ("mast.txt", b"The mast is high.")}, data=tags)).json()
    changed = await http.patch(f"/files/{made['key']}", json={"tags": {"year": "1999", "kind": None}})
    assert changed.json()["tags"] == {"year": "1999"}
    copy = (await http.post(f"/files/{made['key']}/copy", json={"filename": "boom.txt"})).json()
    assert (copy["filename"], copy["tags"], copy["etag"]) == ("boom.txt", {"year": "1999"}, made["etag"])
    assert (await http.put(f"/files/{copy['key']}/tags", json={"tags": {"b": "c"}})).json()["tags"] == {
        "b": "c"
    }
    for query, found in (
        ({"q": "MAST"}, ["mast.txt"]),
        ({"tag": "year:1999"}, ["mast.txt"]),
        ({"tag": ["b", "b:c"]}, ["boom.txt"]),
        ({"q": "boom", "content_type": "image/"}, []),
    ):
        listed = (await http.get("/files", params=query)).json()
        assert [file["filename"] for file in listed] == found, query
    hits = (await http.get("/files/search", params={"q": "masts"})).json()["hits"]
    assert {hit["filename"] for hit in hits} == {"mast.txt", "boom.txt"}
    assert_problem(
        await http.patch(f"/files/{made['key']}", json={"tags": {"a": "x" * 600}}), 422, "invalid_file"
    )
    assert_problem(await http.post("/files/nobody/copy", json={}), 404, "file_not_found")
    digest = hashlib.sha256(b"x").hexdigest()
    direct = {"filename": "a", "size": 1, "sha256": digest}
    assert_problem(await http.post("/files/direct", json=direct), 409, "no_direct_uploads")


async def test_a_file_goes_to_the_bucket_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    content = b"length,fee\n8,12\n"
    asked = {"filename": "fees.csv", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    with S3Server() as s3:
        known = s3.settings("direct")
        bucket = known.model_dump() | {
            name: getattr(known, name).get_secret_value() for name in ("access_key_id", "secret_access_key")
        }
        storage = {"backend": "s3", "s3": bucket}
        async with (
            open_agent(tmp_path_factory.mktemp("direct"), tools=(), file_storage=storage) as agent,
            served(agent) as base,
            client_of(base) as http,
        ):
            told = await http.post("/files/direct", json=asked)
            assert told.status_code == 201, told.text
            assert told.json().keys() == EXAMPLES["POST", "/files/direct"].answer.keys()
            key, upload = told.json()["key"], told.json()["upload"]
            assert upload.keys() == EXAMPLES["POST", "/files/direct"].answer["upload"].keys()
            assert_problem(await http.post(f"/files/{key}/uploaded"), 404, "file_not_found")
            async with httpx.AsyncClient(trust_env=False) as outside:
                sent = await outside.request(
                    upload["method"], upload["url"], headers=upload["headers"], content=content
                )
            assert sent.status_code == 200, sent.text
            assert (await http.post(f"/files/{key}/uploaded")).json()["size"] == len(content)
            assert (await http.get(f"/files/{key}/content")).content == content
