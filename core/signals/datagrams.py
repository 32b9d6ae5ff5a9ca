"""Signals between the processes of one machine: UDP on loopback, for databases in SQLite.

A datagram proves to come from a process of this home: a tag keyed with the home's token, and topics, one a
line. The token itself does not travel: a port of a process that died may belong to a stranger by now.

Each process of a home has a file that names its port.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from core.holder import alive, is_known_dead, new_holder
from core.signals.signals import Cut, Heard, Missed, Pending, Reach

LOOPBACK = "127.0.0.1"
TAG_BYTES = 16
TOKEN_BYTES = 32
# macOS takes no more than 9216 bytes.
MOST_BYTES = 8192


def sealed(token: bytes, topics: Iterable[str]) -> Iterator[bytes]:
    """As few datagrams as carry the topics."""
    lines: list[bytes] = []
    size = TAG_BYTES
    for topic in topics:
        line = topic.encode("ascii")
        if lines and size + len(line) + 1 > MOST_BYTES:
            yield _seal(token, lines)
            lines, size = [], TAG_BYTES
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield _seal(token, lines)


def unsealed(token: bytes, datagram: bytes) -> list[str]:
    """Its topics; none when it does not come from a holder of the token."""
    if not TAG_BYTES < len(datagram) <= MOST_BYTES:
        return []
    tag, body = datagram[:TAG_BYTES], datagram[TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(token, body)):
        return []
    return body.decode("ascii").split("\n")


def kept_token(path: Path) -> bytes:
    """The token in the file; made once, readable by its owner alone, also when several ask at once.

    Raises:
        OSError: The file cannot be read or written, or holds no token.
    """
    if not path.exists():
        _make_token(path)
    token = path.read_bytes()
    if len(token) != TOKEN_BYTES:
        raise OSError(errno.EINVAL, f"state/{path.name} is damaged; delete it and start again")
    return token


def _make_token(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(TOKEN_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Fails, unlike a rename, when another process was first.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _seal(token: bytes, lines: list[bytes]) -> bytes:
    body = b"\n".join(lines)
    return _tag(token, body) + body


def _tag(token: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=token, digest_size=TAG_BYTES).digest()


class DatagramRelay:
    """A `Relay` among the processes that share a home.

    What is sent in one go of the event loop leaves together. Processes whose
    homes differ do not find each other, though their database be the same.

    Args:
        state: Holds the token and the folder of registrations.
    """

    mail = None

    def __init__(self, state: Path) -> None:
        self._state = state
        self._pending: Pending[str] = Pending()
        self._reach = Reach()
        self._token = b""
        self._missed: Missed = lambda: None
        self._peers: Peers | None = None
        self._mailbox: _Mailbox | None = None

    @property
    def cut(self) -> Cut | None:
        return self._reach.cut

    @property
    def details(self) -> Mapping[str, Any]:
        return {"others": len(self._peers or ()), "dropped": self._pending.dropped}

    def send(self, topic: str) -> None:
        if self._mailbox is None:
            return
        if not self._pending:
            self._mailbox.loop.call_soon(self._flush)
        self._pending.add(topic)

    @asynccontextmanager
    async def opened(self, heard: Heard, missed: Missed) -> AsyncIterator[None]:
        self._missed = missed
        with alive(new_holder()) as holder:
            try:
                await self._open(holder, heard)
            except OSError as error:
                self._lose(error)
            try:
                yield
            finally:
                await self._close()

    async def _open(self, holder: str, heard: Heard) -> None:
        self._token = kept_token(self._state / "signals.token")
        peers = Peers(self._state / "signals", holder)
        mailbox = _Mailbox(self._token, heard)
        await mailbox.loop.create_datagram_endpoint(lambda: mailbox, local_addr=(LOOPBACK, 0))
        try:
            peers.join(mailbox.port)
            peers.others()
        except BaseException:
            peers.leave()
            await mailbox.aclose()
            raise
        self._peers, self._mailbox = peers, mailbox
        self._reach.gain()

    async def _close(self) -> None:
        mailbox, peers = self._mailbox, self._peers
        if mailbox is not None and peers is not None:
            self._flush()
            self._mailbox = None
            peers.leave()
            await mailbox.aclose()
        self._reach.close()

    def _flush(self) -> None:
        if self._mailbox is None or self._peers is None:
            return
        topics, joins = self._pending.take(), self._peers.joins
        try:
            ports = self._peers.others()
        except OSError as error:
            self._lose(error)
            return
        self._reach.gain()
        if self._peers.joins != joins:  # for a while nobody found this process
            self._missed()
        if ports:
            for datagram in sealed(self._token, topics):
                for port in ports:
                    self._mailbox.post(datagram, port)

    def _lose(self, error: OSError) -> None:
        # Not str(error), which names the path.
        self._reach.lose(f"other processes are not reached: {error.strerror or type(error).__name__}")


class _Mailbox(asyncio.DatagramProtocol):
    """The socket of this process. A datagram that the system drops costs its receiver only time."""

    def __init__(self, token: bytes, heard: Heard) -> None:
        self.loop = asyncio.get_running_loop()
        self._token = token
        self._heard = heard
        self._closed = self.loop.create_future()
        self._transport: asyncio.DatagramTransport

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def post(self, datagram: bytes, port: int) -> None:
        self._transport.sendto(datagram, (LOOPBACK, port))

    async def aclose(self) -> None:
        self._transport.close()
        await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by inheritance.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _address: object) -> None:
        for topic in unsealed(self._token, data):
            self._heard(topic)

    def connection_lost(self, _error: Exception | None) -> None:
        self._closed.set_result(None)


# A folder that changes twice within a tick of the system's clock shows it once.
SETTLED_NS = 100_000_000


class Peers:
    """Registers this process and knows the ports of the others.

    A process keeps its file locked for as long as it lives, so that others can
    tell also where process ids say nothing: after a restart of the machine, or
    between containers. Files of the dead are removed by whoever meets them.

    Args:
        folder: The same for all; only its owner may enter.
        holder: The name of this process, from `core.holder`.
    """

    def __init__(self, folder: Path, holder: str) -> None:
        self._folder = folder
        self._holder = holder
        self.joins = 0
        """How often this process has registered: more than once when its file was removed."""
        self._port = 0
        self._lock: int | None = None
        self._ports: dict[str, int] = {}
        self._seen: int | None = None

    def __len__(self) -> int:
        return len(self._ports)

    def join(self, port: int) -> None:
        """From here on the others find this process.

        Raises:
            OSError: The file cannot be written.
        """
        self._port = port
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f".{self._holder}"
        lock = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # Without it, on a file system that knows no locks, the process id tells.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(lock, str(port).encode("ascii"))
            draft.replace(self._folder / self._holder)
        except BaseException:
            os.close(lock)
            raise
        self._let_go()
        self._lock = lock
        self.joins += 1

    def leave(self) -> None:
        """Nobody finds this process any more."""
        with suppress(OSError):
            (self._folder / self._holder).unlink()
        self._let_go()

    def others(self) -> Collection[int]:
        """The ports of the others that live. The folder is read only when it has changed.

        Raises:
            OSError: It cannot be read.
        """
        changed = self._changed()
        if changed != self._seen:
            self._read()
            settled = time.time_ns() - changed > SETTLED_NS
            self._seen = changed if settled else None
        for holder in [holder for holder in self._ports if is_known_dead(holder)]:
            del self._ports[holder]
            with suppress(OSError):
                (self._folder / holder).unlink()
        return self._ports.values()

    def _changed(self) -> int:
        try:
            return self._folder.stat().st_mtime_ns
        except FileNotFoundError:  # somebody tidied up
            self.join(self._port)
            return self._folder.stat().st_mtime_ns

    def _read(self) -> None:
        found = {name for name in os.listdir(self._folder) if not name.startswith(".")}
        if self._holder not in found:
            self.join(self._port)
        found.discard(self._holder)
        ports = {name: self._ports.get(name) or self._port_of(name) for name in found}
        self._ports = {name: port for name, port in ports.items() if port}

    def _port_of(self, name: str) -> int:
        """The port of a process; 0 when it is gone, or when the file is not of a process."""
        path = self._folder / name
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # it left just now
            return 0
        try:
            said = os.read(file, 8)
            if not said.isdigit() or not 0 < int(said) < 65_536:
                return 0
            if _unlocked(file):
                path.unlink(missing_ok=True)
                return 0
            return int(said)
        except OSError:  # a folder, say
            return 0
        finally:
            os.close(file)

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _unlocked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
