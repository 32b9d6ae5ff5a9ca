"""Words from one process to another, behind each other in the order of their sending.

A signal says "look", and several may count as one; mail carries what there is to see, for whom a look into
the database would be too late. It is no promise: what a cut loses, readers find in the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

# PostgreSQL takes less than 8000 bytes for one notification, and keeps the ends of names.
MAIL_BYTES = 7_600
EVERYBODY = "waystation_mail"

Reader = Callable[[str], None]


class Mail:
    """The mailbox of this process. Get it from `Signals.mail`.

    Args:
        send: Takes an address and a text, and never waits.
    """

    def __init__(self, send: Callable[[str, str], None]) -> None:
        self.address = f"{EVERYBODY}_{secrets.token_hex(8)}"
        self._send = send
        self._readers: list[Reader] = []
        self._losers: list[Callable[[], None]] = []

    def send(self, to: str, text: str) -> None:
        """Send it to one address or to `EVERYBODY`; never waits, never fails.

        Args:
            text: Up to `MAIL_BYTES` in UTF-8, without NUL.
        """
        self._send(to, text)

    def open(self, reader: Reader, *, lost: Callable[[], None] = lambda: None) -> None:
        """Have all mail from here on.

        Args:
            lost: Called when mail may have been lost.
        """
        self._readers.append(reader)
        self._losers.append(lost)

    def close(self, reader: Reader) -> None:
        """Have no more mail."""
        place = self._readers.index(reader)
        del self._readers[place], self._losers[place]

    def arrived(self, text: str) -> None:
        """For the relay: mail to this process, or to all."""
        for reader in list(self._readers):
            reader(text)

    def lost(self) -> None:
        """For the relay: mail may have been lost."""
        for loser in list(self._losers):
            loser()


def pages(text: str) -> Iterator[str]:
    """The text in pieces that fit into one mail with a line before them."""
    # A character takes up to four bytes; most texts have few of those.
    most = MAIL_BYTES - 200
    step = most if text.isascii() else most // 4
    for start in range(0, len(text) or 1, step):
        yield text[start : start + step]
