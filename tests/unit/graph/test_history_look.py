"""One checkpoint read, two compared, tags: on each database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import URL

from core.errors import InvalidInput
from graph.errors import ThreadNotFound
from graph.threads.history.errors import CheckpointNotFound
from tests.unit.graph.history_kit import ADA, BOB, World, opened_world


@pytest.fixture
async def world(database: URL) -> AsyncIterator[World]:
    async with opened_world(database) as world:
        yield world


async def test_every_checkpoint_can_be_read(world: World) -> None:
    await world.say("t", "one")
    await world.say("t", "ask")
    newest = await world.threads.state(ADA, "t")
    seen = []
    for checkpoint in await world.checkpoints("t"):
        state = await world.threads.state(ADA, "t", checkpoint_id=checkpoint["checkpoint_id"])
        assert state.keys() == newest.keys()
        assert state["checkpoint_id"] == checkpoint["checkpoint_id"]
        assert (len(state["messages"]), state["next"]) == (checkpoint["messages"], checkpoint["next"])
        seen.append(len(state["messages"]))
    assert seen == sorted(seen, reverse=True)
    assert newest["interrupts"][0]["kind"] == "approval"


async def test_a_checkpoint_that_is_not_there_is_said(world: World) -> None:
    await world.say("t", "one")
    for wrong in ("nope", "1f1e8d50-1cd3-68c3-bfff-cde6ae3178d3"):
        with pytest.raises(CheckpointNotFound, match=wrong):
            await world.threads.state(ADA, "t", checkpoint_id=wrong)
    with pytest.raises(InvalidInput):
        await world.threads.state(ADA, "t", checkpoint_id="a/b")


async def test_the_newest_is_compared_with_the_one_before(world: World) -> None:
    await world.say("t", "one")
    found = await world.threads.diff(ADA, "t")
    newest, older = (await world.checkpoints("t"))[:2]
    assert (found["from"], found["to"]) == (older, newest)
    assert found["messages"] == {"added": [], "removed": [], "changed": []}
    assert found["next"] == {"from": ["store_files"], "to": []}


async def test_any_two_are_compared_in_either_direction(world: World) -> None:
    await world.say("t", "one")
    first = (await world.checkpoints("t"))[0]["checkpoint_id"]
    await world.say("t", "ask")
    info = await world.files.put(ADA, "a.txt", b"x")
    config = {"configurable": {"thread_id": "t"}}
    async with world.leases.borrow("t"):
        artifacts = [{"id": "a1", "name": "b", "b64": "x" * 10_000}]
        values = {"files": [info.as_ref()], "artifacts": artifacts}
        await world.graph.aupdate_state(config, values, as_node="store_files")
    last = (await world.checkpoints("t"))[0]["checkpoint_id"]
    onward = await world.threads.diff(ADA, "t", from_id=first, to_id=last)
    back = await world.threads.diff(ADA, "t", from_id=last, to_id=first)
    assert onward["messages"]["added"][0]["text"] == "ask"
    assert onward["messages"]["added"] == back["messages"]["removed"]
    assert [file["name"] for file in onward["files"]["added"]] == ["a.txt"]
    shown = onward["channels"]["artifacts"]["to"][0]
    assert shown["id"] == "a1"
    assert len(shown["b64"]) < 600


async def test_a_changed_message_is_shown_as_it_was_and_is(world: World) -> None:
    await world.say("t", "one")
    config = {"configurable": {"thread_id": "t"}}
    async with world.leases.borrow("t"):
        answer = (await world.graph.aget_state(config)).values["messages"][-1]
        new = answer.model_copy(update={"content": "another"})
        await world.graph.aupdate_state(config, {"messages": [new]}, as_node="store_files")
    (changed,) = (await world.threads.diff(ADA, "t"))["messages"]["changed"]
    assert (changed["from"]["text"], changed["to"]["text"]) == ("re: one", "another")


async def test_a_fork_is_compared_with_its_original(world: World) -> None:
    await world.say("t", "one")
    fork = (await world.threads.fork(ADA, "t"))["id"]
    await world.say("t", "two")
    await world.say(fork, "three")
    found = await world.threads.diff(ADA, "t", other=fork)
    assert [m["text"] for m in found["messages"]["added"]] == ["three", "re: three"]
    assert [m["text"] for m in found["messages"]["removed"]] == ["two", "re: two"]


async def test_what_cannot_be_compared_is_said(world: World) -> None:
    await world.threads.create(ADA, thread_id="empty")
    with pytest.raises(CheckpointNotFound, match="no checkpoint yet"):
        await world.threads.diff(ADA, "empty")
    await world.say("t", "one")
    oldest = (await world.checkpoints("t"))[-1]["checkpoint_id"]
    with pytest.raises(CheckpointNotFound):
        await world.threads.diff(ADA, "t", to_id=oldest)
    for who, other in ((BOB, None), (ADA, "nobody")):
        with pytest.raises(ThreadNotFound):
            await world.threads.diff(who, "t", other=other)


async def test_threads_are_found_by_a_whole_tag(world: World) -> None:
    for name, tags in {"a": ["work", "höhe"], "b": ["work trip"], "c": ['say "work"', "50%"]}.items():
        await world.threads.create(ADA, thread_id=name)
        await world.threads.change(ADA, name, tags=tags)
    found = {"work": ["a"], "höhe": ["a"], "work trip": ["b"], 'say "work"': ["c"], "50%": ["c"]}
    for tag, expected in {**found, "wor": [], "%": []}.items():
        assert [thread["id"] for thread in await world.threads.list(ADA, tag=tag)] == expected
    assert await world.threads.list(BOB, tag="work") == []


async def test_tags_are_trimmed_kept_once_and_bounded(world: World) -> None:
    await world.threads.create(ADA, thread_id="t", title="T")
    changed = await world.threads.change(ADA, "t", tags=[" a ", "b", "a"])
    assert (changed["tags"], changed["title"]) == (["a", "b"], "T")
    assert (await world.threads.change(ADA, "t", title="U"))["tags"] == ["a", "b"]
    for wrong in ([""], ["x" * 41], [str(n) for n in range(21)], ["a\x00b"], ["a\nb"]):
        with pytest.raises(InvalidInput):
            await world.threads.change(ADA, "t", tags=wrong)
    assert (await world.threads.change(ADA, "t", tags=[]))["tags"] == []
