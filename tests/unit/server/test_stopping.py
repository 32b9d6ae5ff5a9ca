"""A signal to stop drains first, and is then given to whoever had it before."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from core.settings.platform import ServerSettings
from graph.agent import Agent
from server import stopping
from server.stopping import FORCED, draining_first, ends_in_time
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing import open_agent


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path) as agent:
        yield agent


@pytest.fixture(autouse=True)
def _lives_on() -> Iterator[None]:
    """The process of the tests is not ended in time."""
    yield
    while stopping._ending:
        stopping._ending.pop().cancel()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers of the signals that reached whoever had them before."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


async def until(heard: list[int], count: int) -> None:
    async with asyncio.timeout(A_BUSY_MACHINE_S):
        while len(heard) < count:  # noqa: ASYNC110 - a signal handler tells nobody
            await asyncio.sleep(0.01)


async def test_a_signal_drains_and_is_passed_on_and_a_second_one_does_not_wait(
    agent: Agent, stopped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, drain = asyncio.Event(), asyncio.Event(), agent.drain

    async def held(*, seconds: float) -> None:
        begun.set()
        await go_on.wait()
        await drain(seconds=seconds)

    with draining_first(agent), monkeypatch.context() as patch:
        patch.setattr(agent, "drain", held)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(begun.wait(), A_BUSY_MACHINE_S)
        assert (stopped, len(stopping._ending)) == ([], 1)
        signal.raise_signal(signal.SIGTERM)
        assert stopped == [signal.SIGTERM]
        go_on.set()
        await until(stopped, 2)
    signal.raise_signal(signal.SIGTERM)
    assert stopped == [signal.SIGTERM] * 3, "behind the block it is whose it was"


async def test_an_agent_that_is_drained_takes_no_more_turns(agent: Agent, stopped: list[int]) -> None:
    with draining_first(agent):
        signal.raise_signal(signal.SIGTERM)
        await until(stopped, 1)
    assert agent.draining


async def test_in_a_thread_signals_are_left_alone(agent: Agent) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def run() -> None:
        with draining_first(agent):
            seen.append(signal.getsignal(signal.SIGTERM))

    await asyncio.to_thread(run)
    assert seen == [before]


def test_what_does_not_end_is_named_by_where_its_threads_are_without_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    settings = ServerSettings(drain_seconds=600, stop_seconds=600)
    ends_in_time(settings)
    ends_in_time(settings)
    (timer,) = stopping._ending
    with structlog.testing.capture_logs() as logs:
        timer.function()
    assert ended == [FORCED]
    (told,) = [log for log in logs if log["event"] == "stop_forced"]
    assert any(line.startswith("MainThread: ") and "_end" in line for line in told["waits_in"])
    assert not any("/" in line for line in told["waits_in"])
