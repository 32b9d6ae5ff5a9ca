"""Processes on one machine: who finds whom, and whose datagrams count."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
from collections.abc import Collection
from pathlib import Path

import pytest

from core.health import Health, HealthState
from core.holder import new_holder
from core.settings import Places
from core.signals import opened_signals
from core.signals.datagrams import MOST_BYTES, TOKEN_BYTES, Peers, kept_token, sealed
from tests.unit.core.signals.parts import PATIENCE_S, eventually, opened_relay, peer, sqlite


def folder(places: Places) -> Path:
    return places.home / "state" / "signals"


def token_file(places: Places) -> Path:
    return places.home / "state" / "signals.token"


def registered(places: Places) -> set[str]:
    return {path.name for path in folder(places).iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def post(datagram: bytes, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(datagram, ("127.0.0.1", port))


async def test_a_process_registers_and_leaves_again(places: Places) -> None:
    async with opened_relay(sqlite(places), places):
        (name,) = registered(places)
        assert mode(folder(places)) == 0o700
        assert mode(folder(places) / name) == 0o600
    assert registered(places) == set()


async def test_the_token_is_its_owners_alone_and_stays_the_same(places: Places) -> None:
    async with opened_relay(sqlite(places), places):
        before = token_file(places).read_bytes()
        assert mode(token_file(places)) == 0o600
    async with opened_relay(sqlite(places), places):
        assert token_file(places).read_bytes() == before
    assert len(before) == TOKEN_BYTES
    assert [path.name for path in token_file(places).parent.iterdir() if path.is_file()] == ["signals.token"]


async def test_of_two_that_make_a_token_at_once_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = bytes(TOKEN_BYTES)
    link = os.link

    def late(draft: Path, path: Path) -> None:
        path.write_bytes(theirs)
        link(draft, path)

    monkeypatch.setattr(os, "link", late)
    assert kept_token(tmp_path / "token") == theirs
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


async def test_a_process_that_was_killed_is_forgotten_at_the_next_send(places: Places) -> None:
    async with opened_signals(sqlite(places), places) as signals, peer(sqlite(places), places) as other:
        with signals.listen("pong") as ear:
            signals.send("ping")
            assert await ear.heard(PATIENCE_S)
        assert (await signals.check()).details["others"] == 1
        assert len(registered(places)) == 2
        await other.kill()
        signals.send("ping")
        await eventually(lambda: len(registered(places)) == 1)
        assert (await signals.check()).details["others"] == 0


async def test_a_registration_from_before_a_restart_of_the_machine_is_removed(places: Places) -> None:
    folder(places).mkdir(parents=True)
    # Its process id says nothing here, but nobody holds its lock.
    (folder(places) / "elsewhere:1:x").write_text("12345")
    async with opened_relay(sqlite(places), places):
        assert "elsewhere:1:x" not in registered(places)


@pytest.mark.parametrize("said", [b"", b"port", b"0", b"65536", b"-1", b"123456789"])
def test_a_file_that_is_no_registration_is_left_alone(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "note").write_bytes(said)
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    peers = Peers(tmp_path, "here")
    peers.join(1234)
    assert list(peers.others()) == []
    assert (tmp_path / "note").exists()
    peers.leave()


def test_a_registration_that_cannot_be_put_in_place_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    peers = Peers(tmp_path, "here")
    with pytest.raises(IsADirectoryError):
        peers.join(1234)
    assert len(peers) == 0


def test_a_process_of_another_container_is_found_by_its_lock(tmp_path: Path) -> None:
    here, there = Peers(tmp_path, "here:1:x"), Peers(tmp_path, "elsewhere:1:x")
    here.join(1111)
    there.join(2222)
    assert list(here.others()) == [2222]
    there.leave()
    assert list(here.others()) == []
    here.leave()


def test_the_folder_is_read_only_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    listdir = os.listdir

    def counted(path: Path) -> list[str]:
        reads.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", counted)
    here, there = Peers(tmp_path, new_holder()), Peers(tmp_path, "elsewhere:1:x")
    here.join(1111)
    os.utime(tmp_path, (1, 1))  # long ago
    assert [ports(here.others()), ports(here.others())] == [[], []]
    assert len(reads) == 1
    there.join(2222)
    # It has changed just now, and may again without showing it.
    assert [ports(here.others()), ports(here.others())] == [[2222], [2222]]
    assert len(reads) == 3
    here.leave()
    there.leave()


def ports(found: Collection[int]) -> list[int]:
    return sorted(found)


async def test_datagrams_without_the_token_of_the_home_are_ignored(places: Places) -> None:
    async with opened_relay(sqlite(places), places) as (_, log):
        (name,) = registered(places)
        port = int((folder(places) / name).read_text())
        token = token_file(places).read_bytes()
        (right,) = sealed(token, ["right"])
        (wrong,) = sealed(bytes(TOKEN_BYTES), ["wrong"])
        for datagram in (b"", b"junk", wrong, wrong[:16], right[:-1], right + b"!", b"\0" * (MOST_BYTES + 1)):
            post(datagram, port)
        post(right, port)
        await log.hears("right")
        assert log.topics == ["right"]


async def test_a_registration_that_somebody_removed_is_made_again_at_the_next_send(places: Places) -> None:
    async with opened_relay(sqlite(places), places) as (one, log):
        for path in list(folder(places).iterdir()):
            path.unlink()
        one.send("run:1")
        await eventually(lambda: len(registered(places)) == 1)
        shutil.rmtree(folder(places))
        one.send("run:1")
        await eventually(lambda: folder(places).exists() and len(registered(places)) == 1)
        # Nobody found it meanwhile.
        assert (log.missed, log.topics) == (2, [])
        async with opened_relay(sqlite(places), places) as (other, _):
            other.send("run:2")
            await log.hears("run:2")


def is_cut_off(health: Health, places: Places, reason: str) -> None:
    assert health.state is HealthState.DEGRADED
    assert reason in health.reason
    assert health.since is not None
    assert str(places.home) not in health.reason


async def test_a_home_that_cannot_be_written_leaves_signals_within_the_process(places: Places) -> None:
    places.home.write_text("a file")
    async with opened_signals(sqlite(places), places) as signals:
        with signals.listen("run:1") as ear:
            signals.send("run:1")
            assert await ear.heard(PATIENCE_S)
        is_cut_off(await signals.check(), places, "Not a directory")


async def test_a_token_that_is_damaged_is_told_with_its_remedy(places: Places) -> None:
    token_file(places).parent.mkdir(parents=True)
    token_file(places).write_bytes(b"short")
    async with opened_signals(sqlite(places), places) as signals:
        is_cut_off(await signals.check(), places, "state/signals.token is damaged; delete it")


async def test_a_port_that_cannot_be_had_leaves_signals_within_the_process(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.signals.datagrams.LOOPBACK", "192.0.2.1")  # of no machine
    async with opened_signals(sqlite(places), places) as signals:
        is_cut_off(await signals.check(), places, "not reached")
        assert not folder(places).exists()


async def test_a_registration_that_cannot_be_written_leaves_signals_within_the_process(
    places: Places,
) -> None:
    folder(places).parent.mkdir(parents=True)
    folder(places).write_text("a file")
    async with opened_signals(sqlite(places), places) as signals:
        is_cut_off(await signals.check(), places, "File exists")


async def test_a_folder_that_cannot_be_read_for_a_while_is_told_and_used_again(places: Places) -> None:
    async with opened_signals(sqlite(places), places) as signals:
        shutil.rmtree(folder(places))
        folder(places).write_text("a file")
        signals.send("run:1")
        await asyncio.sleep(0)
        first = await signals.check()
        is_cut_off(first, places, "Not a directory")
        signals.send("run:1")
        await asyncio.sleep(0)
        assert (await signals.check()).since == first.since
        folder(places).unlink()
        signals.send("run:1")
        await asyncio.sleep(0)
        assert (await signals.check()).state is HealthState.HEALTHY
        async with opened_relay(sqlite(places), places) as (other, _):
            with signals.listen("run:2") as ear:
                other.send("run:2")
                assert await ear.heard(PATIENCE_S)


def test_topics_share_datagrams_up_to_what_every_system_takes() -> None:
    token = bytes(TOKEN_BYTES)
    datagrams = list(sealed(token, [f"{number:0200}" for number in range(100)]))
    assert len(datagrams) == 3
    assert max(map(len, datagrams)) <= MOST_BYTES
    assert list(sealed(token, [])) == []
