"""Which call of ours a server's question belongs to, as far as HTTP tells.

Over streamable HTTP a server sends what belongs to a call on the stream that
answers the call's own request. The SDK puts all streams into one queue and
forgets where a message came from, so it is noted here, as the bytes arrive.
"""

from __future__ import annotations

_AT_MOST = 1024  # questions that came and that nobody took; the oldest goes first


class Origins:
    """The ids of servers' questions, with the id of the request on whose stream each came."""

    def __init__(self) -> None:
        self._found: dict[str | int, int] = {}

    def take(self, question: str | int) -> int | None:
        """The request that the question belongs to; None where its transport does not say."""
        return self._found.pop(question, None)

    def note(self, question: str | int, request_id: int) -> None:
        """The question came on the stream that answers `request_id`."""
        if len(self._found) >= _AT_MOST:
            del self._found[next(iter(self._found))]
        self._found[question] = request_id
