"""Every route has an example, and a real service answers each example as it says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import pytest

from core.access import Principal
from core.identity.keys import KeyStore
from core.task_queue import TaskQueue
from graph import Agent
from graph.runs.record import TurnRequest
from nodes.file_storage import FileManager
from nodes.rag.tasks import INDEX, IndexSource
from server.app import create_app
from server.errors import STATUS
from server.examples import EVENT_STREAM, EXAMPLES, Example
from server.examples.form import BYTES, FORM
from server.examples.langserve import A_SCHEMA, RUN
from server.examples.runs import QUESTION_ID
from server.examples.threads import CHECKPOINT, SAID
from server.protocols.refusals import PROBLEM_JSON
from tests.kit.answers import Judge
from tests.kit.http import client_of, served
from waystation.testing.agents import BUNDLED, open_agent
from waystation.testing.service import ROOT

# Objects whose keys are somebody's data: held to be objects, not to have the same keys.
FREE = frozenset({"tags", "arguments", "parameters", "properties", "modules", "platform", "details"})
# Of the page, which says what the application does: to ask that while tests are collected takes seconds.
PAGE = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8"))
ROUTES = sorted((method.upper(), path) for path, operations in PAGE["paths"].items() for method in operations)
# JSON schemas of LangServe's, and a file for a command.
SCHEMAS = [
    f"/{facade}/{what}_schema" for facade in ("agent", "chat") for what in ("config", "input", "output")
]
OF_ANY_FORM = sorted(("GET", path) for path in [*SCHEMAS, "/runs/{run_id}/recording"])
# Changes that take away what the other examples show come last.
# Ids in the bodies of examples, and what stands for them in a real service.
SHOWN = {QUESTION_ID: "question", CHECKPOINT: "checkpoint_id", SAID[0]["id"]: "message_id", RUN: "run_id"}
ASKS_FIRST = "What time is it in UTC?"
LAST = ("PATCH", "DELETE")


@cache
def description() -> dict[str, Any]:
    return create_app().openapi()


@cache
def judge() -> Judge:
    return Judge(description())


def described() -> dict[str, Any]:
    paths: dict[str, Any] = description()["paths"]
    return paths


def operation(route: tuple[str, str]) -> Any:
    method, path = route
    return described()[path][method.lower()]


def test_the_page_has_every_route() -> None:
    assert sorted((m.upper(), path) for path, found in described().items() for m in found) == ROUTES


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_every_route_is_described_with_examples(route: tuple[str, str]) -> None:
    found = operation(route)
    assert found["summary"].strip()
    assert found["description"].strip()
    bodies = found.get("requestBody", {}).get("content", {})
    assert not bodies or any("example" in body for body in bodies.values()), (
        "no example of a request: see server/examples/"
    )
    answers = {status: answer for status, answer in found["responses"].items() if status.startswith("2")}
    assert answers
    if set(answers) != {"204"}:
        shown = [body for answer in answers.values() for body in answer.get("content", {}).values()]
        assert any("example" in body for body in shown), "no example of an answer: see server/examples/"


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_every_error_is_described_as_it_is_answered(route: tuple[str, str]) -> None:
    errors = {s: a for s, a in operation(route)["responses"].items() if s[0] not in "23"}
    if route == ("GET", "/health/ready"):
        del errors["503"]  # the health itself
    assert errors
    for status, answer in errors.items():
        for example in answer["content"][PROBLEM_JSON]["examples"].values():
            body = example["value"]
            assert body["status"] == STATUS.get(body["code"]), "the code has no row in server/errors.py"
            assert status in {"default", str(body["status"])}


def test_no_example_is_of_a_route_that_is_gone() -> None:
    assert sorted(EXAMPLES.keys() - set(ROUTES)) == []


def test_a_stream_is_described_as_one() -> None:
    content = operation(("POST", "/agent/stream"))["responses"]["200"]["content"]
    assert set(content) == {EVENT_STREAM}


def test_generators_of_clients_find_a_name_for_everything() -> None:
    """They make classes of titles; two of one name cost both, and all that has to do with them."""
    schemas = description()["components"]["schemas"]
    titles = [found for one in schemas.values() for found in _titles(one)]
    assert sorted({title for title in titles if titles.count(title) > 1}) == []
    assert not [name for name in schemas if "__" in name], "two models have the same name"
    assert {"AIMessage", "HTTPValidationError"} & schemas.keys() == set(), "nothing names these"


def test_a_body_is_described_in_one_form() -> None:
    """Of two, one generator makes code that cannot be imported, and one sends a form as JSON."""
    bodies = {route: list(operation(route).get("requestBody", {}).get("content", {})) for route in ROUTES}
    assert {route: forms for route, forms in bodies.items() if len(forms) > 1} == {}


def test_what_may_be_left_out_of_a_body_has_no_default() -> None:
    """openapi-typescript makes a field with a default one that has to be sent."""
    schemas = description()["components"]["schemas"]
    bodies = ("AgentInput", "NewRunBody", "NewKey", "Edit", "agentConfigurable")
    given = {
        (body, field)
        for body in bodies
        for field, of in schemas[body]["properties"].items()
        if "default" in of
    }
    assert given == set()
    assert schemas["NewRunBody"]["properties"]["on_busy"]["description"].endswith('By default "reject".')
    assert schemas["AgentInput"]["properties"]["resume"]["additionalProperties"] is True


def test_every_answer_has_a_form_with_a_name() -> None:
    assert [route for route, form in _forms() if "$ref" not in form] == OF_ANY_FORM


def _forms() -> Iterator[tuple[tuple[str, str], Any]]:
    """What is said of each answer in JSON, or of an item where it is a list, and of each event."""
    for route in ROUTES:
        answers = [a for status, a in operation(route)["responses"].items() if status.startswith("2")]
        for media, told in (each for answer in answers for each in answer.get("content", {}).items()):
            if media == EVENT_STREAM:
                yield route, told["itemSchema"]["properties"]["data"]["contentSchema"]
            elif media == "application/json":
                yield route, told["schema"].get("items", told["schema"])


def _titles(schema: Any) -> list[str]:
    """Titles of the objects in a schema."""
    if isinstance(schema, list):
        return [title for one in schema for title in _titles(one)]
    if not isinstance(schema, dict):
        return []
    own = [schema["title"]] if "properties" in schema and isinstance(schema.get("title"), str) else []
    return own + [title for one in schema.values() for title in _titles(one)]


@pytest.mark.parametrize("route", [("GET", "/files/{key}/content"), ("GET", "/files/link/{token}")])
def test_the_content_of_a_file_is_described_as_bytes(route: tuple[str, str]) -> None:
    [(media, told)] = operation(route)["responses"]["200"]["content"].items()
    assert (media, told["schema"]) == (BYTES, {"type": "string", "format": "binary"})


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    files = {"mcp.json": '{"clock": {"require_approval": ["*"]}}'}
    async with open_agent(tmp_path_factory.mktemp("examples"), tools=BUNDLED, files=files) as agent:
        yield agent


@pytest.fixture(scope="module")
async def client(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    async with served(agent) as base, client_of(base) as client:
        yield client


@dataclass(frozen=True)
class Real:
    """What the examples are about, in a service: values of placeholders, also by route where they differ."""

    names: Mapping[str, str]
    by_route: Mapping[tuple[str, str], Mapping[str, str]]

    def path(self, route: tuple[str, str]) -> str:
        return route[1].format(**{**self.names, **self.by_route.get(route, {})})

    def sent(self, route: tuple[str, str]) -> dict[str, Any]:
        """The example's body, with ids of what is really there in place of those that it shows."""
        example = EXAMPLES[route]
        if isinstance(example.body, str):
            return {"content": example.body, "headers": {"content-type": example.sends}}
        if example.sends == FORM:
            fields = dict(example.body)
            return {"files": {"file": ("fees.csv", fields.pop("file"), "text/csv")}, "data": fields}
        text = json.dumps(example.body)
        for shown, name in SHOWN.items():
            text = text.replace(shown, {**self.names, **self.by_route.get(route, {})}.get(name, shown))
        return {"json": json.loads(text)}


