"""A PostgreSQL that goes away and comes back."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy.engine import URL

from core.errors import ConfigInvalid
from core.health import HealthState
from core.settings import Places
from core.signals import Signals, opened_signals
from core.signals.postgres import CHANNEL
from tests.kit.flaky import FlakyProxy
from tests.unit.core.signals.parts import PATIENCE_S, eventually, opened_relay
from waystation.testing.postgres import PostgresServer
from waystation.testing.service import free_port


def listening(server: PostgresServer, url: URL) -> list[int]:
    """The backends of the relays of a database."""
    dsn = server.url().set(drivername="postgresql").render_as_string()
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = %s AND application_name LIKE 'waystation signals%%'",
            [url.database],
        )
        return [int(row[0]) for row in found]


def terminate(server: PostgresServer, url: URL) -> None:
    for pid in listening(server, url):
        server.execute("SELECT pg_terminate_backend(%s)", [pid])


@contextmanager
def proxy_to(url: URL) -> Iterator[tuple[FlakyProxy, URL]]:
    with FlakyProxy(f"127.0.0.1:{url.port}") as proxy:
        yield proxy, url.set(port=proxy.port)


async def until_state(signals: Signals, state: HealthState) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await signals.check()).state is not state:  # noqa: ASYNC110 - health has no event
            await asyncio.sleep(0.01)


async def test_each_process_has_one_connection(
    postgres_server: PostgresServer, postgres_url: URL, places: Places
) -> None:
    async with opened_relay(postgres_url, places), opened_relay(postgres_url, places):
        assert len(listening(postgres_server, postgres_url)) == 2
    assert listening(postgres_server, postgres_url) == []


async def test_listeners_look_again_after_a_connection_was_cut_and_hear_again(
    postgres_server: PostgresServer, postgres_url: URL, places: Places
) -> None:
    async with opened_signals(postgres_url, places) as one, opened_signals(postgres_url, places) as two:
        with one.listen("run:1") as at_one, two.listen("run:1") as at_two:
            assert not await at_one.heard(timeout=0)
            await asyncio.to_thread(terminate, postgres_server, postgres_url)
            # Nothing was sent: each may have missed something.
            assert await at_one.heard(PATIENCE_S)
            assert await at_two.heard(PATIENCE_S)
            assert (await one.check()).state is HealthState.HEALTHY
            one.send("run:1")
            assert await at_one.heard(PATIENCE_S)
            assert await at_two.heard(PATIENCE_S)


async def test_a_server_that_is_down_is_told_until_it_is_back(
    postgres_server: PostgresServer, postgres_url: URL, places: Places
) -> None:
    async with opened_signals(postgres_url, places) as one, opened_signals(postgres_url, places) as two:
        await asyncio.to_thread(postgres_server.kill)
        try:
            await until_state(one, HealthState.DEGRADED)
            health = await one.check()
            with one.listen("run:1") as ear:
                one.send("run:1")
                assert await ear.heard(PATIENCE_S)
        finally:
            await asyncio.to_thread(postgres_server.start)
        await until_state(one, HealthState.HEALTHY)
        await until_state(two, HealthState.HEALTHY)
        with two.listen("run:2") as ear:
            one.send("run:2")
            assert await ear.heard(PATIENCE_S)
    assert health.since is not None
    assert health.reason.startswith("no connection to the database for signals: ")


async def test_what_is_sent_while_cut_off_goes_out_later(postgres_url: URL, places: Places) -> None:
    with proxy_to(postgres_url) as (proxy, url):
        async with (
            opened_signals(url, places) as signals,
            opened_relay(postgres_url, places) as (_, other),
        ):
            proxy.refuse()
            await until_state(signals, HealthState.DEGRADED)
            for _ in range(3):
                signals.send("run:1")
            assert (await signals.check()).details["waiting"] == 1
            proxy.heal()
            await other.hears("run:1")
            assert (other.topics, other.missed) == (["run:1"], 1)


async def test_a_server_that_is_not_there_at_the_start_holds_nothing_up(places: Places) -> None:
    nowhere = URL.create("postgresql+psycopg", "ada", "hunter2", "127.0.0.1", free_port(), "w")
    async with asyncio.timeout(PATIENCE_S), opened_signals(nowhere, places) as signals:
        with signals.listen("run:1") as ear:
            signals.send("run:1")
            assert await ear.heard(PATIENCE_S)
        health = await signals.check()
    assert health.state is HealthState.DEGRADED
    assert "hunter2" not in health.reason


async def test_a_server_is_found_when_it_comes_and_its_cut_is_told_since_when(
    postgres_server: PostgresServer, postgres_url: URL, places: Places
) -> None:
    await asyncio.to_thread(postgres_server.kill)
    try:
        async with opened_signals(postgres_url, places) as signals:
            first = await signals.check()
            with signals.listen("run:1") as ear:
                await asyncio.to_thread(postgres_server.start)
                assert await ear.heard(PATIENCE_S)
            assert (await signals.check()).state is HealthState.HEALTHY
    finally:
        if not postgres_server._process:
            postgres_server.start()
    assert (first.state, first.since is None) == (HealthState.DEGRADED, False)


async def test_a_server_that_answers_nothing_is_left_in_bounded_time(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.signals.postgres.CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = URL.create("postgresql+psycopg", "ada", host="127.0.0.1", port=silent.getsockname()[1])
        async with asyncio.timeout(PATIENCE_S), opened_signals(nobody, places) as signals:
            reason = (await signals.check()).reason
    assert reason == "no connection to the database for signals: TimeoutError"


async def test_a_notify_that_hangs_is_given_up_and_sent_on_a_new_connection(
    postgres_url: URL, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.signals.postgres.ANSWER_S", 0.2)
    with proxy_to(postgres_url) as (proxy, url):
        async with (
            opened_relay(url, places) as (one, at_one),
            opened_relay(postgres_url, places) as (_, at_two),
        ):
            proxy.hang()
            before = proxy.requests
            one.send("run:1")
            await eventually(lambda: proxy.requests > before)
            proxy.heal()
            await at_two.hears("run:1")
            await at_one.until(lambda: at_one.missed == 2)


async def test_a_notify_that_hangs_does_not_hold_up_the_end(
    postgres_url: URL, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.signals.postgres.FLUSH_S", 0.1)
    with proxy_to(postgres_url) as (proxy, url):
        async with opened_relay(url, places) as (one, _):
            proxy.hang()
            one.send("run:1")
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE_S


async def test_what_strangers_say_on_the_channel_does_no_harm(postgres_url: URL, places: Places) -> None:
    dsn = postgres_url.set(drivername="postgresql").render_as_string()
    async with (
        opened_relay(postgres_url, places) as (_, log),
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as stranger,
    ):
        for payload in ("", "grüße", "x" * 7000, "end"):
            await stranger.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])
        await log.hears("end")
        assert log.missed == 1


async def test_a_missing_driver_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, places: Places
) -> None:
    # What an installation without the extra looks like to an import.
    monkeypatch.setitem(sys.modules, "core.signals.postgres", None)
    with pytest.raises(ConfigInvalid, match=r"pip install .*\[postgres\]"):
        async with opened_signals(URL.create("postgresql+psycopg", host="127.0.0.1"), places):
            pass


async def test_an_operator_may_set_the_options_of_the_connection(
    postgres_server: PostgresServer, postgres_url: URL, places: Places
) -> None:
    named = postgres_url.update_query_dict({"application_name": "mine", "keepalives_idle": "5"})
    async with opened_relay(named, places) as (relay, _):
        assert relay.cut is None
        assert listening(postgres_server, postgres_url) == []
