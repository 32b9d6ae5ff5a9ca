"""Threads of one release go on under the next: unknown channels stay, renamed steps are found."""

from __future__ import annotations

import enum
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from operator import add
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from sqlalchemy.engine import URL
from typing_extensions import TypedDict

from graph.checkpoints.carrying import Carrying
from graph.checkpoints.fingerprint import FINGERPRINT, fingerprint
from graph.checkpoints.renaming import Renaming

CONFIG: Any = {"configurable": {"thread_id": "t"}}


class Sqlite(Carrying, AsyncSqliteSaver):
    """As the service composes it."""


class Postgres(Carrying, AsyncPostgresSaver):
    """The same in front of the other one."""


class Old(TypedDict, total=False):
    said: Annotated[list[str], add]
    short: str
    long: dict[str, Any]
    shape: Any


class New(TypedDict, total=False):
    said: Annotated[list[str], add]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    if request.param == "sqlite":
        return URL.create("sqlite", database=str(tmp_path / "checkpoints.db"))
    url: URL = request.getfixturevalue("postgres_url")
    return url


@asynccontextmanager
async def saver(url: URL, renamed: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
    """A saver as a process of one release opens it."""
    serde = JsonPlusSerializer(allowed_msgpack_modules=None)
    if url.get_backend_name() == "sqlite":
        opening: Any = Sqlite.from_conn_string(str(url.database))
    else:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        opening = Postgres.from_conn_string(plain)
    async with opening as found:
        found.serde = serde
        found.renaming = Renaming(renamed or {})
        await found.setup()
        yield found


def turns(schema: Any, saver: Any, *, writes: Mapping[str, Any] | None = None) -> Any:
    """One step that says something, and writes more in the old release."""

    def step(state: Any) -> dict[str, Any]:
        return {"said": [f"turn {len(state.get('said', [])) + 1}"], **(writes or {})}

    graph: Any = StateGraph(schema).add_node("step", step)
    graph.add_edge(START, "step").add_edge("step", END)
    compiled = graph.compile(checkpointer=saver)
    saver.serve(compiled)
    return compiled


WRITES = {"short": "a word", "long": {"many": [1, 2]}}


async def test_values_of_unknown_channels_outlive_turns_of_the_new_graph(database: URL) -> None:
    async with saver(database) as old:
        await turns(Old, old, writes=WRITES).ainvoke({"said": []}, CONFIG)
    async with saver(database) as new:
        graph = turns(New, new)
        for _ in range(2):
            await graph.ainvoke({"said": []}, CONFIG)
        await graph.aupdate_state(CONFIG, {"said": ["by hand"]})
        assert set((await graph.aget_state(CONFIG)).values) == {"said"}
    async with saver(database) as old:
        values = (await turns(Old, old).aget_state(CONFIG)).values
    assert {name: values[name] for name in WRITES} == WRITES
    assert values["said"] == ["turn 1", "turn 2", "turn 3", "by hand"]


async def test_plain_langgraph_would_lose_them(tmp_path: Path) -> None:
    """Why there is `Carrying` at all; where this fails, it may go."""
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "plain.db")) as plain:
        plain.serve = lambda _: None  # type: ignore[attr-defined]
        await turns(Old, plain, writes=WRITES).ainvoke({"said": []}, CONFIG)
        await turns(New, plain).ainvoke({"said": []}, CONFIG)
        assert set((await turns(Old, plain).aget_state(CONFIG)).values) == {"said"}


async def test_a_fork_of_an_older_checkpoint_has_the_values_of_that_one(database: URL) -> None:
    async with saver(database) as old:
        await turns(Old, old, writes={"short": "first"}).ainvoke({"said": []}, CONFIG)
        first = (await turns(Old, old).aget_state(CONFIG)).config
        await turns(Old, old, writes={"short": "second"}).ainvoke({"said": []}, CONFIG)
    async with saver(database) as new:
        await turns(New, new).aupdate_state(first, {"said": ["fork"]})
    async with saver(database) as old:
        assert (await turns(Old, old).aget_state(CONFIG)).values["short"] == "first"


async def test_a_class_that_is_gone_is_carried_as_it_was_written(tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "checkpoints.db"))
    module = ModuleType("a_release_ago")
    Colour = enum.Enum("Colour", {"RED": "red"}, module="a_release_ago")  # noqa: N806 - a class
    module.Colour = Colour  # type: ignore[attr-defined]
    sys.modules["a_release_ago"] = module
    try:
        async with saver(url) as old:
            await turns(Old, old, writes={"shape": Colour["RED"]}).ainvoke({"said": []}, CONFIG)
        async with saver(url) as new:  # which does not allow the class
            await turns(New, new).ainvoke({"said": []}, CONFIG)
        async with saver(url) as old:
            old.serde = JsonPlusSerializer(allowed_msgpack_modules=[("a_release_ago", "Colour")])
            assert (await turns(Old, old).aget_state(CONFIG)).values["shape"] is Colour["RED"]
    finally:
        del sys.modules["a_release_ago"]


