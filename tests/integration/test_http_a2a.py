"""A2A over HTTP: whose a task is, what the card tells, and odd bodies."""

from __future__ import annotations

import builtins
import random
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.compat.v0_3.types import AgentCard as OldCard

from core.identity.keys import KeyStore
from tests.integration.test_http_odd_values import SEED
from tests.integration.test_http_openai import WHO, House, _in_process, changed
from tests.kit.http import assert_refused, client_of, code_of, served
from tests.kit.samples import tries
from waystation.testing.agents import open_agent

MESSAGE: dict[str, Any] = {
    "messageId": "m1",
    "role": "ROLE_USER",
    "parts": [
        {"text": "What is 5 + 3?"},
        {"data": {"a": 1}},
        {"raw": "aGVsbG8=", "filename": "a.txt", "mediaType": "text/plain"},
    ],
    "metadata": {"waystation": {"tools": []}},
}
PARAMS: dict[str, dict[str, Any]] = {
    "SendMessage": {
        "message": MESSAGE,
        "configuration": {"historyLength": 3, "acceptedOutputModes": ["*/*"]},
    },
    "SendStreamingMessage": {"message": MESSAGE},
    "GetTask": {"id": "made-up", "historyLength": 1},
    "ListTasks": {
        "contextId": "c",
        "status": "TASK_STATE_COMPLETED",
        "pageSize": 5,
        "pageToken": "",
        "statusTimestampAfter": "2026-01-01T00:00:00Z",
        "includeArtifacts": True,
    },
    "CancelTask": {"id": "made-up"},
    "SubscribeToTask": {"id": "made-up"},
    "CreateTaskPushNotificationConfig": {"taskId": "made-up", "url": "https://x.example/"},
    "GetTaskPushNotificationConfig": {"taskId": "made-up", "id": "made-up"},
    "ListTaskPushNotificationConfigs": {"taskId": "made-up"},
    "DeleteTaskPushNotificationConfig": {"taskId": "made-up", "id": "made-up"},
    "GetExtendedAgentCard": {},
}
OF_A_TASK = [method for method, params in PARAMS.items() if "made-up" in params.values()]


