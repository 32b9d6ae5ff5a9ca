"""Clients of other people at a process that only answers: where no worker is there, and where it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as a2a
from langgraph_sdk import get_client

from tests.campaigns.victims import plain
from tests.kit.langgraph import GRAPH, asks
from tests.kit.readers import OUTLIVING, READERS, SECONDS, WAITS, WORDS, Heard, openai_at, plain_http
from waystation.testing.agents import write_config
from waystation.testing.model_server import ModelServer, say
from waystation.testing.postgres import PostgresServer
from waystation.testing.service import Service

ANSWER = "one two three"


@pytest.fixture(scope="module")
def storage(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    yield plain(url)
    postgres_server.drop_database(url)


def part_of(folder: Path, role: str, storage: str, model: ModelServer) -> Service:
    env = {
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "test",
        "WAYSTATION_STORAGE__URL": storage,
        "WAYSTATION_SERVER__WORKER_WAIT_SECONDS": "2",
        "WAYSTATION_MCP__BUNDLED": "false",
        "WAYSTATION_MODULES__DISABLED": '["rag"]',
    }
    folder.mkdir()
    return Service(folder / "home", config_dir=write_config(folder), env=env, words=("--role", role))


def _sets(event: asyncio.Event) -> Heard:
    return lambda what: event.set() if what == WORDS else None


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory, storage: str, _model_server: ModelServer
) -> Iterator[Service]:
    with part_of(tmp_path_factory.mktemp("fleet") / "api", "api", storage, _model_server) as service:
        yield service


async def test_every_client_hears_that_it_waits_and_who_has_no_run_behind_it_that_nobody_is_there(
    api: Service,
) -> None:
    waits = {name: asyncio.Event() for name in READERS}

    async def told(name: str) -> str:
        def heard(what: str) -> None:
            assert what == WAITS, f"{name}: {what}"
            waits[name].set()

        try:
            return await READERS[name](api.url, f"{name} asks", heard)
        except Exception as error:  # noqa: BLE001 - each client has its own
            return str(error)

    async with asyncio.timeout(SECONDS):
        asking = {name: asyncio.create_task(told(name)) for name in READERS}
        await asyncio.gather(*(event.wait() for event in waits.values()))
        for name in OUTLIVING:
            asking[name].cancel()
        ended = {name: await asking[name] for name in READERS if name not in OUTLIVING}
    assert {name: said for name, said in ended.items() if "no worker" not in said} == {}


async def test_what_waits_for_a_worker_is_cancelled_by_the_clients_that_can(api: Service) -> None:
    async with asyncio.timeout(SECONDS), plain_http() as http, openai_at(api.url) as openai:
        begun = await openai.responses.create(model=GRAPH, input="waits", background=True)
        assert begun.status == "queued"
        assert (await openai.responses.cancel(begun.id)).status == "cancelled"
        async with get_client(url=f"{api.url}/langgraph", api_key=None) as sdk:
            thread = (await sdk.threads.create())["thread_id"]
            run = await sdk.runs.create(thread, GRAPH, input=asks("waits"))
            assert run["status"] == "pending"
            await sdk.runs.cancel(thread, run["run_id"], wait=True)
            assert (await sdk.runs.get(thread, run["run_id"]))["status"] == "interrupted"
        client = await ClientFactory(ClientConfig(httpx_client=http)).create_from_url(api.url)
        said = a2a.Message(message_id="m", role=a2a.ROLE_USER, parts=[a2a.Part(text="waits")])
        async for event in client.send_message(a2a.SendMessageRequest(message=said)):
            task = event.task.id
            break
        ended = await client.cancel_task(a2a.CancelTaskRequest(id=task))
        assert ended.status.state == a2a.TASK_STATE_CANCELED


async def test_every_client_has_the_whole_answer_once_whose_worker_was_killed_in_the_middle(
    api: Service, storage: str, model_server: ModelServer, tmp_path: Path
) -> None:
    for name in READERS:
        model_server.script(say(ANSWER, hang_after=1), say(ANSWER), match=f"{name} reads")
    speak = {name: asyncio.Event() for name in READERS}
    with part_of(tmp_path / "first", "worker", storage, model_server) as first:
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
            reading = {
                name: group.create_task(read(api.url, f"{name} reads", _sets(speak[name])))
                for name, read in READERS.items()
            }
            await asyncio.gather(*(event.wait() for event in speak.values()))
            await asyncio.to_thread(first.kill)
            with psycopg.connect(storage) as db:  # nobody waits until its leases have run out
                db.execute("UPDATE threads SET lease_until = 1 WHERE run_id IS NOT NULL")
            with part_of(tmp_path / "second", "worker", storage, model_server):
                found = await asyncio.gather(*reading.values())
    assert dict(zip(READERS, found, strict=True)) == dict.fromkeys(READERS, ANSWER)
