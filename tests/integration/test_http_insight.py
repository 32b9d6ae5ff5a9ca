"""Runs looked at over HTTP: lists by what is known of them, their time and events, costs, the graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from core.access import Principal
from core.identity.keys import KeyStore
from graph.agent import Agent
from graph.runs.record import TurnRequest
from tests.kit.http import assert_problem, client_of
from waystation.testing.agents import BUNDLED, open_agent

QUESTION = "What is 5 + 3?"


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    folder = tmp_path_factory.mktemp("insight")
    async with open_agent(folder, tools=BUNDLED, auth={"mode": "keys"}) as agent:
        yield agent


@pytest.fixture(scope="module")
async def clients(agent: Agent, base: str) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Ada, Bob and an admin, each with a key."""
    store = KeyStore(agent.engine)
    scopes = {"ada": ("use",), "bob": ("use",), "root": ("use", "admin")}
    found: dict[str, httpx.AsyncClient] = {}
    async with client_of(base) as ada, client_of(base) as bob, client_of(base) as root:
        for name, client in (("ada", ada), ("bob", bob), ("root", root)):
            _, key = await store.create(name, scopes=scopes[name])
            client.headers["authorization"] = f"Bearer {key}"
            found[name] = client
        yield found


@pytest.fixture(scope="module")
async def ran(agent: Agent) -> str:
    """The id of a run of Ada's that called a tool; Bob has one of his own."""
    run = await agent.begin(TurnRequest(Principal("ada"), QUESTION, thread_id="sums"))
    await run.result()
    other = await agent.begin(TurnRequest(Principal("bob"), "What is a secret of Bob?", thread_id="bobs"))
    await other.result()
    return run.id


@pytest.fixture
def ada(clients: dict[str, httpx.AsyncClient], ran: str) -> httpx.AsyncClient:
    return clients["ada"]


@pytest.fixture
def root(clients: dict[str, httpx.AsyncClient], ran: str) -> httpx.AsyncClient:
    return clients["root"]


@pytest.mark.parametrize(
    "query",
    [
        {"q": "5 +"},
        {"q": "WHAT is 5"},
        {"q": "sums"},
        {"thread": "sums"},
        {"status": "done"},
        {"model": "offline"},
        {"since": "2026-01-01"},
        {"until": "2100-01-01T00:00:00Z", "q": "  "},
    ],
    ids=str,
)
async def test_a_run_is_found_by_what_is_known_of_it(
    ada: httpx.AsyncClient, ran: str, query: dict[str, str]
) -> None:
    [row] = (await ada.get("/runs", params=query)).json()
    assert (row["run_id"], row["message"], row["user"]) == (ran, QUESTION, "ada")
    assert row["cursor"]


@pytest.mark.parametrize(
    "query",
    [
        {"q": "secret"},
        {"q": "%"},
        {"q": "_____"},
        {"thread": "bobs"},
        {"status": "failed"},
        {"until": "2026-01-01"},
        {"model": "m"},
    ],
    ids=str,
)
async def test_what_does_not_fit_and_what_is_somebody_elses_is_not_listed(
    ada: httpx.AsyncClient, query: dict[str, str]
) -> None:
    assert (await ada.get("/runs", params=query)).json() == []


async def test_pages_of_runs_follow_each_other(ada: httpx.AsyncClient, ran: str) -> None:
    [first] = (await ada.get("/runs", params={"limit": 1})).json()
    assert (await ada.get("/runs", params={"after": first["cursor"]})).json() == []
    assert (await ada.get("/runs", params={"after": ran})).json() == []
    assert_problem(await ada.get("/runs", params={"after": "r_made_up"}), 404, "run_not_found")


