"""Every route, with odd JSON and odd parameters: what comes is never a fault of ours.

The bodies are made from the description of the API, so a new route is tried
without anybody thinking of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import create_app
from tests.kit.http import JSON, assert_problem, turn
from tests.kit.samples import tries
from waystation.testing.agents import open_agent

SEED = 20261128
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**63,
    -(2**70),
    1e300,
    "",
    "x",
    "a\0b",
    "\U0001f9ed" * 3,
    "x" * 5000,
    [],
    [None],
    [[]],
    [{}],
    ["x", 1],
    {},
    {"": None},
    {"x": {}},
    {"configurable": None},
    [[[[[[[[[[1]]]]]]]]]],
]
ODD_TEXTS = [
    "",
    "%00",
    "null",
    "-1",
    "1e9",
    "9" * 40,
    "x" * 300,
    "%F0%9F%A7%AD",
    "..%2F..",
    "%ED%A0%80",
    "*",
    '"',
]
RUNNABLES = [
    f"/{mouth}/{name}"
    for mouth in ("agent", "chat")
    for name in ("invoke", "batch", "stream", "stream_log", "stream_events")
]


@asynccontextmanager
async def _asking(folder: Path, **opened: Any) -> AsyncIterator[httpx.AsyncClient]:
    limits = {"streams_per_user": 200}
    async with open_agent(folder, auth={"user": "ada"}, limits=limits, **opened) as agent:
        app = create_app(agent)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost", timeout=60
            ) as found:
                yield found


@pytest.fixture(scope="module")
async def client(
    storage: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """On both databases, for values that come as far as one: they refuse different ones."""
    async with _asking(tmp_path_factory.mktemp("odd"), storage=storage) as found:
        yield found


@pytest.fixture(scope="module")
async def reader(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """For what is judged before any database is asked."""
    async with _asking(tmp_path_factory.mktemp("reader"), tools=()) as found:
        yield found


def asked(path: str) -> dict[str, Any]:
    """A sound body for a path of LangServe's."""
    said: dict[str, Any] = {"message": "hi"}
    if path.startswith("/chat"):
        said = {"messages": [{"type": "human", "content": "hi"}]}
    return {"inputs": [said]} if path.endswith("/batch") else {"input": said}


@pytest.mark.parametrize("path", RUNNABLES)
async def test_g4_a_null_configuration_counts_as_none(reader: httpx.AsyncClient, path: str) -> None:
    body = {**asked(path), "config": None, "kwargs": None}
    answer = await reader.post(path, json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", [path for path in RUNNABLES if path.endswith("/batch")])
async def test_g4_a_batch_may_configure_some_of_its_inputs_only(reader: httpx.AsyncClient, path: str) -> None:
    (said,) = asked(path)["inputs"]
    answer = await reader.post(path, json={"inputs": [said, said], "config": [None, {}]})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", RUNNABLES)
async def test_g4_whatever_a_runnable_is_sent_it_is_no_fault_of_ours(
    client: httpx.AsyncClient, path: str
) -> None:
    chance = random.Random(f"{SEED}{path}")  # noqa: S311 - the same bodies each time
    keys = [*asked(path), "config", "kwargs", "include_names", "exclude_tags", "include_types", "nonsense"]
    for _ in tries(25, here=8):
        body = asked(path)
        for key in chance.sample(keys, chance.choice([1, 1, 2])):
            body[key] = chance.choice(
                [odd, {"configurable": odd}, {"message": odd}, {"tags": odd}, [odd]]
                if (odd := chance.choice(ODD)) is not None
                else [None]
            )
        _held(await client.post(path, json=body), body)


@pytest.mark.parametrize("path", RUNNABLES)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"[null]", b'"x"', b"1", b"true", b"{}", b'{"":{}}'])
async def test_g4_a_body_that_is_no_request_is_told_so(
    reader: httpx.AsyncClient, path: str, body: bytes
) -> None:
    assert_problem(await reader.post(path, content=body, headers=JSON), 422, "invalid_request")


async def test_g4_whatever_a_route_is_sent_it_is_no_fault_of_ours(client: httpx.AsyncClient) -> None:
    await client.post("/threads", json={"thread_id": "t1"})
    begun = (await client.post("/threads/t1/runs", json={"input": {"message": "hi"}})).json()
    known = {"thread_id": "t1", "run_id": begun["run_id"]}
    described = (await client.get("/openapi.json")).json()
    chance = random.Random(SEED)  # noqa: S311 - the same requests each time
    for method, path, operation in _operations(described):
        for _ in tries(12, here=4):
            url = _url(path, operation, known, chance)
            content = _content(described, operation, chance) if method in ("POST", "PUT", "PATCH") else None
            answer = await client.request(method, url, content=content, headers=JSON if content else {})
            _held(answer, (method, url, content))
    assert (await client.post("/agent/invoke", json=turn())).json()["output"]["status"] == "done"


def _held(answer: httpx.Response, sent: Any) -> None:
    assert answer.status_code < 500, (sent, answer.text)
    if answer.status_code >= 400:
        assert_problem(answer, answer.status_code)


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        if path in RUNNABLES or path.endswith(("/wait", "/events", "playground/{file_path}")):
            continue
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _url(path: str, operation: dict[str, Any], known: dict[str, str], chance: random.Random) -> str:
    query = []
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        if parameter["in"] == "path":
            value = known.get(name, "k1") if chance.random() < 0.7 else chance.choice(ODD_TEXTS[1:])
            path = path.replace(f"{{{name}}}", value)
        elif parameter["in"] == "query" and (parameter.get("required") or chance.random() < 0.5):
            query.append(f"{name}={chance.choice(ODD_TEXTS)}")
    return f"{path}?{'&'.join(query)}" if query else path


def _content(described: dict[str, Any], operation: dict[str, Any], chance: random.Random) -> bytes | None:
    offered = operation.get("requestBody", {}).get("content", {})
    schema = _resolved(described, offered.get("application/json", {}).get("schema", {}))
    fields = list(schema.get("properties", {})) or ["x"]
    whole = chance.random() < 0.2
    value: Any = (
        chance.choice(ODD)
        if whole
        else {key: chance.choice(ODD) for key in chance.sample(fields, chance.randint(1, len(fields)))}
    )
    return json.dumps(value).encode() if chance.random() < 0.95 else b""


def _resolved(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for choice in schema.get("anyOf", []):
        schema = choice if "$ref" in choice else schema
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = described["components"]["schemas"][name] if name else schema
    return found