async def test_what_is_forgotten_on_purpose_is_not_carried(tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "checkpoints.db"))
    async with saver(url) as old:
        await turns(Old, old, writes=WRITES).ainvoke({"said": []}, CONFIG)
    async with saver(url) as new:
        new.forgotten = frozenset({"long"})
        await turns(New, new).ainvoke({"said": []}, CONFIG)
    async with saver(url) as old:
        assert set((await turns(Old, old).aget_state(CONFIG)).values) == {"said", "short"}


async def test_every_checkpoint_has_the_fingerprint_of_its_graph(database: URL) -> None:
    async with saver(database) as found:
        old = turns(Old, found)
        await old.ainvoke({"said": []}, CONFIG)
        before = {one.metadata[FINGERPRINT] async for one in found.alist(CONFIG)}
        new = turns(New, found)
        await new.aupdate_state(CONFIG, {"said": ["x"]})
        newest = await found.aget_tuple(CONFIG)
    assert before == {fingerprint(old)}
    assert newest.metadata[FINGERPRINT] == fingerprint(new) != fingerprint(old)


async def test_a_checkpoint_that_is_written_again_stays_that_of_its_graph(database: URL) -> None:
    """As compaction does, which stores an old one again with more in it."""
    async with saver(database) as found:
        for word in ("first", "second"):
            old = turns(Old, found, writes={"short": word})
            await old.ainvoke({"said": []}, CONFIG)
        new = turns(New, found)
        stored = await found.aget_tuple(CONFIG)
        await found.aput(stored.parent_config, stored.checkpoint, stored.metadata, {})
        again = await found.aget_tuple(CONFIG)
    assert again.metadata[FINGERPRINT] == fingerprint(old) != fingerprint(new)
    assert again.checkpoint["channel_values"]["short"] == "second"


async def test_a_value_that_this_process_has_not_read_before_is_kept_too(tmp_path: Path) -> None:
    """The memory of what is unknown is bounded; what fell out of it is read again."""
    url = URL.create("sqlite", database=str(tmp_path / "checkpoints.db"))
    async with saver(url) as old:
        await turns(Old, old, writes=WRITES).ainvoke({"said": []}, CONFIG)
    async with saver(url) as new:
        graph = turns(New, new)

        def forgetful(state: Any) -> dict[str, Any]:
            new._unknown.clear()
            return {"said": ["x"]}

        graph.nodes["step"].bound.func = forgetful
        await graph.ainvoke({"said": []}, CONFIG)
    async with saver(url) as old:
        assert set((await turns(Old, old).aget_state(CONFIG)).values) == {"said", *WRITES}


class Delta(TypedDict, total=False):
    said: Annotated[list[str], add]
    notes: Annotated[list[str], DeltaChannel(lambda old, new: [*old, *(n for one in new for n in one)])]


async def test_a_delta_channel_stays_in_the_checkpoints_before(database: URL) -> None:
    async with saver(database) as old:
        graph = turns(Delta, old, writes={"notes": ["a note"]})
        await graph.ainvoke({"said": []}, CONFIG)
        await graph.ainvoke({"said": []}, CONFIG)
    async with saver(database) as new:
        await turns(New, new).ainvoke({"said": []}, CONFIG)
        newest = await new.aget_tuple(CONFIG)
        assert new.unknown(newest.checkpoint) == frozenset()
        assert new.unknown_deltas(newest.checkpoint) == {"notes"}
    async with saver(database) as old:
        graph = turns(Delta, old)
        assert (await graph.aget_state(CONFIG)).values["notes"] == ["a note", "a note"]
        assert old.unknown_deltas((await old.aget_tuple(CONFIG)).checkpoint) == frozenset()


# ---- renamed steps


def asking(saver: Any, names: tuple[str, str, str], *, ran: list[str] | None = None) -> Any:
    """start -> one `ask` task for each of three words -> end; the first word is not asked about."""
    start, ask, end = names
    seen = ran if ran is not None else []

    def begin(_: Any) -> dict[str, Any]:
        return {"said": ["begun"]}

    def one(state: Any) -> dict[str, Any]:
        seen.append(state["word"])
        answer = "free" if state["word"] == "w0" else interrupt({"kind": "approval", "word": state["word"]})
        return {"said": [f"{state['word']}={answer}"]}

    def finish(state: Any) -> dict[str, Any]:
        return {"said": ["ended"]}

    graph: Any = StateGraph(New)
    graph.add_node(start, begin)
    graph.add_node(ask, one, input_schema=Word)
    graph.add_node(end, finish)
    graph.add_edge(START, start)
    words = [f"w{n}" for n in range(3)]
    graph.add_conditional_edges(start, lambda _: [Send(ask, {"word": word}) for word in words], [ask])
    graph.add_edge(ask, end).add_edge(end, END)
    compiled = graph.compile(checkpointer=saver)
    saver.serve(compiled)
    return compiled


class Word(TypedDict):
    word: str


OLD = ("start", "ask", "end")
NEW = ("begin", "question", "finish")
RENAMED = dict(zip(OLD, NEW, strict=True))


