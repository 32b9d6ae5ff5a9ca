"""MCP over two processes of one service: streams that are lost and taken up, and tools that ask."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.kit.mcp import FORMS, PATH, New, Old, error_of, text_of
from tests.kit.mcp_house import LONGEST, YES, House, adds, answer_at, ended
from waystation.testing.model_server import ModelServer, say

# -- a stream that is lost ------------------------------------------------------------------------------


@pytest.mark.always
async def test_a_lost_stream_is_taken_up_at_any_process_without_a_word_twice(
    house: House, model: ModelServer
) -> None:
    words = "One two three four five six."
    model.script(say(words, hang_after=2), match="lose me")
    ada = await Old.met(house.here["ada"], **FORMS)
    said: list[str] = []
    async with (
        asyncio.timeout(LONGEST),
        ada.calling("ask", "k", {"progressToken": 7}, message="lose me") as f,
    ):
        async for message in f:
            said.append(message["params"]["message"])
            if "two" in "".join(said):
                break
    model.release()
    again = Old(house.there["ada"], ada.session)
    async with asyncio.timeout(LONGEST), again.coming_back(ada.last) as found:
        rest = [message async for message in found]
    assert {message["params"]["progressToken"] for message in rest[:-1]} == {7}
    assert "".join([*said, *(message["params"]["message"] for message in rest[:-1])]) == words
    steps = [message["params"]["progress"] for message in rest[:-1]]
    assert steps == list(range(len(said) + 1, len(said) + 1 + len(steps)))
    assert (rest[-1]["id"], rest[-1]["result"]["structuredContent"]["answer"]) == ("k", words)
    # Also when all is over, and as often as one likes.
    async with asyncio.timeout(LONGEST), again.coming_back(ada.last) as found:
        assert [message async for message in found][-1] == rest[-1]


async def test_a_question_that_was_put_is_not_put_again_to_who_comes_back(
    house: House, model: ModelServer
) -> None:
    adds(model, "ask and go")
    ada = await Old.met(house.here["ada"], **FORMS)
    async with asyncio.timeout(LONGEST), ada.calling("ask", message="ask and go") as found:
        question = await anext(found)
    again = Old(house.there["ada"], ada.session)
    async with asyncio.timeout(LONGEST), again.coming_back(ada.last) as found:
        assert await answer_at(house.here["ada"], ada.session, question, YES) == 202
        [last] = [message async for message in found]
    assert last["result"]["structuredContent"]["answer"] == "It is done."


async def test_who_does_not_come_back_ends_the_turn_after_a_while(
    house: House, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.protocols.mcp.returning.WAIT_SECONDS", 0.1)
    model.script(say("One two three.", hang_after=1), match="gone for good")
    ada = await Old.met(house.here["ada"])
    async with ada.calling("ask", meta={"progressToken": 1}, message="gone for good") as found:
        await anext(found)
    await ended(house, "gone for good", "cancelled")


async def test_only_whose_run_it_is_comes_back_to_its_stream(house: House, model: ModelServer) -> None:
    model.script(say("Hers."), match="hers to read")
    ada, eve = await Old.met(house.here["ada"]), await Old.met(house.here["eve"])
    async with ada.calling("ask", meta={"progressToken": 1}, message="hers to read") as found:
        _ = [message async for message in found]
    run, _, rest = ada.last.partition(".")
    places = [ada.last, f"none.{rest}"]
    for place in places:
        async with eve.http.stream("GET", PATH, headers={**eve.headers, "last-event-id": place}) as answer:
            body = json.loads(await answer.aread())
        assert (answer.status_code, body["error"]["code"], body["id"]) == (404, -32600, None)
    for odd in (
        "x",
        "1",
        f"{run}.1.1.1.e30",
        f"{run}.1.1.1.!",
        f"{run}.1.1.1",
        "é",
        "." * 500,
        f"{run}.-1.0.0.WzEsMV0",
    ):
        headers = {**ada.headers, "last-event-id": odd.encode()}
        answer = await ada.http.get(PATH, headers=headers)  # type: ignore[arg-type]
        assert (answer.status_code, error_of(answer)["code"]) == (400, -32600), odd
    without = {"accept": "text/event-stream", "last-event-id": ada.last}
    assert (await ada.http.get(PATH, headers=without)).status_code == 400
    stolen = {**without, "mcp-session-id": eve.session}
    assert (await ada.http.get(PATH, headers=stolen)).status_code == 404


# -- the gateway's tools ask ---------------------------------------------------------------------------

ROME = {"action": "accept", "content": {"nights": 3}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ROME, "Rome: 3 nights"),
        ({"action": "decline"}, "not booked: decline"),
        ({"action": "cancel"}, "not booked: cancel"),
    ],
)
async def test_a_question_of_a_tool_is_put_to_the_person_and_answered_at_any_process(
    house: House, given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    wish: Any = {"place": "Rome", "log": str(tmp_path / "log")}
    bob = await Old.met(house.here["bob"], **FORMS)
    async with asyncio.timeout(LONGEST), bob.calling("hotels_book", **wish) as found:
        async for message in found:
            if "method" in message:
                assert "nights" in message["params"]["requestedSchema"]["properties"]
                # A stranger's word is none.
                eve = await Old.met(house.there["eve"], **FORMS)
                assert await answer_at(house.there["eve"], eve.session, message, ROME) == 202
                assert await answer_at(house.there["bob"], bob.session, message, given) == 202
            last = message
    assert text_of(last["result"]) == said
    new = New(house.here["bob"], **FORMS)
    asked = await new.call("hotels_book", **wish)
    assert list(asked["inputRequests"]) == ["question"]
    again = {"requestState": asked["requestState"]}
    there = New(house.there["bob"], **FORMS)
    unanswered = await there.call("hotels_book", again, **wish)
    assert unanswered["inputRequests"] == asked["inputRequests"]
    again["inputResponses"] = {"question": given}
    assert text_of(await there.call("hotels_book", again, **wish)) == said
    params = {"name": "hotels_book", "arguments": {**wish, "place": "Oslo"}, **again}
    assert error_of(await there.post("tools/call", params))["code"] == -32602


async def test_an_answer_that_does_not_fit_is_asked_for_again_and_says_why(
    house: House, tmp_path: Path
) -> None:
    wish: Any = {"place": "Rome", "log": str(tmp_path / "log")}
    odd = [{"action": "accept", "content": {"nights": "many"}}, ROME]
    bob = await Old.met(house.here["bob"], **FORMS)
    asked: list[str] = []
    async with asyncio.timeout(LONGEST), bob.calling("hotels_book", **wish) as found:
        async for message in found:
            if "method" in message:
                asked.append(message["params"]["message"])
                given = odd[len(asked) - 1]
                assert await answer_at(house.there["bob"], bob.session, message, given) == 202
            last = message
    assert text_of(last["result"]) == "Rome: 3 nights"
    assert asked[1].startswith("The answer was not taken: ")
    new = New(house.here["bob"], **FORMS)
    first = await new.call("hotels_book", **wish)
    again = {"requestState": first["requestState"], "inputResponses": {"question": odd[0]}}
    second = await new.call("hotels_book", again, **wish)
    told = second["inputRequests"]["question"]["params"]["message"]
    assert told.startswith("The answer was not taken: ")


async def test_a_tool_s_question_is_declined_where_nobody_can_be_asked(house: House, tmp_path: Path) -> None:
    wish: Any = {"place": "Rome", "log": str(tmp_path / "log")}
    for client in (await Old.met(house.here["bob"]), New(house.here["bob"])):
        assert text_of(await client.call("hotels_book", **wish)) == "not booked: decline"