async def made(client: httpx.AsyncClient, method: str, path: str, body: Any) -> Any:
    answer = await client.request(method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.fixture(scope="module")
async def real(agent: Agent, client: httpx.AsyncClient) -> Real:
    """A thread with a turn, a file, a task, and two threads that wait for a person."""
    found = {}
    for route in (("POST", "/threads"), ("POST", "/agent/invoke")):
        found[route[1]] = await made(client, *route, EXAMPLES[route].body)
    stored = await client.post("/files", files={"file": ("fees.csv", b"length,fee\n8,12\n", "text/csv")})
    key = stored.json()["key"]
    files = await agent.container.get(FileManager)
    queue = await agent.container.get(TaskQueue)
    task = await queue.add(INDEX, IndexSource(source="harbour"), owner=queue.system, key="example")
    made_key, _ = await KeyStore(agent.engine).create("ada")
    planned = TurnRequest(Principal("local"), "hi")
    plan = await (await agent.plans()).create(planned, schedule="0 0 1 1 *", payload={}, metadata={})
    waiting = {}
    for route in (("POST", "/runs/{run_id}/resume"), ("POST", "/runs/{run_id}/cancel")):
        reply = (await made(client, "POST", "/agent/invoke", {"input": {"message": ASKS_FIRST}}))["output"]
        waiting[route] = {"run_id": reply["run_id"], "question": reply["interrupts"][0]["id"]}
    history = (await client.get("/threads/harbour/history")).json()
    said = (await client.get("/threads/harbour/transcript")).json()
    names = {
        "checkpoint_id": history["checkpoints"][0]["checkpoint_id"],
        "message_id": said["messages"][0]["id"],
        "thread_id": "harbour",
        "run_id": found["/agent/invoke"]["output"]["run_id"],
        "key": key,
        "token": (await files.link(Principal("local"), key)).rpartition("/")[2],
        "task_id": task.id,
        "source": "harbour",
        "server": "calculator",
        "tool": "calculator_add",
        "key_id": made_key.id,
        "plan_id": plan["id"],
    }
    return Real(names, waiting)


# Needs a bucket; `tests/integration/test_http_files.py` asks it there.
ELSEWHERE = {("POST", "/files/direct")}
SENT = [r for r, example in EXAMPLES.items() if example.media != EVENT_STREAM and r not in ELSEWHERE]
SENT.sort(key=lambda route: LAST.index(route[0]) if route[0] in LAST else -1)


async def send(client: httpx.AsyncClient, route: tuple[str, str], real: Real) -> httpx.Response:
    query = {k: real.names.get(SHOWN.get(str(v), ""), v) for k, v in EXAMPLES[route].query.items()}
    answer = await client.request(route[0], real.path(route), params=query, **real.sent(route))
    if answer.status_code == 202:  # what was begun ends before the next example is sent
        await client.get(f"/runs/{answer.json()['run_id']}/wait")
    return answer


@pytest.mark.parametrize(
    "route", [route for route, example in EXAMPLES.items() if example.media == EVENT_STREAM], ids=" ".join
)
async def test_a_stream_of_an_example_ends_properly(
    client: httpx.AsyncClient, real: Real, route: tuple[str, str]
) -> None:
    answer = await send(client, route, real)
    assert answer.headers["content-type"].startswith(EVENT_STREAM)
    assert "event: end" in answer.text.splitlines()
    assert judge().faults(answer) == []


@pytest.mark.always
async def test_a_real_service_answers_every_example_as_it_says(client: httpx.AsyncClient, real: Real) -> None:
    wrong: list[str] = []
    for route in SENT:
        answer = await send(client, route, real)
        found = [*_wrong(EXAMPLES[route], answer), *judge().faults(answer)]
        wrong += [f"{' '.join(route)}: {line}" for line in found]
    assert not wrong, "\n".join(wrong)


def _wrong(example: Example, answer: httpx.Response) -> list[str]:
    if not answer.is_success:
        return [f"{answer.status_code} {answer.text[:300]}"]
    if example.answer is None:
        return [] if answer.status_code == 204 else ["has an answer after all"]
    if isinstance(example.answer, str):
        return []
    if example.answer == A_SCHEMA:
        return [] if "title" in answer.json() else ["is no schema"]
    return differences(example.answer, answer.json())


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
        found += sorted(tried, key=len)[0]
    return found
