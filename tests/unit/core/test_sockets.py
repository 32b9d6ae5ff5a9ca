"""Listening sockets: of TCP, and those in the home: for their owner, at any path, one listener at a time."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from core import sockets

pytestmark = pytest.mark.skipif(not sockets.AVAILABLE, reason="this system has no Unix sockets")


def connected(path: Path) -> socket.socket:
    wire = socket.socket(socket.AF_UNIX)
    with sockets.address(path) as where:
        wire.connect(where)
    return wire


@pytest.mark.parametrize("folder", ["short", "a" * 120])
def test_a_socket_is_reached_however_long_its_path_is(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "s.sock"
    with sockets.listening(path) as listener, connected(path):
        wire, _ = listener.accept()
        with wire:
            assert sockets.of_this_user(wire)
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_what_was_left_behind_makes_way_and_its_owner_s_end_does_not_take_what_came_after(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.sock"
    with sockets.listening(path) as first:
        first.close()
        assert sockets.refused(path)
        with sockets.listening(path):
            assert not sockets.refused(path)
            first.close()
    assert not path.exists()
    with sockets.listening(path) as first:
        path.unlink()
        path.write_text("of somebody else")
    assert path.read_text() == "of somebody else"


def test_a_lock_has_one_owner_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "state" / "s.lock"
    with sockets.alone(path) as one, sockets.alone(path) as other:
        assert (one, other) == (True, False)
    with sockets.alone(path) as again:
        assert again


async def test_an_answer_in_two_parts_does_not_wait_for_its_reader_in_between() -> None:
    answered = asyncio.Event()
    found = []

    def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = writer.get_extra_info("socket")
        found.append(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        answered.set()

    with sockets.tcp_listener() as listener:
        async with await asyncio.start_server(on_connection, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            await answered.wait()
            writer.close()
    assert found != [0]
    assert len(found) == 1


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system bounds it in no such way")
def test_the_kernel_holds_little_for_a_reader_that_takes_nothing() -> None:
    with sockets.tcp_listener() as listener, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(listener.getsockname())
        wire, _ = listener.accept()
        with wire:
            wire.setblocking(False)
            taken = 0
            with suppress(BlockingIOError):
                while taken < 2**23:
                    taken += wire.send(bytes(65_536))
    assert taken < 512 * 1024


def test_a_kernel_without_that_bound_is_listened_on_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has a number for it which this kernel, as some that stand in for Linux, has no option for."""
    monkeypatch.setattr(socket, "TCP_NOTSENT_LOWAT", 9999, raising=False)
    with sockets.tcp_listener() as listener:
        assert listener.getsockname()[1]
    monkeypatch.delattr(socket, "TCP_NOTSENT_LOWAT")
    with sockets.tcp_listener() as listener:
        assert listener.getsockname()[1]
