from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.database.outage import DatabaseUnavailable
from core.health import Health, HealthBoard, HealthState, degraded, failed, healthy, overall, patience


class Probe:
    """A check that answers what it is told, and counts."""

    def __init__(self, answer: Health) -> None:
        self.answer = answer
        self.asked = 0

    async def __call__(self) -> Health:
        self.asked += 1
        return self.answer


def board(*, fresh: float = 5, deadline: float = 5, **checks: Callable[[], Awaitable[Health]]) -> HealthBoard:
    return HealthBoard(checks, required=frozenset(checks), fresh=fresh, deadline=deadline)


async def test_an_answer_is_given_again_while_it_is_fresh() -> None:
    probe = Probe(healthy(files=3))
    health = board(store=probe)
    first, second = await asyncio.gather(health.report(), health.report())
    assert first == second
    assert first["store"].details == {"files": 3}
    assert probe.asked == 1


async def test_a_check_that_hangs_fails_at_its_deadline_and_holds_up_nobody() -> None:
    async def hang() -> Health:
        await asyncio.Event().wait()
        return healthy()

    report = await board(hanging=hang, store=Probe(healthy()), deadline=0.02).report()
    assert report["hanging"].state is HealthState.FAILED
    assert report["hanging"].reason == "no answer within 0.02 s"
    assert report["store"].state is HealthState.HEALTHY


async def test_a_check_that_raises_is_a_finding_without_its_text() -> None:
    async def broken() -> Health:
        raise ValueError("password=hunter2")

    async def timed_out() -> Health:
        raise TimeoutError("of its own")

    report = await board(a=broken, b=timed_out).report()
    assert report["a"].reason == "the check failed: ValueError"
    assert report["b"].reason == "the check failed: TimeoutError"


async def test_since_holds_while_the_state_does() -> None:
    probe = Probe(degraded("slow"))
    health = board(store=probe, fresh=-1)
    began = (await health.report())["store"].since
    probe.answer = degraded("slower")
    again = (await health.report())["store"]
    assert (again.since, again.reason) == (began, "slower")
    probe.answer = healthy()
    better = (await health.report())["store"].since
    assert began is not None
    assert better is not None
    assert better > began


async def test_only_required_modules_decide_on_readiness() -> None:
    checks = {"llm": Probe(degraded("one endpoint is down")), "mcp": Probe(failed("no server"))}
    assert await HealthBoard(checks, required=frozenset({"llm"})).ready()
    assert not await HealthBoard(checks, required=frozenset({"llm", "mcp"})).ready()


def test_the_service_has_failed_only_with_something_that_every_turn_needs() -> None:
    needed = frozenset({"a"})
    assert overall({"a": healthy()}, needed) is HealthState.HEALTHY
    assert overall({"a": healthy(), "b": degraded("x")}, needed) is HealthState.DEGRADED
    assert overall({"a": healthy(), "b": failed("x")}, needed) is HealthState.DEGRADED
    assert overall({"a": failed("x"), "b": healthy()}, needed) is HealthState.FAILED


def test_health_as_json_has_plain_values() -> None:
    assert failed("gone", tries=2).as_json() == {
        "state": "failed",
        "reason": "gone",
        "since": None,
        "details": {"tries": 2},
    }


async def test_a_check_that_knows_since_when_is_believed() -> None:
    since = datetime(2026, 1, 2, tzinfo=UTC)
    health = board(store=Probe(replace(degraded("Redis does not answer"), since=since)), fresh=-1)
    assert (await health.report())["store"].since == since


async def test_st8_a_check_that_has_never_answered_is_starting_and_not_failed() -> None:
    ready = asyncio.Event()

    async def slow() -> Health:
        await ready.wait()
        return healthy()

    health = HealthBoard({"rag": slow}, required=frozenset(), fresh=0, deadline=0.02)
    found = (await health.report())["rag"]
    assert (found.state, found.reason) == (HealthState.DEGRADED, "starting: no answer within 0.02 s yet")
    ready.set()
    assert (await health.report())["rag"].state is HealthState.HEALTHY
    ready.clear()
    assert (await health.report())["rag"].state is HealthState.FAILED


async def test_st8_whoever_can_wait_gets_the_answer_of_what_starts() -> None:
    async def slow() -> Health:
        await asyncio.sleep(0)
        return healthy()

    health = HealthBoard({"rag": slow}, required=frozenset(), deadline=0)
    assert (await health.report(patience=30))["rag"].state is HealthState.HEALTHY


async def test_a_check_knows_how_long_whoever_asks_can_wait() -> None:
    told = []

    async def asked() -> Health:
        told.append(patience())
        return healthy()

    asking = board(fresh=0, a=asked)
    await asking.report()
    await asking.report(patience=10)
    assert told[0] == 0
    assert 0 < told[1] < 10, "it has to answer before it is given up"
    assert patience() == 0


async def test_st8_what_every_turn_needs_is_failed_until_it_answers() -> None:
    async def hang() -> Health:
        await asyncio.Event().wait()
        return healthy()

    health = HealthBoard({"llm": hang}, required=frozenset({"llm"}), deadline=0.02)
    assert not await health.ready()


async def test_g2_1_a_failure_of_what_every_turn_needs_is_looked_at_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.health.RETRY_SECONDS", 0.0)
    probe = Probe(failed("away"))
    health = board(database=probe, fresh=3600)
    assert not await health.ready()
    probe.answer = healthy()
    assert await health.ready()
    assert await health.ready()
    assert probe.asked == 2


async def test_an_outage_in_a_check_is_told_by_its_sentence() -> None:
    async def away() -> Health:
        raise DatabaseUnavailable("is locked by another program")

    assert "is locked" in (await board(tasks=away).report())["tasks"].reason
