"""MCP over two processes of one service: questions to people, rights, calls taken back, and the gateway."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from core.access import Principal
from nodes.file_storage import FileManager
from tests.kit.http import JSON, client_of
from tests.kit.mcp import FORMS, PATH, New, Old, body_of, error_of, result_of, text_of
from tests.kit.mcp_house import LONGEST, YES, House, adds, answer_at, ended
from waystation.testing.model_server import ModelServer, calls, hang, say

# -- questions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "p"])
async def test_a_question_is_put_on_the_stream_and_answered_at_any_process(
    house: House, model: ModelServer, token: str | None
) -> None:
    adds(model, "put it")
    ada = await Old.met(house.here["ada"], **FORMS)
    meta = {"progressToken": token} if token else {}
    async with asyncio.timeout(LONGEST), ada.calling("ask", meta=meta, message="put it") as found:
        async for message in found:
            if message.get("method") == "elicitation/create":
                assert "calculator.add(a=5, b=3)" in message["params"]["message"]
                assert message["params"]["requestedSchema"]["required"] == ["approve"]
                assert await answer_at(house.there["ada"], ada.session, message, YES) == 202
            last = message
    told = last["result"]["structuredContent"]
    assert (told["status"], told["answer"]) == ("done", "It is done.")
    assert [made["status"] for made in told["tool_calls"]] == ["ok"]


@pytest.mark.parametrize(
    "given",
    [
        {"action": "decline"},
        {"action": "cancel"},
        {"action": "accept", "content": {}},
        {"action": "accept", "content": {"approve": False, "reason": "not today"}},
        {"action": "accept", "content": {"approve": "yes"}},
        {"error": {"code": -32600, "message": "no forms here"}},
    ],
)
async def test_whatever_is_no_clear_yes_is_a_no(house: House, model: ModelServer, given: Any) -> None:
    adds(model, "may it")
    ada = await Old.met(house.here["ada"], **FORMS)
    async with asyncio.timeout(LONGEST), ada.calling("ask", message="may it") as found:
        async for message in found:
            if "method" in message:
                assert await answer_at(house.here["ada"], ada.session, message, given) == 202
            last = message
    [made] = last["result"]["structuredContent"]["tool_calls"]
    assert made["status"] == "denied"


async def test_two_questions_come_one_behind_the_other(house: House, model: ModelServer) -> None:
    wanted = calls(("calculator_add", {"a": 1, "b": 1}), ("calculator_add", {"a": 2, "b": 2}))
    model.script(wanted, say("Both."), match="two of them")
    ada = await Old.met(house.here["ada"], **FORMS)
    asked = []
    async with asyncio.timeout(LONGEST), ada.calling("ask", message="two of them") as found:
        async for message in found:
            if "method" in message:
                asked.append(message["params"]["message"])
                assert await answer_at(house.here["ada"], ada.session, message, YES) == 202
            last = message
    assert len(set(asked)) == 2
    assert [made["status"] for made in last["result"]["structuredContent"]["tool_calls"]] == ["ok", "ok"]


async def test_who_cannot_be_asked_is_told_what_waits(house: House, model: ModelServer) -> None:
    for client in (await Old.met(house.here["ada"]), New(house.here["ada"])):
        model.reset()
        adds(model, "nobody there")
        found = await client.call("ask", message="nobody there")
        told = found["structuredContent"]
        assert told["status"] == "interrupted"
        assert told["interrupts"][0]["call"]["tool"] == "add"
        assert f"--thread {told['thread_id']}" in text_of(found)
        again = await client.call("ask", message="and now?", thread_id=told["thread_id"])
        assert again["_meta"]["waystation/code"] == "thread_waiting"


async def test_the_newer_dialect_is_answered_with_the_form_and_asked_again(
    house: House, model: ModelServer
) -> None:
    adds(model, "form please")
    asked = await New(house.here["ada"], **FORMS).call("ask", message="form please")
    assert asked["resultType"] == "input_required"
    [(name, form)] = asked["inputRequests"].items()
    assert form["method"] == "elicitation/create"
    assert "calculator.add" in form["params"]["message"]
    again = {"requestState": asked["requestState"]}
    there = New(house.there["ada"], **FORMS)
    unanswered = await there.call("ask", again, message="form please")
    assert unanswered["inputRequests"] == asked["inputRequests"]
    again["inputResponses"] = {name: YES}
    done = await there.call("ask", again, message="form please")
    assert done["structuredContent"]["answer"] == "It is done."
    repeated = await there.call("ask", again, message="form please")
    assert repeated["structuredContent"]["run_id"] == done["structuredContent"]["run_id"]
    assert repeated["structuredContent"]["tool_calls"] == done["structuredContent"]["tool_calls"]


# -- rights -------------------------------------------------------------------------------------------


@pytest.mark.always
async def test_nobody_gets_at_what_is_somebody_elses(house: House, model: ModelServer) -> None:
    adds(model, "for ada")
    asked = await New(house.here["ada"], **FORMS).call("ask", message="for ada")
    [name] = asked["inputRequests"]
    again = {"requestState": asked["requestState"], "inputResponses": {name: YES}}
    ada = Principal("ada")
    [thread] = [row for row in await house.agent.threads.list(ada) if row["title"] == "for ada"]
    files = await house.agent.container.get(FileManager)
    file = await files.put(ada, "hers.txt", b"hers alone")
    session = (await Old.met(house.here["ada"])).session
    uris = [
        f"waystation://threads/{thread['id']}",
        f"waystation://threads/{thread['id']}/transcript",
        f"waystation://files/{file.key}",
    ]
    for name in ("eve", "bob"):
        http = house.here[name]
        assert (await Old(http, session).post("tools/list")).status_code == 404
        for client in (await Old.met(http, **FORMS), New(http, **FORMS)):
            listed = await client.ask("resources/list")
            assert not {each["uri"] for each in listed["resources"]} & set(uris)
            for uri in uris:
                theirs = error_of(await client.post("resources/read", {"uri": uri}))
                last = uri.rsplit("/", 1 if not uri.endswith("transcript") else 2)
                none = error_of(await client.post("resources/read", {"uri": uri.replace(last[1], "none")}))
                assert theirs["data"]["code"] == none["data"]["code"]
                assert "hers" not in json.dumps(theirs).replace(uri, "")
            prompt = {"name": "summarise_thread", "arguments": {"thread_id": thread["id"]}}
            assert error_of(await client.post("prompts/get", prompt))["data"]["code"] == "thread_not_found"
            spoken = await client.call("ask", message="hi", thread_id=thread["id"])
            assert spoken["_meta"]["waystation/code"] == "thread_not_found"
        stolen = await New(http, **FORMS).post("tools/call", {"name": "ask", "arguments": {}, **again})
        assert (stolen.status_code, error_of(stolen)["code"]) == (400, -32602)
    assert (await house.agent.threads.get(ada, thread["id"]))["status"] == "interrupted"
    async with client_of(str(house.here["ada"].base_url)) as nobody:
        answer = await Old(nobody, session).post("tools/list")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["error"]["data"]["code"] == "not_authenticated"


async def test_somebody_elses_answer_counts_for_nothing(house: House, model: ModelServer) -> None:
    adds(model, "hers to say")
    ada, eve = await Old.met(house.here["ada"], **FORMS), await Old.met(house.here["eve"], **FORMS)
    async with asyncio.timeout(LONGEST), ada.calling("ask", message="hers to say") as found:
        async for message in found:
            if "method" in message:
                assert await answer_at(house.here["eve"], eve.session, message, YES) == 202
                [run] = await house.agent.runs.list(Principal("ada"), limit=1)
                assert run.status == "interrupted"
                assert await answer_at(house.here["ada"], ada.session, message, {"action": "decline"}) == 202
            last = message
    assert last["result"]["structuredContent"]["tool_calls"][0]["status"] == "denied"


async def test_a_state_that_was_changed_or_is_for_another_tool_is_refused(
    house: House, model: ModelServer
) -> None:
    adds(model, "sealed")
    client = New(house.here["ada"], **FORMS)
    state = (await client.call("ask", message="sealed"))["requestState"]
    for sealed in (state[:-3] + "AAA", "x", 5, state + "ü", "A" * 10_000):
        params = {"name": "ask", "arguments": {"message": "sealed"}, "requestState": sealed}
        assert error_of(await client.post("tools/call", params))["code"] == -32602
    other = {"name": "calculator_add", "arguments": {"a": 1, "b": 2}, "requestState": state}
    other["inputResponses"] = {"approval": YES}
    assert error_of(await client.post("tools/call", other))["code"] == -32602


# -- taken back ---------------------------------------------------------------------------------------


async def test_a_call_is_taken_back_at_any_process(house: House, model: ModelServer) -> None:
    model.script(hang(), match="never ends")
    ada = await Old.met(house.here["ada"])
    params = {"name": "ask", "arguments": {"message": "never ends"}}
    going = asyncio.create_task(ada.send({"id": "mine", "method": "tools/call", "params": params}))
    await asyncio.to_thread(model.wait_for_active, 1, seconds=LONGEST)
    # Another session's request of the same id is another one.
    eve = await Old.met(house.there["ada"])
    taken = {"method": "notifications/cancelled", "params": {"requestId": "mine"}}
    assert (await eve.send(taken)).status_code == 202
    assert not going.done()
    assert (await Old(house.there["ada"], ada.session).send(taken)).status_code == 202
    answer = await asyncio.wait_for(going, LONGEST)
    assert error_of(answer)["code"] == -32800
    await ended(house, "never ends", "cancelled")


@pytest.mark.parametrize(("wish", "status"), [("cancel", "cancelled"), ("continue", "done")])
async def test_hanging_up_does_what_the_caller_chose(
    house: House, model: ModelServer, wish: str, status: str
) -> None:
    model.script(hang(), match=f"hung up {wish}")
    params = {"name": "ask", "arguments": {"message": f"hung up {wish}", "on_disconnect": wish}}
    going = asyncio.create_task(New(house.here["ada"]).post("tools/call", params))
    await asyncio.to_thread(model.wait_for_active, 1, seconds=LONGEST)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    if wish == "continue":
        model.release()
    await ended(house, f"hung up {wish}", status)


# -- the gateway --------------------------------------------------------------------------------------


async def test_the_gateway_offers_each_caller_what_they_may_use(house: House) -> None:
    for name, clock in (("ada", True), ("bob", False)):
        for client in (await Old.met(house.here[name]), New(house.here[name])):
            names = [tool["name"] for tool in (await client.ask("tools/list"))["tools"]]
            assert len(names) == len(set(names))
            assert {"ask", "search", "calculator_multiply"} <= set(names)
            assert ("clock_now" in names) is clock
            if not clock:
                params = {"name": "clock_now", "arguments": {}}
                assert error_of(await client.post("tools/call", params))["code"] == -32602


async def test_a_tool_is_called_through_the_gateway(house: House) -> None:
    for client in (await Old.met(house.here["bob"]), New(house.here["bob"])):
        done = await client.call("calculator_multiply", a=6, b=7)
        assert (text_of(done), done["isError"]) == ("42", False)
        wrong = await client.call("calculator_multiply", a="six")
        assert wrong["isError"] is True
        assert wrong["_meta"]["waystation/status"] == "error"


async def test_a_tool_that_needs_a_person_does_not_run_where_nobody_can_be_asked(house: House) -> None:
    for client in (await Old.met(house.here["bob"]), New(house.here["bob"])):
        refused = await client.call("calculator_add", a=5, b=3)
        assert refused["_meta"]["waystation/status"] == "denied"
        assert "your client cannot ask" in text_of(refused)


@pytest.mark.parametrize(("given", "status"), [(YES, "ok"), ({"action": "decline"}, "denied")])
async def test_a_tool_that_needs_a_person_asks_through_the_client(
    house: House, given: Any, status: str
) -> None:
    bob = await Old.met(house.here["bob"], **FORMS)
    async with asyncio.timeout(LONGEST), bob.calling("calculator_add", a=5, b=3) as found:
        async for message in found:
            if "method" in message:
                assert "calculator.add(a=5, b=3)" in message["params"]["message"]
                assert await answer_at(house.there["bob"], bob.session, message, given) == 202
            last = message
    assert last["result"].get("_meta", {}).get("waystation/status", "ok") == status
    client = New(house.here["bob"], **FORMS)
    asked = await client.call("calculator_add", a=5, b=3)
    again = {"requestState": asked["requestState"], "inputResponses": {"approval": given}}
    done = await client.call("calculator_add", again, a=5, b=3)
    assert done["_meta"].get("waystation/status", "ok") == status
    other = {"name": "calculator_add", "arguments": {"a": 9, "b": 9}, **again}
    assert error_of(await client.post("tools/call", other))["code"] == -32602


# -- whatever is sent ---------------------------------------------------------------------------------


async def test_no_message_is_answered_with_a_fault_of_ours(house: House) -> None:
    chance = random.Random(7)  # noqa: S311 - to be the same each time
    odd: list[Any] = [None, 0, -1, 1.5, "", "x", "ask", "\u0000", [], {}, True, "é" * 50, {"a": [1]}, 2**62]
    methods = [
        "tools/call",
        "tools/list",
        "resources/read",
        "resources/list",
        "prompts/get",
        "initialize",
        "x",
    ]
    keys = [
        "name",
        "arguments",
        "uri",
        "cursor",
        "_meta",
        "requestState",
        "inputResponses",
        "protocolVersion",
    ]
    old = await Old.met(house.here["bob"], **FORMS)
    new = New(house.here["bob"], **FORMS)
    for _ in range(150):
        params = {chance.choice(keys): chance.choice(odd) for _ in range(chance.randrange(4))}
        method = chance.choice(methods)
        body = {"jsonrpc": "2.0", "id": chance.choice([1, "a", None]), "method": method, "params": params}
        if chance.random() < 0.2:
            body[chance.choice(list(body))] = chance.choice(odd)
        _, headers = new.request(method, {})
        modern = chance.random() < 0.5
        answer = await new.http.post(
            PATH, content=json.dumps(body), headers={**JSON, **(headers if modern else old.headers)}
        )
        assert answer.status_code < 500, (body, answer.text)
        assert "unforeseen" not in answer.text, (body, answer.text)
        if answer.content and (found := body_of(answer).get("error")):
            assert found["data"]["code"], (body, answer.text)
        assert "Traceback" not in answer.text
    assert result_of(await old.post("ping")) == {}
