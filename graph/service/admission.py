"""What is checked of a request before anything is stored for it."""

from __future__ import annotations

from core.access import Principal, owns
from core.editions import Editions
from core.errors import InvalidInput
from core.foreign import fault_in
from core.settings.platform import LimitSettings
from graph.errors import Draining, MessageTooLong, TooManyRuns
from graph.runs.record import TurnRequest
from graph.service.resume import is_answer
from graph.service.run_service import RunService


class Admission:
    """Lets requests in, or says what is wrong with them."""

    def __init__(self, runs: RunService, editions: Editions) -> None:
        self._runs = runs
        self._editions = editions

    def check(self, request: TurnRequest) -> None:
        """Raises what is wrong with the request."""
        self.open_for(request.principal)
        answers = is_answer(request.resume)
        if answers == bool(request.message.strip()):
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

    def open_for(self, principal: Principal) -> None:
        """Raises when the service takes no turns, or no more of this caller's."""
        if self._runs.draining:
            raise Draining("the service is shutting down; try again in a moment")
        mine = sum(owns(principal, run.request.principal.id) for run in self._runs.live.values())
        if mine >= self._limits.streams_per_user:
            raise TooManyRuns(f"you have {mine} turns going, the limit; wait for one to end")

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
