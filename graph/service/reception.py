"""Where requests come in from everywhere, and what is checked of one before anything is stored for it."""

from __future__ import annotations

from core.access import Principal, owns
from core.correlation import current
from core.editions import Editions
from core.errors import InvalidInput
from core.events.settings import WebhookSettings
from core.events.targets import target_of
from core.foreign import fault_in
from core.settings.platform import LimitSettings, ThreadSettings
from graph.errors import Draining, MessageTooLong, NothingToResume, TooManyRuns
from graph.runs.ledger import RunLedger
from graph.runs.record import Policy, TurnRequest
from graph.runs.rows import NewRun
from graph.service.handle import Handle
from graph.service.resume import answers_for, is_answer
from graph.service.run_service import RunService
from graph.threads.threads import Threads, check_id, new_id
from nodes.config import ConfigLookup
from nodes.file_storage import FileManager


class Reception:
    """Checks requests whole and begins their runs. One per process."""

    def __init__(  # noqa: PLR0917 - the container gives them by type
        self,
        runs: RunService,
        ledger: RunLedger,
        threads: Threads,
        lookup: ConfigLookup,
        files: FileManager,
        editions: Editions,
    ) -> None:
        self._runs = runs
        self._ledger = ledger
        self._threads = threads
        self._lookup = lookup
        self._files = files
        self._editions = editions
        self._admission = Admission(runs, editions)

    async def begin(self, request: TurnRequest) -> Handle:
        """Check the request whole, store its message, and begin the turn or let it wait for its thread.

        Raises:
            WaystationError: The request cannot be accepted; nothing was stored.
        """
        # What is checked here and what the turn runs with is one edition of the configuration.
        with self._editions.hold():
            return await self._begin(request)

    async def _begin(self, request: TurnRequest) -> Handle:
        self._admission.check(request)
        thread_id = check_id(request.thread_id) if request.thread_id else new_id("t")
        self._lookup.resolve(request.principal, request.choices)
        if request.webhook:
            target_of(self._editions.now().book[WebhookSettings], request.webhook)
        for key in request.files:
            await self._files.info(request.principal, key)
        new = NewRun(
            id=new_id("r"),
            thread_id=thread_id,
            message_id=new_id("m"),
            request=request,
            policy=self._policy(request),
            queue_limit=self._editions.now().book[LimitSettings].queued_runs,
            request_id=current().request_id,
        )
        if is_answer(request.resume):
            return await self._answer(new, request.resume)
        return await self._runs.open(new)

    async def resume(self, principal: Principal, run_id: str, answers: object) -> Handle:
        """Go on with an interrupted run: with answers to questions, or (None) where it was stopped.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            NothingToResume: It does not wait.
            AlreadyAnswered: A question has had its answer.
            InvalidInput: The answers do not fit the questions.
        """
        with self._editions.hold():
            self._admission.open_for(principal)
            record = await self._runs.get(principal, run_id)
            waiting = (await self._threads.state(principal, record.thread_id))["interrupts"]
            if waiting and not is_answer(answers):
                raise NothingToResume(f"run '{run_id}' waits for answers; send them")
            given = None
            if is_answer(answers):
                given = answers_for(answers, waiting, answered=record.answered)
            return await self._runs.reopen(principal, run_id, given, policy="resume", seen=record.attempts)

    async def _answer(self, new: NewRun, resume: object) -> Handle:
        who, thread_id = new.request.principal, new.thread_id
        found = await self._runs.interrupted_on(who, thread_id)
        waiting = (await self._threads.state(who, thread_id))["interrupts"]
        answers = answers_for(resume, waiting, answered=found.answered if found else ())
        record = found or await self._ledger.adopt_waiting(new)
        return await self._runs.reopen(who, record.id, answers, seen=record.attempts)

    def _policy(self, request: TurnRequest) -> Policy:
        wish = self._editions.now().book[ThreadSettings].orphans
        if wish != "auto":
            return wish
        return "resume" if request.background or request.on_disconnect == "continue" else "end"


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
