"""Elicitations of real servers find the call that they belong to, or nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from nodes.mcp_tools.adapters.elicitation import SharedLock
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import Answer, Question
from nodes.mcp_tools.settings import ServerEntry
from waystation.testing.contracts.tool_connector import Person, Unanswered
from waystation.testing.mcp_servers import http_peer, managed, peer, text_of, until

NIGHTS = Answer("accept", {"nights": 3})


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[MCPToolManager]:
    async with managed({"peer": peer()}, tmp_path) as manager:
        yield manager


async def test_servers_hear_that_forms_can_be_filled_in_and_nothing_else(manager: MCPToolManager) -> None:
    abilities = json.loads(text_of(await manager.call("peer", "abilities", {})))
    assert abilities == {"elicitation": {"form": {}}}


async def test_a_person_is_sent_to_no_address(manager: MCPToolManager) -> None:
    person = Person(NIGHTS)
    answer = json.loads(text_of(await manager.call("peer", "visit", {}, ask=person.ask)))
    assert answer["error"]["code"] == -32602
    assert person.heard == []


async def test_a_server_is_told_when_its_question_ends_the_call(manager: MCPToolManager) -> None:
    with pytest.raises(Unanswered):
        await manager.call("peer", "book", {"place": "Rome"}, ask=Person(None).ask)
    assert len(json.loads(text_of(await manager.call("peer", "cancelled", {})))) == 1


@pytest.mark.parametrize("busy", [True, False])
async def test_the_late_question_of_a_call_that_was_given_up_is_put_to_nobody(
    manager: MCPToolManager, tmp_path: Path, busy: bool
) -> None:
    log, go, done = (tmp_path / name for name in ("log", "go", "done"))
    person, stranger = Person(NIGHTS), Person(NIGHTS)
    late = asyncio.create_task(
        manager.call("peer", "ask_late", {"path": str(go), "log": str(log)}, ask=person.ask)
    )
    await until(log.exists)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    other = asyncio.create_task(manager.call("peer", "wait", {"path": str(done)}, ask=stranger.ask))
    if not busy:
        done.touch()
        await other
    go.touch()
    await until(lambda: len(log.read_text().splitlines()) == 2)
    done.touch()
    await other
    assert "error" in json.loads(log.read_text().splitlines()[1])
    assert (person.heard, stranger.heard) == ([], [])


async def test_a_tool_that_asks_has_its_server_to_itself_from_then_on(
    manager: MCPToolManager, tmp_path: Path
) -> None:
    log, done = tmp_path / "log", tmp_path / "done"
    booking = {"place": "Rome", "log": str(log)}
    await manager.call("peer", "book", booking, ask=Person(NIGHTS).ask)
    other = asyncio.create_task(manager.call("peer", "wait", {"path": str(done)}))
    await asyncio.sleep(0)
    again = asyncio.create_task(manager.call("peer", "book", booking, ask=Person(NIGHTS).ask))
    done.touch()
    assert text_of(await again) == "Rome: 3 nights"
    assert text_of(await other) == "woken"
    assert log.read_text().splitlines() == ["began Rome", "booked Rome"] * 2, "it was made once each time"


async def test_over_http_calls_that_ask_go_on_side_by_side(tmp_path: Path) -> None:
    with http_peer() as (url, _):
        servers = {"far": ServerEntry.model_validate({"url": url})}
        async with managed(servers, tmp_path) as manager:
            people = {place: Person(NIGHTS) for place in ("Rome", "Oslo", "Bern")}
            for _ in range(2):
                calls = (
                    manager.call("far", "book", {"place": p}, ask=person.ask) for p, person in people.items()
                )
                results = await asyncio.gather(*calls)
                assert [text_of(result) for result in results] == [f"{place}: 3 nights" for place in people]
    for place, person in people.items():
        assert [question.message for question in person.heard] == [f"How many nights in {place}?"] * 2


async def test_a_question_that_is_answered_late_holds_up_no_call_for_ever(tmp_path: Path) -> None:
    async with managed({"peer": peer(timeout_s=1)}, tmp_path) as manager:

        async def never(_: Question) -> Answer:
            await asyncio.Event().wait()
            raise AssertionError

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await manager.call("peer", "book", {"place": "Rome"}, ask=never)
        assert text_of(await manager.call("peer", "echo", {"text": "on"})) == "on"


async def visits(lock: SharedLock, wanted: Sequence[bool]) -> tuple[list[int], list[asyncio.Task[None]]]:
    """Tasks that want in, alone or not; each notes its number when it is in, and stays until cancelled."""
    inside: list[int] = []

    async def visit(number: int, alone: bool) -> None:
        async with lock.held(alone=alone):
            inside.append(number)
            try:
                await asyncio.Event().wait()
            finally:
                inside.remove(number)

    tasks = []
    for number, alone in enumerate(wanted):
        tasks.append(asyncio.create_task(visit(number, alone)))
        await settle()
    return inside, tasks


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_shared_lock_lets_in_together_or_alone_in_the_order_of_coming() -> None:
    inside, tasks = await visits(SharedLock(), [False, False, True, False, False, True])
    seen = [list(inside)]
    for number in (0, 1, 2, 3, 4, 5):
        tasks[number].cancel()
        await settle()
        seen.append(list(inside))
    assert seen == [[0, 1], [1], [2], [3, 4], [4], [5], []]


async def test_whoever_gives_up_waiting_at_a_shared_lock_is_passed_over() -> None:
    inside, tasks = await visits(SharedLock(), [False, True, False, True])
    tasks[1].cancel()
    await settle()
    assert inside == [0, 2]
    for task in (tasks[0], tasks[2]):
        task.cancel()
    tasks[3].cancel()  # in the same moment as it is let in
    await asyncio.gather(*tasks, return_exceptions=True)
    assert inside == []


async def test_a_shared_lock_is_free_again_when_one_that_was_just_let_in_left() -> None:
    lock = SharedLock()
    inside, tasks = await visits(lock, [True, True])
    tasks[0].cancel()
    await asyncio.sleep(0)  # it has left, and the other was let in but has not run yet
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with lock.held(alone=True):
        assert inside == []
