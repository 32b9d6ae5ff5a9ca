"""What goes over PostgreSQL's wire, counted by a relay before the server, whatever driver is used.

https://www.postgresql.org/docs/current/protocol-message-formats.html: a message
is a letter, its length and its body; only what a client begins with has no letter.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from contextlib import suppress

STATEMENTS = (b"Q", b"E")
# Requests for TLS or GSSAPI, which the server answers with one byte.
_ASKS = (80877103, 80877104)
_ROWS = re.compile(rb"(?:INSERT \d+|UPDATE|DELETE|MERGE|COPY) ([1-9]\d*)\0")


class Dialogue:
    """One connection, as both sides of it go by."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._asked, self._told = bytearray(), bytearray()
        self._greeted = False
        self._bytes_due = 0
        self._turn = ""
        self._wrote = False
        self._undone = False

    def ask(self, data: bytes) -> None:
        """What the client sends: a round trip begins where the server spoke last."""
        self._counts["round trips"] += self._turn != "client"
        self._turn = "client"
        self._asked += data
        while (message := self._next_asked()) is not None:
            self._counts["statements"] += message[:1] in STATEMENTS

    def tell(self, data: bytes) -> None:
        """What the server sends; a transaction ends where it is ready and in none."""
        self._turn = "server"
        self._told += data
        while self._bytes_due and self._told:
            del self._told[0]
            self._bytes_due -= 1
        while (message := _taken(self._told)) is not None:
            self._take(message)

    def _take(self, message: bytes) -> None:
        kind, body = message[:1], message[5:]
        if kind == b"C":
            self._wrote = self._wrote or _ROWS.fullmatch(body) is not None
            self._undone = body == b"ROLLBACK\0"
        elif kind == b"Z" and body == b"I":
            self._counts["transactions"] += 1
            self._counts["commits"] += self._wrote and not self._undone
            self._wrote = self._undone = False

    def _next_asked(self) -> bytes | None:
        if self._greeted:
            return _taken(self._asked)
        message = _taken(self._asked, letter=0)
        if message is not None and int.from_bytes(message[4:8]) in _ASKS:
            self._bytes_due += 1
        elif message is not None:
            self._greeted = True
        return message and b" " + message


def _taken(held: bytearray, *, letter: int = 1) -> bytes | None:
    """The first whole message, taken out."""
    if len(held) < letter + 4:
        return None
    size = letter + int.from_bytes(held[letter : letter + 4])
    if len(held) < size:
        return None
    message = bytes(held[:size])
    del held[:size]
    return message


class Relay:
    """Listens on `port` of loopback and passes on to the server, in a thread and a loop of its own.

    `counts` has `statements`, `round trips`, `transactions`, and as `commits` those that changed rows.
    """

    def __init__(self, server_port: int, counts: Counter[str]) -> None:
        self._server_port = server_port
        self._counts = counts
        self._listens = threading.Event()
        self.port = 0

    def start(self) -> None:
        """Return when it listens."""
        threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True).start()
        assert self._listens.wait(10)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await server.serve_forever()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        dialogue = Dialogue(self._counts)

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, seen: object) -> None:
            with suppress(ConnectionError):
                while data := await source.read(65536):
                    seen(data)  # type: ignore[operator]  # a method of the dialogue
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(
            pass_on(reader, far_writer, dialogue.ask), pass_on(far_reader, writer, dialogue.tell)
        )
