"""Health, metrics, the catalogue, the description, request ids."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from core.task_queue import TaskQueue
from graph.agent import Agent
from tests.kit.http import assert_problem, client_of, served, turn
from waystation.testing.agents import open_agent


async def test_liveness_and_readiness_answer_shortly(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health/live")).json() == {"status": "live"}
    assert (await http.get("/health/ready")).json() == {"status": "ready"}


async def test_health_tells_of_every_module(http: httpx.AsyncClient, agent: Agent) -> None:
    body = (await http.get("/health")).json()
    assert set(body["modules"]) == {found.module.name for found in agent.module_states}
    assert {"state", "reason", "since", "details"} == body["modules"]["llm"].keys()
    assert "/work" not in str(body)


@pytest.mark.always
async def test_while_draining_readiness_is_503_and_new_turns_too(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with (
        open_agent(tmp_path_factory.mktemp("drain")) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        await agent.drain(seconds=0)
        assert (await http.get("/health/ready")).status_code == 503
        assert (await http.get("/health")).json()["draining"] is True
        for path in ("/agent/invoke", "/agent/stream"):
            answer = await http.post(path, json=turn())
            assert_problem(answer, 503, "draining")
            assert answer.headers["retry-after"] == "1"
        assert (await http.get("/health/live")).status_code == 200


async def test_metrics_count_turns_and_name_nobody(http: httpx.AsyncClient) -> None:
    await http.post("/agent/invoke", json=turn(thread_id="metered"))
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'waystation_turns_total{status="done"}' in answer.text
    assert "metered" not in answer.text
    assert not re.search(r"[{,](user|owner|thread|thread_id|run_id)=", answer.text)


async def test_the_catalogue_names_what_the_caller_may_use(http: httpx.AsyncClient) -> None:
    found = {name: (await http.get(f"/{name}")).json() for name in ("models", "sources", "servers", "tools")}
    assert [model["name"] for model in found["models"] if model["default"]] == ["offline"]
    assert [source["name"] for source in found["sources"]] == ["harbour"]
    assert {"calculator", "clock", "tables"} <= {server["name"] for server in found["servers"]}
    assert {"calculator_add", "clock_now"} <= {tool["name"] for tool in found["tools"]}
    assert all(tool["parameters"]["type"] == "object" for tool in found["tools"])


async def test_what_belongs_to_a_group_is_not_shown_to_others(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    files = {
        "sources.yaml": "secret:\n  type: local\n  path: .\n  groups: [staff]\n",
        "models.yaml": (
            "models:\n  inner:\n    model_name: m\n    model_url: http://127.0.0.1:9/v1\n"
            "    groups: [staff]\n    api_key: very-secret-key\n"
        ),
    }
    async with (
        open_agent(tmp_path_factory.mktemp("groups"), files=files, llm={"default_model": "offline"}) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        assert "secret" not in [source["name"] for source in (await http.get("/sources")).json()]
        assert [model["name"] for model in (await http.get("/models")).json()] == ["offline"]
        problem = assert_problem(
            await http.post("/agent/invoke", json=turn(model="inner")), 422, "unknown_model"
        )
        assert "very-secret-key" not in str(problem)


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3", True), ("x" * 65, False), ("a b", False), ("<script>", False)]
)
async def test_a_plain_request_id_is_given_back(http: httpx.AsyncClient, given: str, kept: bool) -> None:
    answer = await http.get("/health/live", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is kept
    assert answer.headers["x-request-id"]


async def test_the_description_is_whole_and_true_about_errors(http: httpx.AsyncClient) -> None:
    schema = (await http.get("/openapi.json")).json()
    paths = set(schema["paths"])
    wanted = {
        "/agent/invoke",
        "/agent/batch",
        "/agent/stream",
        "/agent/stream_log",
        "/agent/stream_events",
        "/agent/input_schema",
        "/chat/invoke",
        "/threads",
        "/threads/{thread_id}",
        "/threads/{thread_id}/transcript",
        "/threads/{thread_id}/state",
        "/threads/{thread_id}/history",
        "/files",
        "/files/{key}",
        "/files/{key}/content",
        "/files/link/{token}",
        "/models",
        "/sources",
        "/servers",
        "/tools",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
    }
    assert wanted <= paths
    operations: list[dict[str, Any]] = [o for path in schema["paths"].values() for o in path.values()]
    assert len({o["operationId"] for o in operations}) == len(operations)
    for operation in operations:
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")) and "content" in answer:
                assert list(answer["content"]) == ["application/problem+json"]


async def test_the_docs_page_asks_nobody_else(http: httpx.AsyncClient) -> None:
    page = (await http.get("/docs")).text
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert (await http.get(f"/docs/assets/{asset}")).status_code == 200


async def test_a_fault_of_ours_says_nothing_but_its_request_id(http: httpx.AsyncClient, agent: Agent) -> None:
    whole, agent.threads = agent.threads, None  # type: ignore[assignment]  # the fault
    try:
        answer = await http.get("/threads")
    finally:
        agent.threads = whole
    assert_problem(answer, 500, "internal")
    assert "NoneType" not in answer.text
    assert answer.headers["x-request-id"]


async def test_operators_see_background_tasks_and_may_cancel_them(
    http: httpx.AsyncClient, agent: Agent
) -> None:
    queue = await agent.container.get(TaskQueue)
    added = await queue.add("forget_tasks", {}, owner=queue.system, delay_s=3600)
    listed = (await http.get("/tasks", params={"name": "forget_tasks"})).json()
    assert [task["id"] for task in listed] == [added.id]
    assert (await http.get(f"/tasks/{added.id}")).json()["status"] == "queued"
    assert (await http.post(f"/tasks/{added.id}/cancel")).json()["status"] == "cancelled"
    assert_problem(await http.get("/tasks/nobody"), 404, "task_not_found")


async def test_health_tells_of_what_the_modules_lean_on(http: httpx.AsyncClient) -> None:
    body = (await http.get("/health")).json()
    assert {"events", "tasks", "cache", "breakers"} <= body["platform"].keys()
    assert body["platform"]["cache"]["details"] == {"store": "memory"}


async def test_the_description_names_the_ways_to_log_in(http: httpx.AsyncClient) -> None:
    schema = (await http.get("/openapi.json")).json()
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "key"}
