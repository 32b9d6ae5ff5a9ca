"""Where requests come in from everywhere: who may begin a turn, and what is checked before it is stored."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from core.access import Principal
from core.correlation import current
from core.errors import InvalidInput
from core.events.settings import WebhookSettings
from core.events.targets import target_of
from core.foreign import fault_in, is_answer
from core.settings.book import Editions
from core.settings.platform import (
    EVERYBODYS_STREAMS,
    USERS_STREAMS,
    AuthSettings,
    LimitSettings,
    ServerSettings,
    StorageSettings,
    ThreadSettings,
)
from core.settings.roles import Duty
from graph.db.tables import new_run_id
from graph.errors import Draining, MessageTooLong, NothingToResume, TooManyRuns
from graph.runs.ledger import RunLedger
from graph.runs.record import Policy, TurnRequest
from graph.runs.rows import NewRun
from graph.runs.streams import Handle
from graph.service.answers import answers_for
from graph.service.run_service import RunService
from graph.threads.threads import Threads, check_id, new_id
from nodes.config import ConfigLookup
from nodes.file_storage import FileManager

# Handed over runs that a process remembers before it looks which of them are over.
_MOST_KNOWN = 2_000
# What other processes have of a user's turns is asked for from an eighth of what is allowed on, once in so
# many seconds, and from the half on for each turn.
_FEW, _MANY = 8, 2
_REMEMBERED_S = 1.0


class Admission:
    """Lets requests in, or says what is wrong with them."""

    def __init__(self, runs: RunService, editions: Editions, duty: Duty) -> None:
        self._runs = runs
        self._editions = editions
        self._elsewhere = Elsewhere(runs, duty)
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
        most = self._most()
        if self._going(principal) >= most or len(self._runs.handed_over) > _MOST_KNOWN:
            await self._runs.refresh()
        # Who has next to nothing going here costs the database nothing.
        would_be = self._going(principal) + 1
        if self._is_shared and _FEW * would_be >= most:
            await self._elsewhere.look(principal.id, most, again=_MANY * would_be >= most)

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
        live, user = self._runs.live, principal.id
        others = {**self._runs.handed_over, **self._coming}
        begun = sum(who == user and run_id not in live for run_id, who in others.items())
        return live.count_of(user) + begun + self._elsewhere.of(user)

    @property
    def _is_shared(self) -> bool:
        """Whether other processes may have turns of the same users."""
        book = self._editions.now().book
        return book[ServerSettings].workers > 1 or book[StorageSettings].url.startswith("postgres")

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


class Elsewhere:
    """Turns that users have in other processes, as the database had them a moment ago."""

    def __init__(self, runs: RunService, duty: Duty) -> None:
        self._runs = runs
        # What this process hands over goes on from the moment it is stored, as those of others like it.
        self._also_queued = duty.hands_over
        self._looks: OrderedDict[str, tuple[float, asyncio.Task[set[str]]]] = OrderedDict()

    def of(self, user: str) -> int:
        """How many there were."""
        at, look = self._looks.get(user, (0.0, None))
        is_known = look is not None and look.done() and not look.cancelled() and not look.exception()
        return len(look.result()) if look and is_known and time.monotonic() - at < _REMEMBERED_S else 0

    async def look(self, user: str, most: int, *, again: bool = False) -> None:
        """Ask the database, unless somebody has a moment ago; many who come at once ask once.

        Raises:
            DatabaseUnavailable: It is away.
        """
        at, look = self._looks.get(user, (0.0, None))
        now = time.monotonic()
        if look is None or now - at >= _REMEMBERED_S or (again and look.done() and at < now):
            look = asyncio.create_task(self._asked(user, most))
            self._looks[user] = now, look
            self._looks.move_to_end(user)
            if len(self._looks) > _MOST_KNOWN:
                self._looks.popitem(last=False)
        await asyncio.shield(look)

    async def _asked(self, user: str, most: int) -> set[str]:
        found = await self._runs.going_of(user, also_queued=self._also_queued, limit=most)
        return found - self._runs.live.keys() - self._runs.handed_over.keys()


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
        duty: Duty,
    ) -> None:
        self._duty = duty
        self._runs = runs
        self._ledger = ledger
        self._threads = threads
        self._lookup = lookup
        self._files = files
        self._editions = editions
        self._admission = Admission(runs, editions, duty)

    async def begin(self, request: TurnRequest) -> Handle:
        """Check the request whole, store its message, and begin the turn or let it wait for its thread.

        Raises:
            WaystationError: The request cannot be accepted; nothing was stored.
        """
        # What is checked here and what the turn runs with is one edition of the configuration.
        with self._editions.hold():
            return await self._begin(request)

    async def _begin(self, request: TurnRequest) -> Handle:
        # A clock that is wrong costs nothing but the place where its events stand.
        run_id = new_run_id(time.time())
        await self._admission.made_sure(request.principal)
        with self._admission.counted(request.principal, run_id):
            return await self._admitted(request, run_id)

    async def _admitted(self, request: TurnRequest, run_id: str) -> Handle:
        self._admission.check(request)
        thread_id = check_id(request.thread_id) if request.thread_id else new_id("t")
        self._lookup.resolve(request.principal, request.choices)
        if request.webhook:
            target_of(self._editions.now().book[WebhookSettings], request.webhook)
        for key in request.files:
            await self._files.info(request.principal, key)
        if request.checkpoint:
            await self._threads.checkpoints.at(request.principal, thread_id, request.checkpoint)
        new = NewRun(
            id=run_id,
            thread_id=thread_id,
            message_id=await self._message_id(request, thread_id),
            request=request,
            policy=self._policy(request),
            queue_limit=self._editions.now().book[LimitSettings].queued_runs,
            request_id=current().request_id,
            tag=self._tag(request),
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
        await self._admission.made_sure(principal)
        with self._editions.hold(), self._admission.counted(principal, run_id):
            return await self._resumed(principal, run_id, answers)

    async def _resumed(self, principal: Principal, run_id: str, answers: object) -> Handle:
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

    async def _message_id(self, request: TurnRequest, thread_id: str) -> str | None:
        if request.goes_on:
            return None
        if request.message_id and not await self._threads.checkpoints.has_message(
            thread_id, request.message_id
        ):
            return check_id(request.message_id)
        return new_id("m")

    def _tag(self, request: TurnRequest) -> str:
        if not self._duty.run_tags:
            return ""
        return self._duty.tag_of(request.choices.model, request.principal.groups)

    def _policy(self, request: TurnRequest) -> Policy:
        wish = self._editions.now().book[ThreadSettings].orphans
        if wish != "auto":
            return wish
        # Where a run is handed over, its reader is not in the process that may die.
        is_kept = self._duty.hands_over or request.background
        return "resume" if is_kept or request.on_disconnect == "continue" else "end"
