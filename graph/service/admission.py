"""Who may begin a turn now, and what is wrong with a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.access import Principal
from core.errors import InvalidInput
from core.foreign import fault_in, is_answer
from core.settings.book import Editions
from core.settings.platform import EVERYBODYS_STREAMS, USERS_STREAMS, AuthSettings, LimitSettings
from graph.errors import Draining, MessageTooLong, TooManyRuns
from graph.runs.record import TurnRequest
from graph.service.run_service import RunService

# Handed over runs that a process remembers before it looks which of them are over.
_MOST_KNOWN = 2_000


class Admission:
    """Lets requests in, or says what is wrong with them."""

    def __init__(self, runs: RunService, editions: Editions) -> None:
        self._runs = runs
        self._editions = editions
        # Whose requests are on their way into the ledger, by the ids of their runs.
        self._coming: dict[str, str] = {}

    @contextmanager
    def counted(self, principal: Principal, run_id: str) -> Iterator[None]:
        """Within the block the run counts among the turns of its user, although it does not go on yet.

        Raises:
            Draining, TooManyRuns: The service takes no turns, or no more of this caller's.
        """
        self._open_for(principal)
        self._coming[run_id] = principal.id
        try:
            yield
        finally:
            self._coming.pop(run_id, None)

    async def made_sure(self, principal: Principal) -> None:
        """Where this caller seems to have as many turns as it may, look again which of them are over."""
        if self._going(principal) >= self._most() or len(self._runs.handed_over) > _MOST_KNOWN:
            await self._runs.refresh()

    def check(self, request: TurnRequest) -> None:
        """Raises what is wrong with the request."""
        answers = is_answer(request.resume)
        if answers + bool(request.message.strip()) + request.goes_on != 1:
            raise InvalidInput(
                "send a message, or resume with the answer to an interrupt (exactly one of them)"
            )
        if answers and not request.thread_id:
            raise InvalidInput("resume needs the thread_id of the thread that waits")
        if answers and request.idempotency_key:
            raise InvalidInput(
                "an Idempotency-Key goes with a message; an answer that comes twice is refused at the second"
            )
        if fault := fault_in(request.resume, "resume"):
            raise InvalidInput(f"{fault}; send JSON that can be kept")
        self._check_text(request.message)

    def _open_for(self, principal: Principal) -> None:
        if self._runs.draining:
            raise Draining("the service is shutting down; try again in a moment")
        mine = self._going(principal)
        if mine >= self._most():
            raise TooManyRuns(f"you have {mine} turns going, the limit; wait for one to end")

    def _going(self, principal: Principal) -> int:
        live = self._runs.live
        mine = sum(run.request.principal.id == principal.id for run in live.values())
        others = {**self._runs.handed_over, **self._coming}
        return mine + sum(who == principal.id and run_id not in live for run_id, who in others.items())

    def _most(self) -> int:
        book = self._editions.now().book
        own = book[LimitSettings].streams_per_user
        # Where nobody logs in everybody is one user.
        return own or (EVERYBODYS_STREAMS if book[AuthSettings].mode == "none" else USERS_STREAMS)

    def _check_text(self, text: str) -> None:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise InvalidInput("the message has a lone surrogate; send valid Unicode") from None
        if "\x00" in text:
            raise InvalidInput("the message has a NUL character; remove it")
        limit = self._limits.message_bytes
        if size > limit:
            raise MessageTooLong(f"the message has {size} bytes; at most {limit} are accepted")

    @property
    def _limits(self) -> LimitSettings:
        return self._editions.now().book[LimitSettings]
