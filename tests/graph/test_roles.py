"""One process that answers and others that execute, on one PostgreSQL: runs are handed over and come back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.database.engine import database_url
from core.health import HealthState
from core.settings.platform import StorageSettings
from core.signals import Signals
from graph import Agent
from graph.errors import ThreadBusy, TooManyRuns
from graph.moving.database import is_used
from graph.runs.ledger import RunLedger
from graph.runs.record import TurnRequest
from graph.runs.streams import WAITS
from graph.runs.tails import Mirror
from graph.service.fleet import Fleet
from graph.service.stops import STOPS
from graph.service.supervisor import Supervisor
from tests.campaigns.victims import TOOL, plain
from tests.unit.graph.run_kit import Desk
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, call, hang, say
from waystation.testing.postgres import PostgresServer

LOCAL = Principal("local")
SLOW = Principal("sloth", groups=frozenset({"slow"}))
WAIT_S = 60.0
Opening = AbstractAsyncContextManager[Agent]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


class House:
    """Processes with homes of their own on one database."""

    def __init__(self, folder: Path, model: ModelServer, url: str) -> None:
        self._folder = folder
        self._model = model
        self._url = url

    def process(self, role: str, **server: Any) -> Opening:
        home = self._folder / f"home{sum(1 for _ in self._folder.iterdir())}"
        config = home / "config"
        config.mkdir(parents=True)
        command = [sys.executable, str(TOOL), *(str(home / name) for name in ("notes", "pids", "armed"))]
        servers = {"notes": {"command": command, "require_approval": ["*"]}}
        (config / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
        context = context_at(
            home,
            environ={"OPENAI_BASE_URL": self._model.url, "OPENAI_API_KEY": "test"},
            storage={"url": self._url},
            server={"role": role, "run_tags": {"group:slow": "slow"}, **server},
            mcp={"bundled": False},
            modules={"disabled": ["rag"]},
            limits={"streams_per_user": 3},
        )
        return Agent.open(context, worker=True)


@pytest.fixture
def house(tmp_path: Path, model: ModelServer, postgres_server: PostgresServer) -> Iterator[House]:
    url = postgres_server.create_database()
    model.reset()
    yield House(tmp_path, model, plain(url))
    model.release()
    postgres_server.drop_database(url)


@pytest.fixture
async def api(house: House) -> AsyncIterator[Agent]:
    async with house.process("api") as agent:
        yield agent


async def told(agent: Agent, request: TurnRequest) -> list[dict[str, Any]]:
    run = await agent.begin(request)
    async with asyncio.timeout(WAIT_S):
        return [event async for event in run.events()]


async def until(events: AsyncIterator[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The events up to the first of this kind."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(WAIT_S):
        async for event in events:
            found.append(event)
            if event["type"] == kind:
                break
    return found


async def test_a_run_says_that_it_waits_and_is_executed_by_the_worker_that_comes(
    house: House, api: Agent
) -> None:
    run = await api.begin(TurnRequest(LOCAL, "hello", thread_id="t"))
    events = run.events()
    [notice] = await until(events, "notice")
    assert (notice["code"], notice["seq"], notice["run_id"]) == (WAITS, 0, run.id)
    health = await (await api.container.get(Fleet)).check()
    assert health.state is HealthState.DEGRADED
    assert "waystation serve --role worker" in health.reason
    async with house.process("worker"):
        rest = [event async for event in events]
        assert [rest[0]["type"], rest[-1]["status"]] == ["run_started", "done"]
        assert [event["seq"] for event in rest] == list(range(1, len(rest) + 1))
        fleet = await (await api.container.get(Fleet)).check()
        assert (fleet.state, fleet.details["workers"]) == (HealthState.HEALTHY, 1)
        run = await api.begin(TurnRequest(LOCAL, "and?", thread_id="t"))
        assert (await run.result())["status"] == "done"
        assert not api.runs.follower.mirrors.is_fresh(run.id), "who reads it now waits for no letter"
        said = (await api.threads.transcript(LOCAL, "t"))["messages"]
        assert [message["text"] for message in said if message["role"] == "user"] == ["hello", "and?"]
    left = await (await api.container.get(Fleet)).check()
    assert left.state is HealthState.DEGRADED, "a worker that stops says so"


async def test_an_api_alone_is_seen_by_who_copies_the_database(house: House) -> None:
    async with house.process("api") as api:
        url = database_url(api.book[StorageSettings], api.book.context.places)
        async with asyncio.timeout(WAIT_S):
            while not await asyncio.to_thread(is_used, url):
                pass  # each look is a connection
        assert await (await api.container.get(Fleet)).present() == [], "it executes nothing"
    assert not await asyncio.to_thread(is_used, url)


async def test_a_run_that_no_worker_takes_up_fails_and_a_background_run_waits(house: House) -> None:
    async with house.process("api", worker_wait_seconds=0.5) as api:
        kept = await api.begin(
            TurnRequest(LOCAL, "later", thread_id="b", background=True, on_disconnect="continue")
        )
        events = await told(api, TurnRequest(LOCAL, "now", thread_id="t"))
        assert (events[-1]["type"], events[-1]["code"]) == ("error", "no_worker")
        assert events[-1]["retryable"]
        record = await api.runs.get(LOCAL, events[-1]["run_id"])
        assert (record.status, record.reason) == ("failed", "no_worker")
        assert (await api.runs.get(LOCAL, kept.id)).status == "queued"
        with pytest.raises(ThreadBusy):
            await api.begin(TurnRequest(LOCAL, "too", thread_id="b"))
        assert (await api.runs.cancel(LOCAL, kept.id)).status == "cancelled"


async def test_words_come_while_the_worker_hears_them_and_a_cancel_goes_the_other_way(
    house: House, api: Agent, model: ModelServer
) -> None:
    model.script(say("one two three four", hang_after=2))
    async with house.process("worker") as worker:
        run = await api.begin(TurnRequest(LOCAL, "count", thread_id="t"))
        events = run.events()
        first = await until(events, "token")
        assert first[-1]["delta"] == "one "
        assert run.id in worker.runs.live
        assert run.id not in api.runs.live
        late: Any = api.runs.events(LOCAL, run.id, after=first[-2]["seq"])
        assert (await until(late, "token"))[0] == first[-1], (
            "a second reader has what was told before it came"
        )
        await late.aclose()
        await api.runs.cancel(LOCAL, run.id)
        rest = [event async for event in events]
        assert rest[-1]["status"] == "cancelled"
        assert not api.runs.follower.mirrors.get(run.id)


async def test_a_reader_that_leaves_ends_its_run(house: House, api: Agent, model: ModelServer) -> None:
    model.script(say("one two three four", hang_after=1))
    async with house.process("worker"):
        run = await api.begin(TurnRequest(LOCAL, "count", thread_id="t"))
        await until(run.events(), "token")
        run.leave()
        assert (await api.runs.wait(LOCAL, run.id, timeout=WAIT_S)).status == "cancelled"


async def test_a_wish_whose_signal_is_lost_is_found_all_the_same(
    house: House, api: Agent, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.service.stops.BEAT_SECONDS", 0.05)
    signals = await api.container.get(Signals)
    send = signals.send
    monkeypatch.setattr(signals, "send", lambda topic: None if topic == STOPS else send(topic))
    model.script(say("one two three four", hang_after=1))
    async with house.process("worker"):
        run = await api.begin(TurnRequest(LOCAL, "count", thread_id="t"))
        await until(run.events(), "token")
        await run.cancel()
        assert (await api.runs.wait(LOCAL, run.id, timeout=WAIT_S)).status == "cancelled"


async def test_a_question_is_answered_where_nothing_is_executed(
    house: House, api: Agent, model: ModelServer
) -> None:
    model.script(call("notes_write", {"key": "k/1"}), say("It is done."))
    async with house.process("worker"):
        asked = await told(api, TurnRequest(LOCAL, "write", thread_id="t"))
        assert asked[-1]["status"] == "interrupted"
        run = await api.resume(LOCAL, asked[-1]["run_id"], {"approve": True})
        async with asyncio.timeout(WAIT_S):
            rest = [event async for event in run.events()]
        assert (rest[0]["type"], rest[0]["attempt"]) == ("run_started", 2)
        assert rest[-1]["answer"] == "It is done."
        assert rest[0]["seq"] > asked[-1]["seq"]


async def test_a_question_that_a_worker_could_not_put_is_put_by_the_next(
    house: House, api: Agent, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script(call("notes_write", {"key": "k/1"}), say("It is done."))
    reached, thawed, close = asyncio.Event(), asyncio.Event(), RunLedger.close

    async def frozen(ledger: RunLedger, *given: Any) -> bool:
        if not reached.is_set():
            reached.set()
            await thawed.wait()
        return await close(ledger, *given)

    monkeypatch.setattr(RunLedger, "close", frozen)
    async with house.process("worker"), asyncio.timeout(WAIT_S):
        run = await api.begin(TurnRequest(LOCAL, "write", thread_id="t", on_disconnect="continue"))
        await reached.wait()
        async with house.process("worker") as living:
            await Desk.at(living.engine).expire()
            await living.runs.adopt("t")
            asked = await api.runs.wait(LOCAL, run.id, timeout=WAIT_S)
            assert (asked.status, asked.attempts) == ("interrupted", 2)
            thawed.set()
            gone_on = await api.resume(LOCAL, run.id, {"approve": True})
            output = await gone_on.result()
    assert [(made["tool"], made["status"]) for made in output["tool_calls"]] == [("write", "ok")]
    assert output["answer"] == "It is done."


async def test_who_reads_a_silent_run_elsewhere_is_let_go_when_its_process_stops(
    house: House, api: Agent, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would look into the database much later.
    monkeypatch.setattr(Mirror, "patience", lambda _: 600.0)
    model.script(say("one two three", hang_after=1))
    async with house.process("worker"):
        run = await api.begin(TurnRequest(LOCAL, "count", thread_id="t", on_disconnect="continue"))
        events = run.events()
        await until(events, "token")
        async with asyncio.timeout(WAIT_S):
            await api.drain(seconds=0)
            assert [event async for event in events] == []
        model.release()


async def test_a_message_takes_the_place_of_a_run_at_a_worker(
    house: House, api: Agent, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.service.stops.GRACE_SECONDS", 0.1)
    model.script(say("one two three", hang_after=1), say("Instead."))
    async with house.process("worker"):
        first = await api.begin(TurnRequest(LOCAL, "count", thread_id="t"))
        await until(first.events(), "token")
        with pytest.raises(ThreadBusy):
            await api.begin(TurnRequest(LOCAL, "no", thread_id="t"))
        second = await told(api, TurnRequest(LOCAL, "instead", thread_id="t", on_busy="interrupt"))
        assert second[-1]["answer"] == "Instead."
        assert (await api.runs.get(LOCAL, first.id)).reason == "superseded"


@pytest.mark.always
async def test_a_worker_that_stops_gives_its_run_to_another_and_the_stream_goes_on(
    house: House, api: Agent, model: ModelServer
) -> None:
    model.script(say("one two three", hang_after=1), say("One two three four."))
    async with house.process("worker") as leaving:
        run = await api.begin(TurnRequest(LOCAL, "count", thread_id="t"))
        events = run.events()
        await until(events, "token")
        async with house.process("worker"):
            await leaving.drain(seconds=0)
            async with asyncio.timeout(WAIT_S):
                rest = [event async for event in events]
    assert [event["type"] for event in rest].count("done") == 1
    assert (rest[-1]["status"], rest[-1]["answer"]) == ("done", "One two three four.")
    assert [event["attempt"] for event in rest if event["type"] == "run_started"] == [2]
    again = [event async for event in api.runs.events(LOCAL, run.id)]
    assert [event["type"] for event in again].count("done") == 1


async def test_runs_go_to_workers_of_their_tag(house: House, api: Agent) -> None:
    async with house.process("worker", tags=["default"]):
        assert (await told(api, TurnRequest(LOCAL, "hello")))[-1]["status"] == "done"
        run = await api.begin(TurnRequest(SLOW, "hello", thread_id="s"))
        events = run.events()
        [notice] = await until(events, "notice")
        assert "'slow'" in notice["detail"]
        assert "slow" in (await (await api.container.get(Fleet)).check()).reason
        async with house.process("worker", tags=["slow"]):
            assert [event async for event in events][-1]["status"] == "done"


async def test_a_worker_takes_up_no_more_than_it_may(house: House, api: Agent, model: ModelServer) -> None:
    model.script(hang(), say("First."), say("Second."))
    async with house.process("worker", runs_at_once=1) as worker:
        first = await api.begin(TurnRequest(LOCAL, "one", thread_id="t1"))
        await asyncio.to_thread(model.wait_for_active, 1)
        second = await api.begin(TurnRequest(LOCAL, "two", thread_id="t2"))
        await (await worker.container.get(Supervisor)).sweep()
        assert list(worker.runs.live) == [first.id]
        await api.runs.cancel(LOCAL, first.id)
        assert (await second.result())["status"] == "done"


async def test_turns_that_were_handed_over_count_for_the_limit_until_they_end(
    house: House, api: Agent
) -> None:
    begun = [await api.begin(TurnRequest(LOCAL, "hi", thread_id=f"t{number}")) for number in range(3)]
    with pytest.raises(TooManyRuns):
        await api.begin(TurnRequest(LOCAL, "hi", thread_id="more"))
    async with house.process("worker"):
        for run in begun:
            assert (await run.result())["status"] == "done"
        assert (await told(api, TurnRequest(LOCAL, "hi", thread_id="more")))[-1]["status"] == "done"


@pytest.mark.parametrize("role", ["api", "all"])
async def test_turns_that_another_process_has_count_for_the_limit_of_their_user_until_they_end(
    house: House, model: ModelServer, role: str
) -> None:
    model.script(*[hang()] * 4)
    async with house.process(role) as one, house.process(role) as other:
        first = [await one.begin(TurnRequest(LOCAL, "hi", thread_id=f"t{number}")) for number in range(2)]
        await other.begin(TurnRequest(LOCAL, "hi", thread_id="there"))
        for agent in (one, other):
            with pytest.raises(TooManyRuns):
                await agent.begin(TurnRequest(LOCAL, "hi", thread_id="more"))
        await other.begin(TurnRequest(Principal("bob"), "hi", thread_id="bobs"))
        await first[0].cancel()
        await one.runs.settled(first[0].id, timeout=WAIT_S)
        await other.begin(TurnRequest(LOCAL, "hi", thread_id="more"))
        model.release()


async def test_a_worker_for_tasks_alone_hands_its_runs_over(house: House) -> None:
    async with house.process("worker", executes=["tasks"]) as tasks, house.process("all") as everything:
        run = await tasks.begin(TurnRequest(LOCAL, "planned", thread_id="t"))
        assert (await run.result())["status"] == "done"
        assert (await everything.runs.get(LOCAL, run.id)).status == "done"
        assert not tasks.runs.live
