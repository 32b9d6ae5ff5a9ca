"""Forks of threads, on each database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langgraph.types import Command
from sqlalchemy import text
from sqlalchemy.engine import URL

from core.settings.platform import ThreadSettings
from graph.checkpoints.compaction import Compaction
from graph.db.tables import transcript
from graph.errors import ThreadNotFound
from graph.threads.history.errors import CheckpointNotFound, MessageNotFound
from graph.wiring.turn_provider import ThreadGraph
from tests.unit.graph.history_kit import ADA, BOB, World, opened_world

pytestmark = pytest.mark.slow

YES: Command[Any] = Command(resume=True)


@pytest.fixture
async def world(database: URL) -> AsyncIterator[World]:
    async with opened_world(database) as world:
        yield world


async def test_a_fork_is_the_thread_again_under_another_id(world: World) -> None:
    await world.say("t", "one")
    await world.say("t", "calc")
    await world.threads.change(ADA, "t", title="Title", tags=["x"])
    before = await world.texts("t")
    made = await world.threads.fork(ADA, "t")
    assert made["id"] != "t"
    assert (made["title"], made["tags"], made["parent"], made["turns"]) == ("Title", ["x"], "t", 2)
    assert await world.texts(made["id"]) == before
    assert await world.ids(made["id"]) == await world.ids("t")
    assert not (await world.row(made["id"]))["dirty"]


async def test_both_go_on_apart(world: World) -> None:
    await world.say("t", "one")
    made = (await world.threads.fork(ADA, "t"))["id"]
    await world.say("t", "two")
    await world.say(made, "three")
    assert await world.texts("t") == ["one", "re: one", "two", "re: two"]
    assert await world.texts(made) == ["one", "re: one", "three", "re: three"]


async def test_a_fork_outlives_the_thread_it_came_from(world: World) -> None:
    for n in range(3):
        await world.say("t", f"m{n}")
    made = (await world.threads.fork(ADA, "t"))["id"]
    await world.threads.delete(ADA, "t")
    await world.say(made, "on")
    assert await world.texts(made) == ["m0", "re: m0", "m1", "re: m1", "m2", "re: m2", "on", "re: on"]


async def test_a_fork_from_an_older_checkpoint_has_what_was_said_until_then(world: World) -> None:
    await world.say("t", "one")
    then = (await world.checkpoints("t"))[0]["checkpoint_id"]
    await world.say("t", "two")
    made = await world.threads.fork(ADA, "t", checkpoint_id=then)
    assert await world.texts(made["id"]) == ["one", "re: one"]
    assert len(await world.ids(made["id"])) == 2
    assert (made["turns"], made["status"]) == (1, "idle")
    assert not (await world.row(made["id"]))["dirty"]


async def test_a_fork_from_every_checkpoint_takes_the_next_message(world: World) -> None:
    for said in ("one", "both", YES, "three"):
        await world.say("t", said)
    for checkpoint in await world.checkpoints("t"):
        key = checkpoint["checkpoint_id"]
        then = await world.threads.state(ADA, "t", checkpoint_id=key)
        made = (await world.threads.fork(ADA, "t", checkpoint_id=key))["id"]
        row = await world.row(made)
        head = (await world.threads.state(ADA, made))["checkpoint_id"]
        here = await world.threads.state(ADA, made, checkpoint_id=head)
        assert [m["id"] for m in here["messages"]] == [m["id"] for m in then["messages"]]
        assert row["status"] == ("interrupted" if here["interrupts"] else "idle")
        assert row["dirty"] == bool(here["next"])
        await world.say(made, "next")
        assert (await world.texts(made))[-1] == "re: next"


async def test_a_question_that_waits_waits_in_the_fork_too(world: World) -> None:
    await world.say("t", "both")
    assert world.calls == ["calc"]
    made = await world.threads.fork(ADA, "t")
    (asked,) = made["waiting"]
    assert (made["status"], asked["kind"]) == ("interrupted", "approval")
    assert asked["id"] == (await world.threads.state(ADA, "t"))["interrupts"][0]["id"]
    await world.say(made["id"], YES)
    assert world.calls == ["calc", "ask"]
    assert (await world.texts(made["id"]))[-1].startswith("re: ")
    assert (await world.threads.get(ADA, "t"))["status"] == "interrupted"


async def test_a_question_that_was_answered_waits_again_in_a_fork_from_then(world: World) -> None:
    await world.say("t", "both")
    then = (await world.checkpoints("t"))[0]["checkpoint_id"]
    await world.say("t", YES)
    made = await world.threads.fork(ADA, "t", checkpoint_id=then)
    assert [asked["kind"] for asked in made["waiting"]] == ["approval"]
    assert (await world.threads.state(ADA, made["id"]))["interrupts"]
    await world.say(made["id"], YES)
    # The call beside it had been made before the question was asked, and is not made again.
    assert world.calls == ["calc", "ask", "ask"]


async def test_of_two_questions_the_one_that_is_open_waits(world: World) -> None:
    await world.say("t", "asks")
    first, second = (question["id"] for question in (await world.threads.state(ADA, "t"))["interrupts"])
    await world.say("t", Command(resume={first: True}))
    made = await world.threads.fork(ADA, "t")
    assert [question["id"] for question in made["waiting"]] == [second]
    await world.say(made["id"], Command(resume={second: True}))
    assert world.calls == ["ask", "ask"]
    then = (await world.threads.state(ADA, "t"))["checkpoint_id"]
    await world.say("t", Command(resume={second: True}))
    again = await world.threads.fork(ADA, "t", checkpoint_id=then)
    assert {question["id"] for question in again["waiting"]} == {first, second}


async def test_forks_of_a_thread_that_is_deleted_at_once_are_whole_or_not_there(world: World) -> None:
    for n in range(3):
        await world.say("t", f"m{n}")
    forking = [world.threads.fork(ADA, "t") for _ in range(6)]
    found = await asyncio.gather(*forking, world.threads.delete(ADA, "t"), return_exceptions=True)
    made = [fork["id"] for fork in found if isinstance(fork, dict)]
    refused = [fork for fork in found if isinstance(fork, BaseException)]
    assert all(isinstance(error, (ThreadNotFound, CheckpointNotFound)) for error in refused), refused
    assert await world.rows_of("t") == {}
    for thread in made:
        assert len(await world.texts(thread)) == 6
        await world.say(thread, "on")


async def test_a_message_can_be_said_differently(world: World) -> None:
    await world.say("t", "one")
    second = await world.say("t", "two")
    await world.say("t", "three")
    made = await world.threads.fork_before(ADA, "t", second)
    await world.say(made["id"], "zwei")
    assert await world.texts(made["id"]) == ["one", "re: one", "zwei", "re: zwei"]
    assert len(await world.ids(made["id"])) == 4
    assert await world.texts("t") == ["one", "re: one", "two", "re: two", "three", "re: three"]


async def test_the_first_message_too(world: World) -> None:
    first = await world.say("t", "one")
    made = await world.threads.fork_before(ADA, "t", first)
    assert (made["turns"], await world.texts(made["id"]), await world.ids(made["id"])) == (0, [], [])
    await world.say(made["id"], "eins")
    assert await world.texts(made["id"]) == ["eins", "re: eins"]


async def test_and_one_behind_a_question_that_nobody_answered(world: World) -> None:
    await world.say("t", "ask")
    second = await world.say("t", "two")
    made = await world.threads.fork_before(ADA, "t", second)
    assert made["status"] == "interrupted"
    await world.say(made["id"], YES)
    assert (await world.texts(made["id"]))[-1] == "re: ask ok"


async def test_where_older_checkpoints_are_gone_the_state_is_made_again(world: World) -> None:
    ids = [await world.say("t", said) for said in ("one", "calc", "three")]
    before = (await world.texts("t"))[:-2]
    async with world.engine.begin() as db:
        await db.execute(text("UPDATE checkpoints SET parent_checkpoint_id = NULL"))
        await db.execute(text("DELETE FROM checkpoints WHERE thread_id = 't' AND checkpoint_id < :last"),
                         {"last": (await world.checkpoints("t"))[0]["checkpoint_id"]})  # fmt: skip
    made = (await world.threads.fork_before(ADA, "t", ids[2]))["id"]
    assert await world.texts(made) == before
    await world.say(made, "drei")
    assert (await world.texts(made))[-2:] == ["drei", "re: drei"]


async def test_after_compaction_what_is_kept_can_be_forked_and_edited(world: World) -> None:
    said = ("one", "calc", "three", "four")
    ids = [await world.say("t", text) for text in said]
    states = {said[0]: [], "calc": (await world.texts("t"))[:2]}
    states |= {"three": (await world.texts("t"))[:6], "four": (await world.texts("t"))[:8]}
    settings = ThreadSettings(checkpoint_turns=2)
    compaction = Compaction(world.engine, ThreadGraph(world.graph), world.leases, settings)
    assert await compaction.compact("t") > 0
    for text_said, message_id in zip(said, ids, strict=True):
        made = (await world.threads.fork_before(ADA, "t", message_id))["id"]
        assert await world.texts(made) == states[text_said], text_said
        await world.say(made, "instead")
        assert await world.texts(made) == [*states[text_said], "instead", "re: instead"]
    for checkpoint in await world.checkpoints("t"):
        made = (await world.threads.fork(ADA, "t", checkpoint_id=checkpoint["checkpoint_id"]))["id"]
        assert len(await world.texts(made)) == checkpoint["messages"]
        await world.say(made, "next")


async def test_a_crashed_message_is_not_lost_in_the_fork(world: World) -> None:
    await world.say("t", "one")
    lost = {"thread_id": "t", "message_id": "m_lost", "role": "user", "text": "lost", "extra": {}}
    async with world.engine.begin() as db:
        await db.execute(transcript.insert().values({**lost, "created_at": 1.0}))
    made = (await world.threads.fork(ADA, "t"))["id"]
    assert (await world.row(made))["dirty"]
    assert (await world.ids(made))[-1] == "m_lost"


async def test_an_empty_thread_can_be_forked(world: World) -> None:
    await world.threads.create(ADA, thread_id="t", title="Empty")
    made = await world.threads.fork(ADA, "t")
    assert (made["title"], made["turns"]) == ("Empty", 0)


async def test_what_is_not_there_is_said(world: World) -> None:
    first = await world.say("t", "one")
    with pytest.raises(CheckpointNotFound):
        await world.threads.fork(ADA, "t", checkpoint_id="nope")
    with pytest.raises(MessageNotFound):
        await world.threads.fork_before(ADA, "t", "nope")
    answer = (await world.ids("t"))[1]
    with pytest.raises(MessageNotFound):
        await world.threads.fork_before(ADA, "t", answer)
    for who, thread in ((BOB, "t"), (ADA, "u")):
        with pytest.raises(ThreadNotFound):
            await world.threads.fork(who, thread)
        with pytest.raises(ThreadNotFound):
            await world.threads.fork_before(who, thread, first)
