"""Rights over HTTP, by the table of routes: each asks who calls, whether they may, and whose object it is."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from core.access import Principal
from core.identity.keys import KeyStore
from core.observability import REGISTRY
from graph.agent import Agent
from graph.runs.record import TurnRequest
from nodes.file_storage import FileManager
from server.app import create_app
from server.examples import EXAMPLES
from server.examples.form import JSON
from tests.kit.http import assert_problem, assert_refused, client_of, code_of, served, turn
from waystation.testing.agents import BUNDLED, SOURCES, open_agent, write_config

# Each route is one.
pytestmark = pytest.mark.always(cases="all")

# The whole list of what answers without a login.
OPEN = {
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/files/link/{token}"),
    ("HEAD", "/files/link/{token}"),
    ("GET", "/.well-known/agent-card.json"),
    # How to log in, and what pages are drawn with.
    ("POST", "/session"),
    ("DELETE", "/session"),
    ("GET", "/console/login"),
    ("GET", "/console/login/issuer"),
    ("GET", "/console/login/back"),
    ("GET", "/console/static/{version}/{asset:path}"),
}
# Path parameters that name an object with an owner; the fixture `theirs` has one of bob's for each.
OWNED = {"thread_id", "key", "file_id", "run_id", "response_id", "cron_id", "plan_id"}
# Those that do not: a credential of its own, parts of LangServe's pages, what operators see of everybody.
NOT_OWNED = {
    *("token", "file_path", "config_hash", "task_id", "model_id"),
    *("assistant_id", "checkpoint_id", "namespace", "version", "asset", "rest"),
    *("source", "server", "tool", "key_id"),
}
# Routes that make the object of their path, where nobody has it.
MAKES = {"POST /threads/{thread_id}/runs"}
# What routes need to be asked at all, where the API's description has no example of them.
_RUN = {"assistant_id": "waystation", "input": {"messages": "hi"}}
BODIES: dict[str, Any] = {
    f"/langgraph{thread}/runs{kind}": _RUN
    for thread in ("", "/threads/{thread_id}")
    for kind in ("", "/stream", "/wait")
}
BODIES["/langgraph/threads/{thread_id}/runs/crons"] = {**_RUN, "schedule": "0 7 * * *"}
INNER = """models:
  inner:
    model_name: m
    model_url: http://127.0.0.1:9/v1
    compliance_level: secret
"""


@dataclass(frozen=True)
class Route:
    """A method on a path of the table."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)(?::path)?}", self.path)

    def url(self, values: Mapping[str, str]) -> str:
        """The path with its parameters filled in."""
        return re.sub(r"{(\w+)(?::path)?}", lambda found: values.get(found[1], "any"), self.path)


def table(app: FastAPI) -> Iterator[Route]:
    """Every route, those of libraries and mounted folders too."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, Mount):
            yield Route("GET", f"{context.path}/swagger-ui.css")
            continue
        assert context.path is not None, context
        assert context.methods, f"{context.path} is no plain HTTP route; say here who may use it"
        yield from (Route(method, context.path) for method in sorted(context.methods))


ROUTES = list(dict.fromkeys(table(create_app())))
CLOSED = [route for route in ROUTES if (route.method, route.path) not in OPEN]


@dataclass(frozen=True)
class House:
    """The service, and a key for each kind of caller."""

    agent: Agent
    base: str
    keys: Mapping[str, str]
    theirs: Mapping[str, str]

    @asynccontextmanager
    async def caller(self, kind: str = "") -> AsyncIterator[httpx.AsyncClient]:
        """A client with a key: none, user, boss, operator, or "" for no key at all."""
        async with client_of(self.base) as http:
            if kind:
                http.headers["authorization"] = f"Bearer {self.keys[kind]}"
            yield http


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("rights")
    files = {
        "models.yaml": INNER,
        "mcp.json": json.dumps({"clock": {"compliance_level": "secret"}, "tables": {"groups": ["staff"]}}),
    }
    config = write_config(folder, files=files)
    (config / "sources.yaml").write_text(
        SOURCES.format(path="../harbour")
        + "vault:\n  type: local\n  path: ../harbour\n  compliance_level: secret\n"
    )
    async with open_agent(
        folder, tools=BUNDLED, auth={"mode": "keys"}, llm={"default_model": "offline"}
    ) as agent:
        made: dict[str, tuple[str, dict[str, Any]]] = {
            "none": ("ada", {"scopes": ()}),
            "user": ("ada", {}),
            "boss": ("eve", {"levels": ["secret"], "groups": ["staff"]}),
            "operator": ("ops", {"scopes": ["operate"]}),
        }
        store = KeyStore(agent.engine)
        keys = {kind: (await store.create(user, **more))[1] for kind, (user, more) in made.items()}
        bob = Principal("bob")
        manager = await agent.container.get(FileManager)
        run = await agent.begin(TurnRequest(bob, "hi", thread_id="of-bob-too"))
        await run.result()
        theirs = {
            "run_id": run.id,
            "response_id": run.id,
            "thread_id": (await agent.threads.create(bob, thread_id="of-bob"))["id"],
            "cron_id": await planned_by(agent, bob),
            "plan_id": await planned_by(agent, bob),
            "key": (key := (await manager.put(bob, "secret.txt", b"bob's secret")).key),
            "file_id": key,
        }
        async with served(agent) as base:
            yield House(agent, base, keys, theirs)


async def planned_by(agent: Agent, who: Principal) -> str:
    request = TurnRequest(who, "hi")
    made = await (await agent.plans()).create(request, schedule="0 0 1 1 *", payload={}, metadata={})
    return str(made["id"])


def asked(question: str) -> float:
    """How often core.access was asked."""
    found = (
        REGISTRY.get_sample_value(
            "waystation_access_decisions_total", {"question": question, "answer": answer}
        )
        for answer in ("yes", "no", "filter")
    )
    return sum(value or 0 for value in found)


async def request(http: httpx.AsyncClient, route: Route, values: Mapping[str, str]) -> httpx.Response:
    """What the route's example asks, of other objects: a request that would be answered, were it allowed."""
    example = EXAMPLES.get((route.method, route.path))
    if route.method not in ("POST", "PUT", "PATCH"):
        return await http.request(route.method, route.url(values), params=example.query if example else None)
    body = example.body if example and example.sends == JSON else BODIES.get(route.path, {})
    return await http.request(route.method, route.url(values), json=body or {})


