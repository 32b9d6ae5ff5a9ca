"""The yardstick itself: its load, its arithmetic, and a small run over the real systems."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import fleet, peers, profiled
from bench.itself import postgres, tools, turns
from bench.load import Answer, Slice, Took, at, joined, load, took
from bench.processes import HERE
from bench.report import Row, ratio, table
from bench.rig import Bench, Section
from bench.streams import of_all, opened
from bench.systems.model import ANSWER, REALISTIC, SUM, WORDS, answer_to
from bench.systems.sampled import LOOP, owner
from waystation.testing.process import ServerProcess


def slice_of(cpu: float, *, said: str | None = ANSWER, refusal: str = "") -> Slice:
    return Slice([Took(0.1, 0.2, said, refusal)] * 4, cpu=cpu, seconds=1.0)


def test_a_ratio_is_of_slices_of_the_same_round() -> None:
    rounds = [{"now": slice_of(cpu), "peer": slice_of(other)} for cpu, other in ((1, 2), (30, 60), (4, 1))]
    assert ratio(rounds, "now", "peer", Slice.cpu_ms) == 0.5


def test_refused_turns_are_told_by_status_and_code_and_cost_nothing() -> None:
    part = slice_of(1.0)
    part.turns += slice_of(0, said=None, refusal="429 too_many_runs").turns
    assert part.refused == {"429 too_many_runs": 4}
    assert part.cpu_ms() == 250
    assert part.rate() == 4


def test_a_system_that_refuses_every_turn_misses_its_targets() -> None:
    refused = slice_of(1.0, said=None, refusal="429 too_many_runs")
    value = ratio([{"now": refused, "peer": slice_of(1.0)}], "now", "peer", Slice.cpu_ms)
    assert Row("s", "CPU", value, target=3.0).met is False


def test_a_stream_that_ends_with_an_error_is_a_failed_turn_and_no_wrong_answer() -> None:
    events = b'data: {"type":"token","delta":"word0 "}\n\ndata: {"type":"error","code":"storage_busy"}\n\n'
    found = took(1.0, 3.0, Answer(200, events, 2.0), fleet.said_in_events)
    assert found == Took(1.0, 2.0, None, "failed with storage_busy")


async def test_nobody_who_listens_is_a_refusal() -> None:
    [found] = await load(1, fleet.ask_proxy, fleet.said_by_proxy, at_once=1, turns=1, label="t")
    assert found.said is None
    assert found.refusal.startswith("0 ")


def test_a_target_is_met_from_its_own_side() -> None:
    assert Row("s", "ratio", 0.5, target=0.4).met is False
    assert Row("s", "rate", 2.6, target=2.5, least=True).met is True
    assert Row("s", "figure", 1.0).met is None
    assert Row("s", "ratio", 0.5, target=0.4).line().endswith("MISSED")


def test_a_table_has_a_line_for_each_system() -> None:
    rows = [Row("s", "CPU", value, "ms", system=name) for name, value in (("one", 1.5), ("two", 2.5))]
    assert [line.split() for line in table(rows)] == [["CPU,", "ms"], ["one", "1.50"], ["two", "2.50"]]


def test_half_of_the_values_do_not_exceed_the_median() -> None:
    assert at([1.0, 2.0, 3.0], 50) == 2.0
    assert at([7.0], 99) == 7.0


def test_an_answer_in_chunks_is_joined_to_what_was_sent() -> None:
    assert joined(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") == b"abcde"


def test_the_model_answers_a_tools_result_with_fifty_tokens_that_end_with_it() -> None:
    tool = {"type": "function", "function": {"name": "add"}}

    def said(role: str, content: str) -> bytes:
        return b"".join(answer_to({"messages": [{"role": role, "content": content}], "tools": [tool]}))

    assert b'\\"a\\": 19' in said("user", "What is it?")
    assert all(word.encode() in said("tool", f"It is {SUM}.") for word in (*WORDS, SUM))
    assert b'"nothing"' in said("tool", "It is 41.")


def test_code_belongs_to_its_library_its_room_or_the_loop() -> None:
    import asyncio.events
    import json.decoder

    import orjson

    root = f"{HERE.root}/"
    assert owner(orjson.__file__, root) == "orjson"
    assert owner(f"{root}graph/runs/events.py", root) == "graph/runs"
    assert owner(asyncio.events.__file__, root) == LOOP
    assert owner(json.decoder.__file__, root) is None


@pytest.mark.slow
@pytest.mark.server
def test_every_system_gives_the_right_answer_and_a_figure(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    peers.main(["--only", "c8", "--slices", "1", "--turns", "0.05", "--json", str(told)])
    rows = json.loads(told.read_text())["rows"]
    systems = {row["system"] for row in rows if row["what"] == "CPU a turn" and row["value"] > 0}
    assert systems == {"proxy", "bare graph", "naive LangServe", "now", "now, invoke", "now, runs"}
    [against] = [row for row in rows if row["what"] == "CPU against naive LangServe"]
    assert against["value"] > 0


@pytest.mark.slow
@pytest.mark.server
async def test_open_streams_are_counted_timed_and_weighed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        model = stack.enter_context(ServerProcess("bench.systems.model", path="/v1"))
        bench = Bench(tmp_path, model, (HERE,), 1, 0.01)
        bench.pace(*REALISTIC)
        system = stack.enter_context(fleet.proxy(model.url, bench.room()))
        rows = {row.what: row.value for row in of_all(await opened(bench, [system]))}
    assert rows["refused"] == 0
    # Two calls of 200 ms to their first token, and 49 tokens more.
    assert rows["first token p50"] >= 400
    assert rows["whole turn p50"] >= 1380


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(
    ("section", "what"),
    [(postgres, "now: CPU on PostgreSQL against SQLite"), (turns, "now: CPU of turn 20 against turn 10")],
)
async def test_waystation_is_held_against_itself(section: Section, what: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        model = stack.enter_context(ServerProcess("bench.systems.model", path="/v1"))
        rows = {row.what: row for row in await section(Bench(tmp_path, model, (HERE,), 1, 0.04), stack)}
    assert rows[what].value > 0
    assert rows[what].target == 1.1


@pytest.mark.slow
@pytest.mark.server
async def test_calls_are_measured_through_the_executor_and_beside_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        model = stack.enter_context(ServerProcess("bench.systems.model", path="/v1"))
        rows = await tools(Bench(tmp_path, model, (HERE,), 1, 0.01), stack)
    assert {row.system for row in rows} == {"now, executor", "now, session", ""}
    assert all(row.value > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.server
def test_a_profile_names_libraries_and_rooms(tmp_path: Path) -> None:
    with ServerProcess("bench.systems.model", path="/v1") as model:
        found = profiled.sampled(HERE, model.url, tmp_path / "room", {}, turns=16, at_once=8, by="owner")
    assert sum(found.values()) > 0
    assert "langgraph" in found
    assert any(name.startswith("graph/") for name in found)


def test_a_section_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        peers.arguments(["--only", "c8,c9"])
    assert "no section c9" in capsys.readouterr().err
