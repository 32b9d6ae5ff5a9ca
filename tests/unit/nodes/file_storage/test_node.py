"""The step of the graph, in a real graph."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from core.access import Principal, RunContext
from nodes.file_storage.errors import StorageUnavailable
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import FixedHost, LinkSigner
from nodes.file_storage.manager import FileManager
from nodes.file_storage.models import FileInfo
from nodes.file_storage.node import StoreFiles
from nodes.file_storage.settings import FileStorageSettings

ADA = Principal("ada")
Writes = dict[str, Any]
Events = list[dict[str, Any]]


class State(TypedDict, total=False):
    artifacts: list[dict[str, Any]] | None
    files: list[dict[str, Any]]


async def run(
    files: FileManager, state: State, *, thread: str | None = "t1", user: str = "ada"
) -> tuple[Writes, Events]:
    """What the node writes and emits for `state`."""
    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("store_files", StoreFiles(files))
    graph.add_edge(START, "store_files")
    graph.add_edge("store_files", END)
    compiled = graph.compile(checkpointer=InMemorySaver() if thread else None)
    writes: Writes = {}
    events: Events = []
    parts: Any = compiled.astream(
        state,
        {"configurable": {"thread_id": thread}} if thread else {},
        context=RunContext(user=user),
        stream_mode=["updates", "custom"],
    )
    async for mode, part in parts:
        if mode == "custom":
            events.append(part)
        else:
            writes = part["store_files"] or {}
    return writes, events


def artifact(id_: str, name: str = "out.csv", content: bytes = b"a,b\n") -> dict[str, Any]:
    return {"id": id_, "name": name, "media_type": "text/csv", "b64": b64encode(content).decode()}


async def test_artifacts_become_files_of_the_thread(files: FileManager) -> None:
    writes, events = await run(files, {"artifacts": [artifact("c1/0"), artifact("c1/1", "b.csv")]})
    stored = await files.list(ADA, thread="t1", origin="tool")
    assert {i.name for i in stored} == {"out.csv", "b.csv"}
    assert writes["artifacts"] is None
    assert [ref["name"] for ref in writes["files"]] == ["out.csv", "b.csv"]
    assert {ref["origin"] for ref in writes["files"]} == {"tool"}
    assert events[0] == {
        "type": "file",
        "key": writes["files"][0]["key"],
        "name": "out.csv",
        "media_type": "text/csv",
        "size": 4,
    }
    assert len(events) == 2


async def test_running_again_after_a_crash_stores_nothing_twice(files: FileManager) -> None:
    first, _ = await run(files, {"artifacts": [artifact("c1/0")]})
    again, _ = await run(files, {"artifacts": [artifact("c1/0")]})
    assert first["files"] == again["files"]
    assert len(await files.list(ADA)) == 1


async def test_the_same_artifact_id_in_another_thread_is_another_file(files: FileManager) -> None:
    await run(files, {"artifacts": [artifact("c1/0")]}, thread="t1")
    await run(files, {"artifacts": [artifact("c1/0")]}, thread="t2")
    assert len(await files.list(ADA)) == 2


async def test_uploads_are_attached_once(files: FileManager) -> None:
    info = await files.put(ADA, "in.csv", b"x")
    writes, events = await run(files, {"files": [info.as_ref()]})
    assert (await files.info(ADA, info.key)).thread == "t1"
    assert writes == {"files": [{**info.as_ref(), "thread": "t1"}]}
    assert events == []
    assert await run(files, {"files": writes["files"]}) == ({}, [])


@pytest.mark.parametrize("state", [{"files": []}, {"artifacts": None}, {"artifacts": [], "files": []}])
async def test_with_nothing_to_do_nothing_is_written(files: FileManager, state: State) -> None:
    assert await run(files, state) == ({}, [])


async def test_without_a_thread_artifacts_are_kept_all_the_same(files: FileManager) -> None:
    info = await files.put(ADA, "in.csv", b"x")
    writes, events = await run(files, {"artifacts": [artifact("1")], "files": [info.as_ref()]}, thread=None)
    assert [ref["name"] for ref in writes["files"]] == ["out.csv"]
    assert [e["type"] for e in events] == ["file"]
    assert (await files.info(ADA, info.key)).thread is None


async def test_what_cannot_be_stored_is_a_notice_and_the_rest_goes_on(files: FileManager) -> None:
    broken = {**artifact("2", "broken.csv"), "b64": "not base64!"}
    large = artifact("3", "large.csv", b"x" * 2000)
    gone = {"key": "f_gone", "name": "gone.csv", "media_type": "text/csv", "size": 1, "origin": "user"}
    writes, events = await run(files, {"artifacts": [broken, large, artifact("4")], "files": [gone]})
    assert [ref["name"] for ref in writes["files"]] == ["out.csv"]
    assert writes["artifacts"] is None
    assert [(e["type"], e.get("code")) for e in events] == [
        ("notice", "invalid_file"),
        ("notice", "file_too_large"),
        ("file", None),
        ("notice", "file_not_found"),
    ]
    assert "'broken.csv'" in events[0]["detail"]


async def test_somebody_elses_upload_is_not_attached(files: FileManager) -> None:
    info = await files.put(ADA, "in.csv", b"x")
    writes, events = await run(files, {"files": [info.as_ref()]}, user="bob")
    assert writes == {"files": []}
    assert events[0]["code"] == "file_not_found"
    assert (await files.info(ADA, info.key)).thread is None


class _Down(MemoryStore):
    async def put(self, draft: FileInfo, data: object, *, tags: object = None) -> FileInfo:
        raise StorageUnavailable("the bucket is down")


async def test_after_an_outage_the_artifacts_stay_for_the_next_turn(signer: LinkSigner) -> None:
    down = FileManager(_Down(), signer=signer, host=FixedHost("http://x"), settings=FileStorageSettings())
    writes, events = await run(down, {"artifacts": [artifact("1")]})
    assert "artifacts" not in writes
    assert events == [
        {"type": "notice", "code": "storage_unavailable", "detail": "'out.csv': the bucket is down"}
    ]


class _Counting(_Down):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def put(self, draft: FileInfo, data: object, *, tags: object = None) -> FileInfo:
        self.asked += 1
        return await super().put(draft, data)


async def test_after_an_outage_the_rest_of_the_turn_does_not_wait_for_the_same(signer: LinkSigner) -> None:
    store = _Counting()
    down = FileManager(store, signer=signer, host=FixedHost("http://x"), settings=FileStorageSettings())
    writes, events = await run(down, {"artifacts": [artifact("1", "a"), artifact("2", "b")]})
    assert store.asked == 1
    assert "artifacts" not in writes
    assert [event["detail"] for event in events] == ["'a': the bucket is down", "'b': the bucket is down"]