def test_the_table_has_the_routes_that_we_know() -> None:
    known = {str(route) for route in ROUTES}
    assert {"POST /agent/invoke", "GET /openapi.json", "GET /docs", "GET /metrics", "GET /threads"} <= known
    assert {"GET /agent/playground/{file_path:path}", "GET /docs/assets/swagger-ui.css"} <= known
    assert {f"{method} {path}" for method, path in OPEN} <= known


def test_of_each_path_parameter_we_know_whether_it_has_an_owner() -> None:
    named = {name for route in ROUTES for name in route.parameters}
    assert named <= OWNED | NOT_OWNED, "say in OWNED or NOT_OWNED whose object it is"


@pytest.mark.parametrize("route", CLOSED, ids=str)
async def test_without_a_login_nothing_answers(house: House, route: Route) -> None:
    async with house.caller() as http:
        answer = await request(http, route, house.theirs)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="waystation"'
    if route.method != "HEAD":
        assert_refused(answer, 401, "not_authenticated")


@pytest.mark.parametrize("route", CLOSED, ids=str)
async def test_a_login_without_scopes_opens_nothing(house: House, route: Route) -> None:
    before = asked("scope")
    async with house.caller("none") as http:
        answer = await request(http, route, house.theirs)
    assert answer.status_code == 403
    assert asked("scope") == before + 1
    if route.method != "HEAD":
        assert_refused(answer, 403, "scope_missing")


@pytest.mark.parametrize("route", [r for r in CLOSED if OWNED.intersection(r.parameters)], ids=str)
async def test_somebody_elses_object_is_not_there(house: House, route: Route) -> None:
    before = asked("own")
    async with house.caller("user") as http:
        if route.method == "HEAD":
            assert (await request(http, route, house.theirs)).status_code == 404
            assert asked("own") >= before + 1
            return
        answer = await request(http, route, house.theirs)
        found = assert_refused(answer, 404)
        assert asked("own") >= before + 1
        assert "bob" not in answer.text.replace("of-bob", "")
        if str(route) not in MAKES:
            none = assert_refused(await request(http, route, dict.fromkeys(OWNED, "made-up")), 404)
            assert (code_of(found), found.get("title")) == (code_of(none), none.get("title"))


@pytest.mark.parametrize(
    "path", ["/nothing", "/health/live/", "/files/link/", "//health/live", "/threads/x/y/z"]
)
async def test_a_path_that_nobody_thought_of_is_closed(house: House, path: str) -> None:
    async with house.caller() as http:
        assert_problem(await http.get(house.base + path), 401, "not_authenticated")
    async with house.caller("user") as http:
        assert (await http.get(house.base + path)).status_code in (307, 403, 404)


async def test_what_is_open_answers_anybody_and_tells_nothing(house: House) -> None:
    async with house.caller() as http:
        assert (await http.get("/health/live")).json() == {"status": "live"}
        assert (await http.get("/health/ready")).json().keys() == {"status"}
        assert_problem(await http.get("/files/link/made-up"), 403, "link_invalid")
        card = (await http.get("/.well-known/agent-card.json")).json()
        assert [skill["id"] for skill in card["skills"]] == ["ask"]
        assert not any(name in json.dumps(card) for name in ("inner", "vault", "clock", "calculator"))