async def test_an_admin_sees_what_others_took_and_nothing_of_what_they_said(
    ada: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    for path in ("/runs", "/runs/counts", "/costs", "/graph"):
        assert_problem(await ada.get(path, params={"user": "bob"}), 403, "scope_missing")
        assert_problem(await ada.get(path, params={"user": "*"}), 403, "scope_missing")
        assert (await root.get(path, params={"user": "*"})).status_code == 200
    rows = (await root.get("/runs", params={"user": "*"})).json()
    assert {row["user"] for row in rows} == {"ada", "bob"}
    assert all(row["message"] == "" and row["output"] is None for row in rows)
    [bobs] = (await root.get("/runs", params={"user": "bob"})).json()
    assert bobs["usage"]["model"] == "offline"
    assert_problem(await root.get(f"/runs/{bobs['run_id']}/spans"), 404, "run_not_found")


async def test_runs_are_counted_by_status(ada: httpx.AsyncClient, root: httpx.AsyncClient) -> None:
    counts = (await ada.get("/runs/counts")).json()
    assert (counts["done"], counts["running"], counts["waiting"]) == (1, 0, 0)
    assert (await ada.get("/runs/counts", params={"since": "2100-01-01"})).json()["done"] == 0
    assert (await root.get("/runs/counts", params={"user": "*"})).json()["done"] == 2


async def test_the_time_of_a_run_is_told_by_its_steps_and_calls(ada: httpx.AsyncClient, ran: str) -> None:
    found = (await ada.get(f"/runs/{ran}/spans")).json()
    names = [(span["kind"], span["name"]) for span in found["spans"]]
    assert [name for kind, name in names if kind == "step"] == [
        "lookup_config",
        "retrieve",
        "call_model",
        "execute_tools",
        "call_model",
    ]
    assert [name for kind, name in names if kind in ("model", "tool")] == ["offline", "evaluate", "offline"]
    kinds = {span["id"]: span["kind"] for span in found["spans"]}
    assert {kinds[s["parent"]] for s in found["spans"] if s["kind"] in ("model", "tool")} == {"step"}
    assert all(span["duration_ms"] is not None for span in found["spans"])
    assert found["totals"]["model_calls"] == 2
    assert found["totals"]["cost"] == 0.0


async def test_events_come_by_pages_with_their_times(ada: httpx.AsyncClient, ran: str) -> None:
    first = (await ada.get(f"/runs/{ran}/events/page", params={"limit": 2})).json()
    assert [event["seq"] for event in first["events"]] == [1, 2]
    rest = (await ada.get(f"/runs/{ran}/events/page", params={"after": first["next"]})).json()
    assert rest["next"] is None
    assert rest["events"][-1]["type"] == "done"
    times = [event["at"] for event in [*first["events"], *rest["events"]]]
    assert times == sorted(times)
    only = (await ada.get(f"/runs/{ran}/events/page", params={"type": "tool_call"})).json()
    assert [event["type"] for event in only["events"]] == ["tool_call"]
    beyond = (await ada.get(f"/runs/{ran}/events/page", params={"after": 10**6})).json()
    assert beyond == {"events": [], "next": None}


async def test_the_audit_log_of_a_run_is_its_owners_to_read(ada: httpx.AsyncClient, ran: str) -> None:
    async with asyncio.timeout(20):
        while not (found := (await ada.get(f"/runs/{ran}/log")).json()):  # noqa: ASYNC110 - written behind it
            await asyncio.sleep(0.05)
    assert {line["run_id"] for line in found} == {ran}
    assert {line["who"] for line in found} == {"ada"}


async def test_a_run_is_compared_recorded_and_replayed(
    ada: httpx.AsyncClient, agent: Agent, ran: str
) -> None:
    other = await agent.begin(TurnRequest(Principal("ada"), "What is 6 + 3?", thread_id="more-sums"))
    await other.result()
    same = (await ada.get(f"/runs/{ran}/compare", params={"with": ran})).json()
    assert (same["same"], same["differences"]) == (True, [])
    found = (await ada.get(f"/runs/{ran}/compare", params={"with": other.id})).json()
    assert not found["same"]
    assert found["differences"][0]["first"]["node"] == "call_model"
    assert [run["run_id"] for run in found["runs"]] == [ran, other.id]
    recorded = await ada.get(f"/runs/{ran}/recording")
    assert recorded.headers["content-disposition"] == f'attachment; filename="{ran}.json"'
    assert recorded.json()["run"]["id"] == ran
    again = (await ada.post(f"/runs/{ran}/replay")).json()
    assert (again["same"], again["answer"]) == (True, "5 + 3 = 8")
    await agent.threads.delete(Principal("ada"), "more-sums")


@pytest.mark.parametrize(("by", "key"), [("model", "offline"), ("user", "ada")])
async def test_costs_are_summed(ada: httpx.AsyncClient, by: str, key: str) -> None:
    found = (await ada.get("/costs", params={"by": by})).json()
    [row] = found["rows"]
    assert row["key"] == key
    assert row["runs"] >= 1
    assert row["cost"] == 0.0
    assert found["totals"] == {name: value for name, value in row.items() if name != "key"}
    assert (await ada.get("/costs", params={"by": by, "since": "2100-01-01"})).json()["rows"] == []


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_any_time_of_the_calendar_may_be_asked_for(ada: httpx.AsyncClient, since: str) -> None:
    for path in ("/runs", "/runs/counts", "/costs"):
        assert (await ada.get(path, params={"since": since})).status_code == 200


async def test_costs_by_day_have_the_day(ada: httpx.AsyncClient) -> None:
    [row] = (await ada.get("/costs", params={"by": "day"})).json()["rows"]
    [run] = (await ada.get("/runs", params={"thread": "sums"})).json()
    assert row["key"] == run["created_at"][:10]


async def test_the_graph_has_figures_and_a_picture(ada: httpx.AsyncClient) -> None:
    found = (await ada.get("/graph")).json()
    figures = {node["id"]: node["figures"] for node in found["nodes"]}
    assert figures["__start__"] is None
    assert figures["execute_tools"]["count"] >= 1
    assert {"from": "lookup_config", "to": "retrieve", "conditional": False} in found["edges"]
    picture = await ada.get("/graph", params={"format": "svg"})
    assert picture.headers["content-type"] == "image/svg+xml"
    assert 'data-step="call_model"' in picture.text
    assert "style=" not in picture.text


@pytest.mark.parametrize(
    "path",
    [
        "/runs?since=never",
        "/runs?limit=0",
        "/runs?after=c.x",
        "/costs?by=moon",
        "/graph?format=png",
        "/runs/x%20y/spans",
    ],
)
async def test_what_makes_no_sense_is_refused(ada: httpx.AsyncClient, path: str) -> None:
    answer = await ada.get(path)
    assert answer.status_code in (404, 422), answer.text