def rpc(method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("a2a-rights")
    async with open_agent(folder, tools=(), auth={"mode": "keys"}, llm={"default_model": "offline"}) as agent:
        store = KeyStore(agent.engine)
        keys = {kind: (await store.create(one["user"], groups=one["groups"]))[1] for kind, one in WHO.items()}
        async with served(agent) as base:
            yield House(base, keys)


@pytest.fixture(scope="module")
async def theirs(house: House) -> dict[str, Any]:
    """A task of the owner's."""
    async with client_of(house.base) as http:
        body = rpc("SendMessage", PARAMS["SendMessage"])
        answer = await http.post("/a2a", json=body, headers=house.caller("owner"))
    found: dict[str, Any] = answer.json()["result"]["task"]
    assert found["status"]["state"] == "TASK_STATE_COMPLETED", found
    return found


@pytest.mark.parametrize("who", ["same group", "other", "nobody"])
@pytest.mark.parametrize("method", OF_A_TASK)
async def test_a_task_is_its_owners_alone(
    house: House, theirs: dict[str, Any], who: str, method: str
) -> None:
    key = "taskId" if "taskId" in PARAMS[method] else "id"
    body = rpc(method, {**PARAMS[method], key: theirs["id"]})
    async with client_of(house.base) as http:
        answer = await http.post("/a2a", json=body, headers=house.caller(who))
        if who == "nobody":
            assert_refused(answer, 401, "not_authenticated")
            return
        refused = assert_refused(answer, 200, "run_not_found")
        assert refused["error"]["code"] == -32001
        none = await http.post("/a2a", json=rpc(method, PARAMS[method]), headers=house.caller(who))
        assert none.json()["error"]["code"] == -32001


@pytest.mark.parametrize("who", ["same group", "other"])
async def test_nobody_says_anything_where_somebody_else_talks(
    house: House, theirs: dict[str, Any], who: str
) -> None:
    async with client_of(house.base) as http:
        http.headers.update(house.caller(who))
        for more, code in (
            ({"taskId": theirs["id"]}, "run_not_found"),
            ({"contextId": theirs["contextId"]}, "thread_not_found"),
        ):
            body = rpc("SendMessage", {"message": {**MESSAGE, **more}})
            assert_refused(await http.post("/a2a", json=body), 200, code)
        listed = await http.post("/a2a", json=rpc("ListTasks", {"contextId": theirs["contextId"]}))
        assert listed.json()["result"] == {"tasks": [], "nextPageToken": "", "pageSize": 50, "totalSize": 0}


async def test_the_card_names_the_address_and_how_to_log_in(house: House) -> None:
    async with client_of(house.base) as http:
        card = (await http.get("/.well-known/agent-card.json")).json()
        assert card["supportedInterfaces"][0]["url"] == f"{house.base}/a2a"
        assert card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"] == {"scheme": "Bearer"}
        [earlier, present] = [OldCard.model_validate(card), parse_agent_card(card)]
        assert (earlier.url, earlier.security) == (f"{house.base}/a2a", [{"bearer": []}])
        assert present.supported_interfaces[0].protocol_version == "1.0"
        assert card["capabilities"]["pushNotifications"] is False
        assert_refused(await http.post("/a2a", json=rpc("GetExtendedAgentCard", {})), 401)
        body = {
            **PARAMS["SendMessage"],
            "configuration": {"taskPushNotificationConfig": {"url": "https://x.de"}},
        }
        off = await http.post("/a2a", json=rpc("SendMessage", body), headers=house.caller("owner"))
        assert_refused(off, 200, "push_not_served")


async def test_an_ended_task_is_not_cancelled_followed_or_gone_on_with(
    house: House, theirs: dict[str, Any]
) -> None:
    async with client_of(house.base) as http:
        http.headers.update(house.caller("owner"))
        for method, code in (("CancelTask", "run_ended"), ("SubscribeToTask", "task_not_waiting")):
            assert_refused(await http.post("/a2a", json=rpc(method, {"id": theirs["id"]})), 200, code)
        body = rpc("SendMessage", {"message": {**MESSAGE, "taskId": theirs["id"]}})
        assert_refused(await http.post("/a2a", json=body), 200, "task_not_waiting")
        no_config = rpc("GetTaskPushNotificationConfig", {"taskId": theirs["id"], "id": theirs["id"]})
        assert_refused(await http.post("/a2a", json=no_config), 200, "invalid_request")


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path_factory.mktemp("a2a-odd")
    async with open_agent(folder, tools=(), limits={"streams_per_user": 200}) as agent:
        async for found in _in_process(agent):
            yield found


@pytest.mark.parametrize("method", PARAMS)
async def test_whatever_is_sent_it_is_no_fault_of_ours(client: httpx.AsyncClient, method: str) -> None:
    chance = random.Random(f"{SEED}{method}")  # noqa: S311 - the same bodies each time
    for _ in tries(40, here=12) if method.startswith("Send") else tries(15, here=6):
        sent = changed(rpc(method, PARAMS[method]), chance)
        answer = await client.post("/a2a", json=sent)
        assert answer.status_code < 500, (sent, answer.text)
        if answer.headers["content-type"] == "application/json":
            found = answer.json()
            if "error" in found:
                assert found["error"]["code"] not in (-32603,), (sent, answer.text)
                assert code_of(found), (sent, answer.text)


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ({}, -32600),
        ([rpc("GetTask", {"id": "x"})], -32600),
        ({**rpc("GetTask", {"id": "x"}), "id": True}, -32600),
        ({**rpc("GetTask", {"id": "x"}), "method": 5}, -32600),
        (rpc("tasks/got", {"id": "x"}), -32601),
        (rpc("GetTask", {}), -32602),
        (rpc("GetTask", [1]), -32602),
        (rpc("GetTask", {"id": "x", "historyLength": "many"}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "role": "ROLE_AGENT"}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": []}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": [{}]}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": [{"text": " "}]}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "parts": [{"url": "https://x.example/"}]}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "contextId": "a/b"}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "metadata": {"waystation": {"colour": 1}}}}), -32602),
        (rpc("SendMessage", {"message": {**MESSAGE, "metadata": {"waystation": 5}}}), -32602),
        (
            rpc("SendMessage", {"message": {**MESSAGE, "metadata": {"waystation": {"thread_id": "x"}}}}),
            -32602,
        ),
        (rpc("ListTasks", {"pageSize": 0}), -32602),
        (rpc("ListTasks", {"status": "TASK_STATE_REJECTED"}), -32602),
        (rpc("ListTasks", {"historyLength": -1}), -32602),
    ],
)
async def test_what_is_wrong_has_the_protocols_number(
    client: httpx.AsyncClient, sent: Any, number: int
) -> None:
    answer = await client.post("/a2a", json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["error"]["code"] == number, answer.text


async def test_another_version_of_the_protocol_is_refused(client: httpx.AsyncClient) -> None:
    body = rpc("ListTasks", {})
    for version in ("0.2", "2.0", "new"):
        other = await client.post("/a2a", json=body, headers={"a2a-version": version})
        assert_refused(other, 200, "version_not_served")
    for method, version in (("ListTasks", "0.3"), ("tasks/get", "1.0")):
        mixed = await client.post("/a2a", json=rpc(method, {}), headers={"a2a-version": version})
        assert_refused(mixed, 200, "unknown_method")
    newer = await client.post("/a2a", json=body, headers={"a2a-version": "1.1"})
    assert "result" in newer.json()


async def test_without_its_package_every_call_says_what_to_install(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "a2a":
            raise ImportError(name)
        return known(name, *rest)

    for name in [name for name in sys.modules if name.partition(".")[0] == "a2a"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    answer = await client.post("/a2a", json=rpc("ListTasks", {}))
    refused = assert_refused(answer, 501, "a2a_not_installed")
    assert "waystation[a2a]" in refused["error"]["message"]