async def test_a_turn_cannot_touch_what_is_somebody_elses(house: House) -> None:
    async with house.caller("user") as http:
        for path in ("/agent/invoke", "/agent/stream", "/chat/invoke"):
            body = turn(thread_id=house.theirs["thread_id"])
            if path.startswith("/chat"):
                body["input"] = {"messages": [{"type": "human", "content": "hi"}]}
            assert_problem(await http.post(path, json=body), 404, "thread_not_found")
        with_file = {"input": {"message": "hi", "files": [house.theirs["key"]]}}
        assert_problem(await http.post("/agent/invoke", json=with_file), 404, "file_not_found")
        taken = await http.post("/threads", json={"thread_id": house.theirs["thread_id"]})
        assert_problem(taken, 404, "thread_not_found")


async def test_lists_hold_ones_own_things_only(house: House) -> None:
    async with house.caller("user") as http:
        assert (await http.post("/threads", json={"thread_id": "of-ada"})).status_code == 201
        assert [thread["id"] for thread in (await http.get("/threads")).json()] == ["of-ada"]
        assert (await http.get("/files")).json() == []
    async with house.caller("boss") as http:
        assert (await http.get("/threads")).json() == []


async def test_users_and_operators_do_different_things(house: House) -> None:
    async with house.caller("operator") as http:
        assert (await http.get("/health")).json()["modules"]
        assert "waystation_access_decisions_total" in (await http.get("/metrics")).text
        assert_problem(await http.get("/threads"), 403, "scope_missing")
    async with house.caller("user") as http:
        for path in ("/health", "/metrics"):
            assert "'operate'" in assert_problem(await http.get(path), 403, "scope_missing")["detail"]


async def test_levels_and_groups_decide_at_listing_and_at_use(house: House) -> None:
    hidden = {"models": "inner", "sources": "vault", "servers": "clock"}
    async with house.caller("user") as http:
        before = asked("use")
        for kind, name in hidden.items():
            assert name not in [item["name"] for item in (await http.get(f"/{kind}")).json()]
        assert asked("use") > before
        names = [tool["name"] for tool in (await http.get("/tools")).json()]
        assert names
        assert not any(name.startswith(("clock_", "tables_")) for name in names)
        refused: list[tuple[dict[str, Any], str]] = [
            ({"model": "inner"}, "unknown_model"),
            ({"sources": ["vault"]}, "unknown_source"),
            ({"tools": ["clock"]}, "unknown_tool"),
            ({"tools": ["tables"]}, "unknown_tool"),
        ]
        for wish, code in refused:
            assert_problem(await http.post("/agent/invoke", json=turn(**wish)), 422, code)
    async with house.caller("boss") as http:
        for kind, name in hidden.items():
            assert name in [item["name"] for item in (await http.get(f"/{kind}")).json()]
        reply = await http.post("/agent/invoke", json=turn("What time is it in Tokyo?", tools=["clock"]))
        assert [call["status"] for call in reply.json()["output"]["tool_calls"]] == ["ok"]


async def test_a_key_is_ended_while_the_service_runs(house: House) -> None:
    store = KeyStore(house.agent.engine)
    record, key = await store.create("ada")
    async with client_of(house.base) as http:
        http.headers["x-api-key"] = key
        assert (await http.get("/threads")).status_code == 200
        await store.revoke(record.id)
        async with asyncio.timeout(2):
            while (answer := await http.get("/threads")).status_code == 200:  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(0.02)
        assert_problem(answer, 401, "not_authenticated")
        assert answer.headers["www-authenticate"].endswith('error="invalid_token"')


async def test_ids_of_users_may_hold_what_issuers_put_into_them(house: House) -> None:
    _, key = await KeyStore(house.agent.engine).create("auth0|ada:x+1@example.com" + "x" * 103)
    async with client_of(house.base) as http:
        http.headers["authorization"] = f"Bearer {key}"
        stored = await http.post("/files", files={"file": ("a.txt", b"hers")})
        answer = await http.get(f"/files/{stored.json()['key']}/content")
        assert answer.content == b"hers"
        reply = (await http.post("/agent/invoke", json=turn(thread_id="of-auth0"))).json()["output"]
        assert (reply["thread_id"], reply["status"]) == ("of-auth0", "done")
        assert [thread["id"] for thread in (await http.get("/threads")).json()] == ["of-auth0"]


async def test_a_page_of_somebody_else_may_not_call_with_a_login_either(house: House) -> None:
    async with house.caller("user") as http:
        foreign = await http.post("/threads", json={}, headers={"origin": "https://evil.example"})
        assert_problem(foreign, 403, "host_refused")
        assert (await http.get("/threads", headers={"origin": house.base})).status_code == 200


async def test_a_service_with_a_login_is_asked_by_any_name(house: House) -> None:
    async with house.caller("user") as http:
        assert (await http.get("/threads", headers={"host": "agent.example.com"})).status_code == 200
