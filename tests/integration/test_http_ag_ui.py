"""AG-UI over HTTP: whose a conversation is, and odd bodies."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from core.identity.keys import KeyStore
from tests.integration.test_http_odd_values import SEED
from tests.integration.test_http_openai import WHO, House, _in_process, changed
from tests.kit.http import assert_refused, client_of, code_of, served, sse
from tests.kit.samples import tries
from waystation.testing.agents import open_agent

BODY: dict[str, Any] = {
    "threadId": "t1",
    "runId": "r1",
    "protocolVersion": "1.0",
    "state": {"tab": "home"},
    "messages": [
        {"id": "1", "role": "system", "content": "Be brief."},
        {"id": "2", "role": "user", "content": "What is 5 + 3?"},
        {
            "id": "3",
            "role": "assistant",
            "content": "Let me see.",
            "toolCalls": [
                {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 5, "b": 3}'}}
            ],
        },
        {"id": "4", "role": "tool", "toolCallId": "c", "content": "8"},
        {"id": "5", "role": "user", "content": [{"type": "text", "text": "And 2 + 2?"}]},
    ],
    "tools": [{"name": "paint", "description": "Paints.", "parameters": {"type": "object"}}],
    "context": [{"description": "page", "value": "home"}],
    "forwardedProps": {"waystation": {"tools": []}, "temperature": 0.5},
}
FIRST = {**BODY, "messages": [BODY["messages"][1]]}


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("ag-ui-rights")
    async with open_agent(folder, tools=(), auth={"mode": "keys"}, llm={"default_model": "offline"}) as agent:
        store = KeyStore(agent.engine)
        keys = {kind: (await store.create(one["user"], groups=one["groups"]))[1] for kind, one in WHO.items()}
        async with served(agent) as base:
            yield House(base, keys)


async def thread_of(http: httpx.AsyncClient, house: House, who: str, body: dict[str, Any]) -> str:
    answer = await http.post("/ag-ui", json=body, headers=house.caller(who))
    assert answer.status_code == 200, answer.text
    return answer.headers["x-thread-id"]


async def test_an_id_that_somebody_else_has_is_as_good_as_nobodys(house: House) -> None:
    async with client_of(house.base) as http:
        mine = await thread_of(http, house, "owner", {**FIRST, "threadId": "shared"})
        assert mine == "shared"
        for who in ("same group", "other"):
            answer = await http.post(
                "/ag-ui", json={**FIRST, "threadId": "shared"}, headers=house.caller(who)
            )
            events = [json.loads(each["data"]) for each in sse(answer.text)]
            assert (events[0]["threadId"], events[-1]["type"]) == ("shared", "RUN_FINISHED")
            theirs = answer.headers["x-thread-id"]
            assert theirs not in ("shared", mine)
            listed = (await http.get("/threads", headers=house.caller(who))).json()
            assert [each["id"] for each in listed] == [theirs]
        assert_refused(await http.post("/ag-ui", json=FIRST), 401, "not_authenticated")
        page = (await http.get("/threads/shared/transcript", headers=house.caller("owner"))).json()
        assert len(page["messages"]) == 2


async def test_nobody_answers_or_goes_on_by_name_with_what_is_somebody_elses(house: House) -> None:
    async with client_of(house.base) as http:
        named = await thread_of(http, house, "owner", {**FIRST, "threadId": "named"})
        for who in ("same group", "other"):
            body = {**FIRST, "forwardedProps": {"thread_id": named}}
            refused = await http.post("/ag-ui", json=body, headers=house.caller(who))
            assert_refused(refused, 404, "thread_not_found")
            answers = {**FIRST, "threadId": named, "resume": [{"interruptId": "x", "status": "resolved"}]}
            refused = await http.post("/ag-ui", json=answers, headers=house.caller(who))
            assert_refused(refused, 409, "nothing_to_resume")


async def test_a_thread_on_which_something_else_was_said_is_left_as_it_is(house: House) -> None:
    async with client_of(house.base) as http:
        first = await thread_of(http, house, "owner", {**FIRST, "threadId": "used"})
        again = await thread_of(http, house, "owner", {**FIRST, "threadId": "used"})
        odd = await thread_of(http, house, "owner", {**FIRST, "threadId": "not/an id of ours"})
        assert len({first, again, odd}) == 3


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path_factory.mktemp("ag-ui-odd")
    async with open_agent(folder, tools=(), limits={"streams_per_user": 200}) as agent:
        async for found in _in_process(agent):
            yield found


async def test_whatever_is_sent_it_is_no_fault_of_ours(client: httpx.AsyncClient) -> None:
    chance = random.Random(f"{SEED}ag-ui")  # noqa: S311 - the same bodies each time
    for _ in tries(80, here=20):
        sent = changed(BODY, chance)
        answer = await client.post("/ag-ui", json=sent)
        assert answer.status_code < 500, (sent, answer.text)
        if answer.status_code >= 400:
            assert code_of(answer.json()), (sent, answer.text)
        else:
            assert '"type":"RUN_FINISHED"' in answer.text, (sent, answer.text)


@pytest.mark.parametrize("sent", [b"", b"[]", b"null", b'"x"', b"{"])
async def test_a_body_that_is_none_is_refused_in_the_protocols_form(
    client: httpx.AsyncClient, sent: bytes
) -> None:
    answer = await client.post("/ag-ui", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["type"] == "RUN_ERROR"
