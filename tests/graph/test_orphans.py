"""Runs of processes that died: gone on with or ended by those that live, as their policy says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.runtime import Runtime
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from core.access import Principal
from core.database.engine import DRIVERS
from core.database.units import Unit
from core.errors import Internal
from graph import Agent
from graph.db.database import opened_database, writer_of
from graph.runs.events import LoggedEvent, store
from graph.runs.lease import fence_of
from graph.runs.ledger import RunLedger
from graph.runs.receipts import StoredReceipts
from graph.runs.record import Policy, Run, RunRecord, TurnRequest
from graph.runs.streams import EventWriter
from graph.service.supervisor import Supervisor
from nodes.mcp_tools.calls import UNKNOWN
from nodes.mcp_tools.executor import ToolExecutor
from tests.kit.counted_tools import CountedTools
from tests.kit.last_breath import dying_at
from tests.unit.graph.run_kit import Desk, new_run
from waystation import Step
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, call, hang, say

LOCAL = Principal("local")
WAIT_S = 30.0


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    found = request.getfixturevalue("postgres_url")
    return str(found.set(drivername="postgresql").render_as_string())


class House:
    """Processes on one database and one home."""

    def __init__(self, folder: Path, model: ModelServer, url: str) -> None:
        self._folder = folder
        self.url = make_url(url)
        self.url = self.url.set(drivername=DRIVERS[self.url.get_backend_name()])
        environ = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
        self._context: dict[str, Any] = {
            "environ": environ,
            "storage": {"url": url},
            "mcp": {"bundled": False},
        }

    @asynccontextmanager
    async def process(self, *, supervises: bool = True, steps: Sequence[Step] = ()) -> AsyncIterator[Agent]:
        context = context_at(self._folder, **self._context)
        async with Agent.open(context, worker=supervises, steps=steps) as agent:
            yield agent

    async def orphan(self, text: str, *, policy: Policy, deaths: int = 1, said: str = "") -> RunRecord:
        """A run that was acknowledged and whose process died before anything else was stored."""
        async with opened_database(self.url) as engine:
            desk = Desk.at(engine)
            run = await desk.begun(text, who=LOCAL, policy=policy)
            for _ in range(deaths - 1):
                await desk.expire()
                found = await Desk.at(engine).claims.orphan_of("t")
                assert found is not None
                assert found.hold is not None
                run = Run(found.record, found.hold, floor=found.floor)
            if said:
                run.log.add({"type": "token", "delta": said})
                async with engine.begin() as db:
                    await store(db, "t", run.log.unstored())
            return run.record


@pytest.fixture
def house(tmp_path: Path, model: ModelServer, url: str) -> House:
    model.reset()
    return House(tmp_path, model, url)


async def said(agent: Agent) -> list[tuple[str, str]]:
    page = await agent.threads.transcript(LOCAL, "t")
    return [(message["role"], message["text"]) for message in page["messages"]]


async def test_an_orphan_that_shall_go_on_is_answered_by_the_next_process(house: House) -> None:
    run = await house.orphan("hello?", policy="resume")
    async with house.process() as agent:
        found = await agent.runs.wait(LOCAL, run.id, timeout=WAIT_S)
        assert (found.status, found.attempts) == ("done", 2)
        assert await said(agent) == [("user", "hello?"), ("assistant", "Scripted reply.")]
        events = [event async for event in agent.runs.events(LOCAL, run.id)]
        assert events[0]["type"] == "run_started"
        assert events[0]["attempt"] == 2
        assert (await agent.ask("and?", thread="t"))["status"] == "done"


async def test_an_orphan_that_shall_end_keeps_what_it_said_and_frees_its_thread(house: House) -> None:
    run = await house.orphan("hello?", policy="end", said="half an answer")
    async with house.process() as agent:
        found = await agent.runs.wait(LOCAL, run.id, timeout=WAIT_S)
        assert (found.status, found.reason) == ("interrupted", "orphaned")
        assert found.output is not None
        assert found.output["answer"] == "half an answer"
        assert await said(agent) == [("user", "hello?"), ("assistant", "half an answer")]
        events = [event async for event in agent.runs.events(LOCAL, run.id)]
        assert (events[-1]["type"], events[-1]["status"]) == ("done", "interrupted")
        assert (await agent.ask("and?", thread="t"))["status"] == "done"


async def test_an_ended_orphan_is_gone_on_with_when_somebody_says_so(house: House) -> None:
    run = await house.orphan("hello?", policy="end")
    async with house.process() as agent:
        await agent.runs.wait(LOCAL, run.id, timeout=WAIT_S)
        reply = await (await agent.resume(LOCAL, run.id, None)).result()
        assert (reply["status"], reply["run_id"]) == ("done", run.id)
        assert [role for role, _ in await said(agent)] == ["user", "assistant"]


@pytest.mark.parametrize("policy", ["end", "resume"])
async def test_a_message_is_quicker_than_whoever_looks_after_orphans(house: House, policy: Policy) -> None:
    run = await house.orphan("hello?", policy=policy, said="half an answer")
    async with house.process(supervises=False) as agent:
        assert (await agent.ask("and?", thread="t"))["status"] == "done"
        found = await agent.runs.get(LOCAL, run.id)
        assert (found.status, found.reason) == ("interrupted", "orphaned")
        assert await said(agent) == [
            ("user", "hello?"),
            ("assistant", "half an answer"),
            ("user", "and?"),
            ("assistant", "Scripted reply."),
        ]


async def test_a_run_that_kills_its_process_each_time_is_given_up(house: House) -> None:
    run = await house.orphan("hello?", policy="resume", deaths=3)
    async with house.process() as agent:
        found = await agent.runs.wait(LOCAL, run.id, timeout=WAIT_S)
        assert (found.status, found.attempts) == ("failed", 4)
        assert found.error is not None
        assert found.error["code"] == "run_abandoned"
        events = [event async for event in agent.runs.events(LOCAL, run.id)]
        assert (events[-1]["type"], events[-1]["code"]) == ("error", "run_abandoned")
        assert (await agent.ask("and?", thread="t"))["status"] == "done"


async def test_runs_that_nobody_waits_for_any_more_begin_all_the_same(house: House) -> None:
    async with opened_database(house.url) as engine:
        desk = Desk.at(engine)
        first = await desk.begun("one", who=LOCAL)
        claims = [
            await desk.ledger.open(new_run(text, who=LOCAL, on_busy="enqueue", background=True))
            for text in ("two", "three")
        ]
        await desk.end(first)
    async with house.process() as agent:
        for claim in claims:
            found = await agent.runs.wait(LOCAL, claim.record.id, timeout=WAIT_S)
            assert found.status == "done"
        assert [text for role, text in await said(agent) if role == "user"] == ["one", "two", "three"]


async def test_a_process_that_stops_leaves_background_runs_to_the_next(
    house: House, model: ModelServer
) -> None:
    model.script(hang(), hang())
    async with house.process() as agent:
        background = await agent.begin(TurnRequest(LOCAL, "one", thread_id="t", background=True))
        waited = await agent.begin(TurnRequest(LOCAL, "two", thread_id="u"))
        await asyncio.to_thread(model.wait_for_active, 2)
    async with house.process() as agent:
        found = await agent.runs.wait(LOCAL, background.id, timeout=WAIT_S)
        assert (found.status, found.attempts) == ("done", 2)
        ended = await agent.runs.get(LOCAL, waited.id)
        assert (ended.status, ended.reason) == ("interrupted", "drained")
        assert (await agent.ask("and?", thread="u"))["status"] == "done"


async def test_a_process_that_drains_takes_nothing_up(house: House) -> None:
    run = await house.orphan("hello?", policy="resume")
    async with house.process(supervises=False) as agent:
        await agent.drain(seconds=0)
        supervisor = await agent.container.get(Supervisor)
        await supervisor.sweep()
        assert not await agent.runs.adopt("t")
        assert not await agent.runs.go_on_with("t")
        assert (await agent.runs.get(LOCAL, run.id)).status == "running"


async def test_a_tool_whose_process_died_behind_it_is_not_called_a_second_time(
    house: House, model: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = CountedTools(tmp_path / "home")
    model.script(call("counted_book", {"boat": "Ada"}))
    reached = asyncio.Event()

    async def die(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(StoredReceipts, "end", die)
    async with house.process(supervises=False) as dying, house.process() as living:
        request = TurnRequest(LOCAL, "book", thread_id="t", background=True)
        run = await dying.begin(request)
        async with asyncio.timeout(WAIT_S):
            await reached.wait()
        desk = Desk.at(living.engine)
        await desk.expire()
        await living.runs.adopt("t")
        found = await living.runs.wait(LOCAL, run.id, timeout=WAIT_S)
        assert (found.status, found.attempts) == ("done", 2)
        assert found.output is not None
        assert [made["status"] for made in found.output["tool_calls"]] == ["unknown"]
        # Whoever was believed dead goes on after all, and changes nothing.
        for old in list(dying.runs.live.values()):
            old.stop("lost")
            assert old.task is not None
            await asyncio.wait([old.task], timeout=WAIT_S)
        assert (await living.runs.get(LOCAL, run.id)).status == "done"
    assert tools.made == ["book Ada"]
    answers = [m["content"] for m in model.requests()[-1]["messages"] if m["role"] == "tool"]
    assert answers == [UNKNOWN]


@pytest.mark.parametrize(("tool", "given"), [("book", {"boat": "Ada"}), ("add", {"a": 1, "b": 2})])
@pytest.mark.always
async def test_a_call_that_nobody_has_begun_is_made_or_asked_about_by_the_next_process(
    house: House, model: ModelServer, tmp_path: Path, tool: str, given: dict[str, Any]
) -> None:
    tools = CountedTools(tmp_path / "home")
    model.script(call(f"counted_{tool}", given), say("here you are"))
    async with house.process(supervises=False) as dying, house.process() as living:
        with dying_at(ToolExecutor, "find") as reached:
            run = await dying.begin(TurnRequest(LOCAL, "do it", thread_id="t", background=True))
            await asyncio.wait_for(reached.wait(), WAIT_S)
        found = await taken_over(living, run.id)
        if tool == "add":
            assert (found.status, found.reason, tools.made) == ("interrupted", "person", [])
            await living.resume(LOCAL, run.id, {"approve": True})
            found = await living.runs.wait(LOCAL, run.id, timeout=WAIT_S)
        assert (found.status, len(tools.made)) == ("done", 1)
        assert found.output is not None
        assert [made["status"] for made in found.output["tool_calls"]] == ["ok"]
        assert [role for role, _ in await said(living)] == ["user", "assistant", "tool", "assistant"]


async def test_an_answer_that_was_kept_and_not_told_is_told_by_the_next_process(
    house: House, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script(say("a word and one more"))
    async with house.process(supervises=False) as dying, house.process() as living:
        with monkeypatch.context() as patch, dying_at(RunLedger, "close") as reached:
            patch.setattr(EventWriter, "_write", nothing)
            run = await dying.begin(TurnRequest(LOCAL, "hello?", thread_id="t", background=True))
            await asyncio.wait_for(reached.wait(), WAIT_S)
        found = await taken_over(living, run.id)
        events = [event async for event in living.runs.events(LOCAL, run.id)]
    assert len(model.requests()) == 1
    assert found.output is not None
    assert "".join(event["delta"] for event in events if event["type"] == "token") == "a word and one more"
    assert found.output["answer"] == "a word and one more"


@pytest.mark.parametrize("is_told", [True, False])
async def test_the_reply_of_the_next_process_has_what_was_gathered_before_the_end(
    house: House, model: ModelServer, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """Files stand in the state; what was used and shown is known as far as the events of it were stored."""
    passage = {"n": 1, "source": "wiki", "document": "fees.md", "title": "Fees", "score": 0.9}
    made = {"id": "a-1", "name": "fees.csv", "media_type": "text/csv", "b64": "YSxi"}

    def shows(state: dict[str, Any], runtime: Runtime[Any]) -> dict[str, Any]:
        runtime.stream_writer({"type": "documents", "items": [passage, {"n": 2}], "failed": []})
        return {"artifacts": [made]}

    write = EventWriter._write

    async def all_kept(writer: EventWriter, run: Run) -> list[LoggedEvent]:
        run.ending = False
        if is_told:
            await write(writer, [run])
        await writer._writer.stored(fence_of(run.hold).key)
        return run.log.unstored()

    steps = [Step("shows", shows, after="retrieve")]
    model.script(say("Twelve euros [1].", usage={"prompt_tokens": 7, "completion_tokens": 3}))
    async with (
        house.process(supervises=False, steps=steps) as dying,
        house.process(steps=steps) as living,
    ):
        with monkeypatch.context() as patch, dying_at(RunLedger, "close") as reached:
            patch.setattr(EventWriter, "rest", all_kept)
            patch.setattr(EventWriter, "_write", nothing)
            run = await dying.begin(TurnRequest(LOCAL, "fees?", thread_id="t", background=True))
            await asyncio.wait_for(reached.wait(), WAIT_S)
        found = await taken_over(living, run.id)
    assert found.output is not None
    assert (found.status, len(model.requests())) == ("done", 1)
    assert [(file["name"], file["size"]) for file in found.output["files"]] == [("fees.csv", 3)]
    used = (7, 3, "openai") if is_told else (0, 0, "")
    assert (found.input_tokens, found.output_tokens, found.model) == used
    cited = [{**passage, "quote": "", "uri": ""}] if is_told else []
    assert found.output["citations"] == [{k: v for k, v in one.items() if k != "score"} for one in cited]


async def test_a_write_that_the_state_refuses_is_left_out_by_the_process_that_goes_on(
    house: House, model: ModelServer
) -> None:
    marks = [9, 1]

    def up_to_five(now: int, more: int) -> int:
        if more > 5:
            raise ValueError("marks go to 5")
        return more

    marking = Step(
        "marks",
        lambda _: {"mark": marks.pop(0)},
        after="retrieve",
        channels={"mark": Annotated[int, up_to_five]},
    )
    async with (
        house.process(supervises=False, steps=[marking]) as dying,
        house.process(steps=[marking]) as living,
    ):
        with dying_at(RunLedger, "close") as reached:
            run = await dying.begin(TurnRequest(LOCAL, "hello?", thread_id="t", background=True))
            await asyncio.wait_for(reached.wait(), WAIT_S)
        found = await taken_over(living, run.id)
        assert (found.status, found.attempts, marks) == ("done", 2, [])
        assert await said(living) == [("user", "hello?"), ("assistant", "Scripted reply.")]


async def nothing(*_: object) -> None:
    """Events that are not stored."""


async def taken_over(agent: Agent, run_id: str) -> RunRecord:
    """The run, once the agent's process has done what is to be done of it."""
    await Desk.at(agent.engine).expire()
    await agent.runs.adopt("t")
    return await agent.runs.wait(LOCAL, run_id, timeout=WAIT_S)


async def test_an_answer_that_cannot_be_stored_is_an_error_and_the_thread_recovers(
    house: House, model: ModelServer
) -> None:
    async with house.process(supervises=False) as agent:
        full = True

        group: Any = writer_of(agent.engine)._group
        written = group._unit

        def fail(db: Any, unit: Unit) -> Any:
            told = (rows for sql, rows in unit.statements if "INTO transcript" in sql)
            if full and any("assistant" in str(row) for rows in told for row in rows):
                raise OperationalError("INSERT", {}, RuntimeError("the disk is full"))
            return written(db, unit)

        group._unit = fail
        run = await agent.begin(TurnRequest(LOCAL, "hello?", thread_id="t"))
        reading = asyncio.create_task(_types(agent, run.id))
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(Internal, match="could not be stored"):
                await run.result()
            assert (await reading)[-1] == "error"
        full = False
        await Desk.at(agent.engine).expire()
        assert (await agent.ask("and?", thread="t"))["status"] == "done"
        assert [text for role, text in await said(agent) if role == "user"] == ["hello?", "and?"]


async def _types(agent: Agent, run_id: str) -> list[str]:
    return [event["type"] async for event in agent.runs.events(LOCAL, run_id)]
