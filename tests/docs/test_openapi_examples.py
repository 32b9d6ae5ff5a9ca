"""Every route has an example, and a real service answers each example as it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from core.access import Principal
from core.task_queue import TaskQueue
from graph import Agent
from nodes.file_storage import FileManager
from nodes.rag.tasks import INDEX, IndexSource
from server.app import create_app
from server.examples import EVENT_STREAM, EXAMPLES, Example
from tests.kit.agents import open_agent
from tests.kit.http import client_of, served

# Objects whose keys are somebody's data: held to be objects, not to have the same keys.
FREE = frozenset({"tags", "arguments", "parameters", "properties", "modules", "platform", "details"})
ROUTES = sorted(
    (method.upper(), path)
    for path, operations in create_app().openapi()["paths"].items()
    for method in operations
)
# Changes that take away what the other examples show come last.
LAST = ("PATCH", "DELETE")


def operation(route: tuple[str, str]) -> Any:
    method, path = route
    return create_app().openapi()["paths"][path][method.lower()]


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_every_route_is_described_with_examples(route: tuple[str, str]) -> None:
    found = operation(route)
    assert found["summary"].strip()
    assert found["description"].strip()
    bodies = found.get("requestBody", {}).get("content", {})
    assert not bodies or any("example" in body for body in bodies.values()), "no example of a request"
    answers = {status: answer for status, answer in found["responses"].items() if status.startswith("2")}
    assert answers
    if set(answers) != {"204"}:
        shown = [body for answer in answers.values() for body in answer.get("content", {}).values()]
        assert any("example" in body for body in shown), "no example of an answer"


def test_no_example_is_of_a_route_that_is_gone() -> None:
    assert sorted(EXAMPLES.keys() - set(ROUTES)) == []


def test_a_stream_is_described_as_one() -> None:
    content = operation(("POST", "/agent/stream"))["responses"]["200"]["content"]
    assert set(content) == {EVENT_STREAM}


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("examples")) as agent:
        yield agent


@pytest.fixture(scope="module")
async def client(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    async with served(agent) as base, client_of(base) as client:
        yield client


@pytest.fixture(scope="module")
async def real(agent: Agent, client: httpx.AsyncClient) -> Mapping[str, str]:
    """A thread with a turn, a file and a task, by the names of the placeholders."""
    for route in (("POST", "/threads"), ("POST", "/agent/invoke"), ("POST", "/files")):
        answer = await client.request(*route, json=EXAMPLES[route].body)
        assert answer.is_success, answer.text
    owner = Principal("local")
    files = await agent.container.get(FileManager)
    link = await files.link(owner, answer.json()["key"])
    queue = await agent.container.get(TaskQueue)
    task = await queue.add(INDEX, IndexSource(source="harbour"), owner=queue.system, key="example")
    return {
        "thread_id": "harbour",
        "key": answer.json()["key"],
        "token": link.rpartition("/")[2],
        "task_id": task.id,
    }


async def send(
    client: httpx.AsyncClient, route: tuple[str, str], example: Example, real: Mapping[str, str]
) -> httpx.Response:
    method, path = route
    query = dict(example.query)
    return await client.request(method, path.format(**real), params=query, json=example.body)


SENT = [route for route, example in EXAMPLES.items() if example.media != EVENT_STREAM]
SENT.sort(key=lambda route: LAST.index(route[0]) if route[0] in LAST else -1)


async def test_a_real_service_answers_every_example_as_it_says(
    client: httpx.AsyncClient, real: Mapping[str, str]
) -> None:
    wrong: list[str] = []
    for route in SENT:
        example = EXAMPLES[route]
        answer = await send(client, route, example, real)
        if not answer.is_success:
            wrong.append(f"{' '.join(route)}: {answer.status_code} {answer.text[:300]}")
        elif example.answer is None:
            assert answer.status_code == 204
        elif route[1].endswith("_schema"):
            assert answer.json()["title"]
        elif not isinstance(example.answer, str):
            wrong += [f"{' '.join(route)}: {line}" for line in differences(example.answer, answer.json())]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "route", [route for route, example in EXAMPLES.items() if example.media == EVENT_STREAM], ids=" ".join
)
async def test_a_stream_of_an_example_ends_properly(
    client: httpx.AsyncClient, route: tuple[str, str]
) -> None:
    answer = await client.request(*route, json=EXAMPLES[route].body)
    assert answer.headers["content-type"].startswith(EVENT_STREAM)
    assert "event: end" in answer.text.splitlines()


def differences(shown: Any, real: Any, where: str = "") -> list[str]:
    """Where an answer has another shape than its example. None may stand for anything."""
    if shown is None or real is None or (where.rpartition(".")[2] in FREE and isinstance(real, dict)):
        return []
    if isinstance(shown, dict) and isinstance(real, dict):
        keys = [f"{where}.{key}: only in the example" for key in shown.keys() - real.keys()]
        keys += [f"{where}.{key}: missing from the example" for key in real.keys() - shown.keys()]
        return keys + [
            line
            for key in shown.keys() & real.keys()
            for line in differences(shown[key], real[key], f"{where}.{key}")
        ]
    if isinstance(shown, list) and isinstance(real, list):
        return _elements(shown, real, where)
    number = (int, float)
    same = type(shown) is type(real) or (isinstance(shown, number) and isinstance(real, number))
    return [] if same else [f"{where}: {type(shown).__name__} in the example, {type(real).__name__} in truth"]


def _elements(shown: list[Any], real: list[Any], where: str) -> list[str]:
    """Each element of the example is like one that is real, if there are any."""
    found = []
    for index, one in enumerate(shown if real else []):
        tried = [differences(one, other, f"{where}[{index}]") for other in real]
        found += min(tried, key=len)
    return found