async def test_a_question_of_a_renamed_step_is_answered_under_the_id_that_people_saw(database: URL) -> None:
    async with saver(database) as old:
        await asking(old, OLD).ainvoke({"said": []}, CONFIG)
        asked = {i.value["word"]: i.id for i in (await asking(old, OLD).aget_state(CONFIG)).interrupts}
    async with saver(database, RENAMED) as new:
        ran: list[str] = []
        graph = asking(new, NEW, ran=ran)
        state = await graph.aget_state(CONFIG)
        assert {i.value["word"]: i.id for i in state.interrupts} == asked
        assert set(state.next) == {"question"}
        answers = await new.answers_now(CONFIG, {asked["w2"]: "two"})
        await graph.ainvoke(Command(resume=answers), CONFIG)
        (left,) = (await graph.aget_state(CONFIG)).interrupts
        assert left.value["word"] == "w1"
        answers = await new.answers_now(CONFIG, {asked["w1"]: "one"})
        assert answers == {left.id: "one"}
        values = await graph.ainvoke(Command(resume=answers), CONFIG)
    assert values["said"] == ["begun", "w0=free", "w1=one", "w2=two", "ended"]
    assert "w0" not in ran, "a task that had finished ran again"


async def test_without_the_table_the_renamed_step_is_lost(tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "checkpoints.db"))
    async with saver(url) as old:
        await asking(old, OLD).ainvoke({"said": []}, CONFIG)
    async with saver(url) as new:
        assert (await asking(new, NEW).aget_state(CONFIG)).next == ()


@pytest.mark.parametrize("place", range(3))
async def test_a_thread_that_stands_before_a_renamed_step_goes_on_there(database: URL, place: int) -> None:
    async with saver(database) as old:
        graph = asking(old, OLD)
        config = {**CONFIG, "recursion_limit": 25}
        await graph.ainvoke({"said": []}, config, interrupt_before=[OLD[place]])
        if place == 2:
            state = await graph.aget_state(CONFIG)
            await graph.ainvoke(Command(resume={i.id: "yes" for i in state.interrupts}), config)
            await graph.ainvoke(None, config, interrupt_before=[OLD[place]])
    async with saver(database, RENAMED) as new:
        graph = asking(new, NEW)
        if place < 2:
            assert set((await graph.aget_state(CONFIG)).next) == {NEW[place]}
            await graph.ainvoke(None, CONFIG)
            state = await graph.aget_state(CONFIG)
            await graph.ainvoke(Command(resume={i.id: "yes" for i in state.interrupts}), CONFIG)
        state = await graph.aget_state(CONFIG)
        assert state.next == ()
        assert state.values["said"] == ["begun", "w0=free", "w1=yes", "w2=yes", "ended"]
        names = [set(one.next) for one in [s async for s in graph.aget_state_history(CONFIG)]]
        assert {"begin"} in names
        assert {"question"} in names


async def test_the_next_turn_runs_every_renamed_step_once(database: URL) -> None:
    async with saver(database) as old:
        graph = asking(old, OLD)
        await graph.ainvoke({"said": []}, CONFIG)
        state = await graph.aget_state(CONFIG)
        await graph.ainvoke(Command(resume={i.id: "yes" for i in state.interrupts}), CONFIG)
    async with saver(database, RENAMED) as new:
        graph = asking(new, NEW)
        await graph.ainvoke({"said": ["again"]}, CONFIG)
        state = await graph.aget_state(CONFIG)
        assert len(state.interrupts) == 2
        await graph.ainvoke(Command(resume={i.id: "no" for i in state.interrupts}), CONFIG)
        said = (await graph.aget_state(CONFIG)).values["said"]
    assert said[6:] == ["begun", "w0=free", "w1=no", "w2=no", "ended"]


async def test_the_plain_resume_of_langgraph_works_across_a_rename(tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "checkpoints.db"))

    def one_question(found: Any, name: str) -> Any:
        def step(_: Any) -> dict[str, Any]:
            first = interrupt("first?")
            return {"said": [first, interrupt("second?")]}

        graph: Any = StateGraph(New)
        graph.add_node(name, step)
        graph.add_edge(START, name).add_edge(name, END)
        compiled = graph.compile(checkpointer=found)
        found.serve(compiled)
        return compiled

    async with saver(url) as old:
        await one_question(old, "ask").ainvoke({"said": []}, CONFIG)
        paused = await one_question(old, "ask").ainvoke(Command(resume="one"), CONFIG)
        (second,) = paused["__interrupt__"]
    async with saver(url, {"ask": "question"}) as new:
        graph = one_question(new, "question")
        (waiting,) = (await graph.aget_state(CONFIG)).interrupts
        assert (waiting.id, waiting.value) == (second.id, "second?")
        answers = await new.answers_now(CONFIG, {second.id: "two"})
        values = await graph.ainvoke(Command(resume=answers), CONFIG)
    assert values["said"] == ["one", "two"]


def test_a_chain_of_renames_leads_to_the_last_name_and_a_circle_is_refused() -> None:
    assert Renaming({"a": "b", "b": "c"}).name("a") == "c"
    with pytest.raises(ValueError, match="circle"):
        Renaming({"a": "b", "b": "a"})
