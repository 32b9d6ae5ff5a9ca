"""What every connector to tool servers holds."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

from nodes.mcp_tools.models import Answer, Ask, Question
from nodes.mcp_tools.ports import Listener, ToolConnection, ToolConnector
from nodes.mcp_tools.settings import ServerEntry
from waystation.testing.mcp_servers import text_of

Subject = tuple[ToolConnector, ServerEntry]


class Session:
    """An open connection in a task of its own, as `ToolServer` holds it."""

    def __init__(self, connector: ToolConnector, entry: ServerEntry) -> None:
        self._connector = connector
        self._entry = entry
        self._opened: asyncio.Future[ToolConnection] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._owner = asyncio.create_task(self._own())

    async def _own(self) -> None:
        listener = Listener(changed=lambda: None, lost=lambda _: None)
        async with self._connector.open("peer", self._entry, listener, max_result_bytes=65_536) as found:
            self._opened.set_result(found)
            await self._leave.wait()

    async def __aenter__(self) -> ToolConnection:
        ends: set[asyncio.Future[Any]] = {self._opened, self._owner}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            await self._owner
        return self._opened.result()

    async def __aexit__(self, *exc: object) -> None:
        self._leave.set()
        await self._owner


class Unanswered(Exception):
    """There is no answer yet."""


class Person:
    """Answers every question the same way, and remembers them, with the task that they were asked in."""

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer
        self.heard: list[Question] = []
        self.tasks: set[object] = set()

    async def ask(self, question: Question) -> Answer:
        self.heard.append(question)
        self.tasks.add(asyncio.current_task())
        if self._answer is None:
            raise Unanswered
        return self._answer


NIGHTS = Answer("accept", {"nights": 3})


class ToolConnectorContract:
    """Give the fixture `subject`: a connector, and an entry of a server with the tools of `mcp_peer`.

    Four of them are needed: `echo` (text), `fail`, `progress` (steps), and `book` (place), which
    asks for a number of nights.
    """

    async def test_tools_come_with_description_and_schema(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            tools = {tool.name: tool for tool in (await connection.tools()).tools}
        assert tools["echo"].description
        assert tools["echo"].parameters["properties"]["text"]["type"] == "string"

    async def test_a_call_gives_the_tools_answer(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            result = await connection.call("echo", {"text": "héllo"})
            assert (text_of(result), result.is_error) == ("héllo", False)

    async def test_calls_may_overlap(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            results = await asyncio.gather(*(connection.call("echo", {"text": str(n)}) for n in range(20)))
            assert [text_of(result) for result in results] == [str(n) for n in range(20)]

    async def test_a_failed_tool_is_an_answer(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            result = await connection.call("fail", {})
        assert result.is_error
        assert "that went wrong" in text_of(result)

    async def test_progress_is_reported_while_the_call_goes(self, subject: Subject) -> None:
        seen: list[tuple[float, float | None, str]] = []
        async with Session(*subject) as connection:
            await connection.call("progress", {"steps": 2}, progress=lambda *step: seen.append(step))
        assert seen == [(1, 2, "step 1"), (2, 2, "step 2")]

    async def test_a_session_answers_a_ping(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            assert await connection.alive()

    async def test_a_question_in_the_middle_of_a_call_is_answered_in_the_callers_task(
        self, subject: Subject
    ) -> None:
        person = Person(NIGHTS)
        async with Session(*subject) as connection:
            result = await connection.call("book", {"place": "Rome"}, ask=person.ask)
        assert (text_of(result), result.is_error) == ("Rome: 3 nights", False)
        (question,) = person.heard
        assert (question.message, question.number) == ("How many nights in Rome?", 0)
        assert question.schema["properties"]["nights"]["type"] == "integer"
        assert person.tasks == {asyncio.current_task()}

    @pytest.mark.parametrize("action", ["decline", "cancel"])
    async def test_a_person_may_say_no_or_look_away(
        self, subject: Subject, action: Literal["decline", "cancel"]
    ) -> None:
        async with Session(*subject) as connection:
            result = await connection.call("book", {"place": "Rome"}, ask=Person(Answer(action)).ask)
        assert text_of(result) == f"not booked: {action}"

    async def test_where_nobody_can_be_asked_a_question_is_declined(self, subject: Subject) -> None:
        async with Session(*subject) as connection:
            assert text_of(await connection.call("book", {"place": "Rome"})) == "not booked: decline"

    async def test_a_question_without_an_answer_ends_the_call_and_the_session_goes_on(
        self, subject: Subject
    ) -> None:
        async with Session(*subject) as connection:
            with pytest.raises(Unanswered):
                await connection.call("book", {"place": "Rome"}, ask=Person(None).ask)
            again = await connection.call("book", {"place": "Rome"}, ask=Person(NIGHTS).ask)
            assert text_of(again) == "Rome: 3 nights"
            assert text_of(await connection.call("echo", {"text": "still here"})) == "still here"

    async def test_calls_that_ask_at_the_same_time_are_each_answered_by_their_own_person(
        self, subject: Subject
    ) -> None:
        places = {"Rome": 1, "Oslo": 2, "Bern": 3}
        people = {place: Person(Answer("accept", {"nights": n})) for place, n in places.items()}
        async with Session(*subject) as connection:
            calls = (connection.call("book", {"place": p}, ask=person.ask) for p, person in people.items())
            results = await asyncio.gather(*calls)
        assert [text_of(result) for result in results] == [f"{p}: {n} nights" for p, n in places.items()]
        for place, person in people.items():
            assert {question.message for question in person.heard} == {f"How many nights in {place}?"}

    async def test_a_question_is_never_put_to_another_calls_person(self, subject: Subject) -> None:
        stranger = Person(NIGHTS)
        strangers: list[Ask] = [stranger.ask] * 10
        async with Session(*subject) as connection:
            booking = connection.call("book", {"place": "Rome"}, ask=Person(NIGHTS).ask)
            others = (connection.call("echo", {"text": "x"}, ask=ask) for ask in strangers)
            result, *_ = await asyncio.gather(booking, *others)
        assert text_of(result) == "Rome: 3 nights"
        assert stranger.heard == []
