"""The facade: LangServe, the command line, notebooks and workers all talk to the graph through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from dishka import AsyncContainer, Provider
from langgraph.graph.state import CompiledStateGraph
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypedDict, Unpack

from core.access import Principal
from core.context import Approval
from core.correlation import current
from core.editions import Editions
from core.health import HealthBoard
from core.identity.authenticator import local_principal
from core.lifecycle import Standing, running
from core.registry import Module
from core.settings import Book, Context
from core.settings.platform import AuthSettings, LimitSettings, ThreadSettings
from graph.admission import Admission
from graph.errors import NothingToResume
from graph.handle import Handle
from graph.ledger import RunLedger
from graph.ledger_rows import NewRun
from graph.resume import answers_for
from graph.run_service import Runs
from graph.runs import OnBusy, OnDisconnect, Policy, TurnRequest
from graph.services import Progress, Services, open_services
from graph.supervisor import Supervisor
from graph.threads import Threads, check_id, new_id
from graph.turns import ThreadGraph
from nodes.config import ConfigLookup, Wishes
from nodes.file_storage import FileManager


class Options(TypedDict, total=False):
    """Keywords of `ask` and `stream`; what is left out has the default of `TurnRequest`.

    `user` and `levels` are those of the settings by default; `thread` None starts a new one.
    """

    thread: str | None
    user: str | None
    groups: Sequence[str]
    levels: Sequence[str]
    model: str
    sources: Sequence[str] | None
    tools: Sequence[str] | None
    files: Sequence[str]
    temperature: float | None
    max_steps: int | None
    approval: Approval
    resume: Mapping[str, Any] | None
    on_disconnect: OnDisconnect
    on_busy: OnBusy
    idempotency_key: str | None


_WHO = frozenset({"thread", "user", "groups", "levels"})


class Agent:
    """Turns on threads. Open one per process: `async with Agent.open() as agent`."""

    def __init__(
        self,
        services: Services,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        threads: Threads,
        runs: Runs,
        ledger: RunLedger,
        *,
        lookup: ConfigLookup,
        files: FileManager,
        editions: Editions,
        engine: AsyncEngine,
    ) -> None:
        self.graph = graph
        self.threads = threads
        self._services = services
        self.runs = runs
        self._ledger = ledger
        self._lookup = lookup
        self._files = files
        self.editions = editions
        self.engine = engine
        self._admission = Admission(runs, editions)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        context: Context | None = None,
        *,
        providers: Sequence[Provider] = (),
        progress: Progress | None = None,
        worker: bool = False,
        **overrides: Mapping[str, Any],
    ) -> AsyncIterator[Agent]:
        """Open the agent on the same configuration as the service.

        Args:
            context: Folders and environment; by default those of this process.
            providers: Override what the modules provide.
            progress: Told of indexing, as (files done, files in all, name).
            worker: Run background tasks here too; without it they wait for a process that does.
            overrides: Settings by section: `limits={"steps": 5}`.

        Raises:
            ConfigErrors: The configuration is not valid.
        """
        context = context or Context.current(None, **overrides)
        opened = open_services(context, providers, progress=progress, worker=worker)
        async with opened as services:
            get = services.container.get
            agent = cls(
                services,
                await get(ThreadGraph),
                await get(Threads),
                await get(Runs),
                await get(RunLedger),
                lookup=await get(ConfigLookup),
                files=await get(FileManager),
                editions=await get(Editions),
                engine=await get(AsyncEngine),
            )
            watching = (await get(Supervisor)).watching() if worker else nullcontext()
            async with watching:
                try:
                    yield agent
                finally:
                    await agent.drain(seconds=0)

    @property
    def container(self) -> AsyncContainer:
        return self._services.container

    @property
    def standings(self) -> list[Standing]:
        """Every module that was found, and what became of it."""
        return self._services.standings

    @property
    def modules(self) -> list[Module]:
        """The modules that run."""
        return running(self._services.standings)

    def has(self, module: str) -> bool:
        """True when the module is there, switched on, and has started."""
        return any(found.name == module for found in self.modules)

    @property
    def book(self) -> Book:
        return self._services.book

    @property
    def health(self) -> HealthBoard:
        return self._services.health

    @property
    def draining(self) -> bool:
        return self._admission.draining

    async def begin(self, request: TurnRequest) -> Handle:
        """Check the request whole, store its message, and begin the turn or let it wait for its thread.

        Raises:
            WaystationError: The request cannot be accepted; nothing was stored.
        """
        # What is checked here and what the turn runs with is one edition of the configuration.
        with self.editions.hold():
            return await self._begin(request)

    async def _begin(self, request: TurnRequest) -> Handle:
        self._admission.check(request)
        thread_id = check_id(request.thread_id) if request.thread_id else new_id("t")
        self._lookup.resolve(request.principal, _wishes(request))
        for key in request.files:
            await self._files.info(request.principal, key)
        new = NewRun(
            id=new_id("r"),
            thread_id=thread_id,
            message_id=new_id("m"),
            request=request,
            policy=self._policy(request),
            queue_limit=self.editions.now().book[LimitSettings].queued_runs,
            request_id=current().request_id,
        )
        if request.resume is not None:
            return await self._answer(new, request.resume)
        return await self.runs.open(new)

    async def resume(self, principal: Principal, run_id: str, answers: Mapping[str, Any] | None) -> Handle:
        """Go on with an interrupted run: with answers to questions, or (None) where it was stopped.

        Raises:
            RunNotFound: There is none, or it is somebody else's.
            NothingToResume: It does not wait.
            InvalidInput: The answers do not fit the questions.
        """
        with self.editions.hold():
            self._admission.open_for(principal)
            record = await self.runs.get(principal, run_id)
            waiting = (await self.threads.state(principal, record.thread_id))["interrupts"]
            if waiting and not answers:
                raise NothingToResume(f"run '{run_id}' waits for answers; send them")
            given = answers_for(answers, waiting) if answers else None
            return await self.runs.reopen(principal, run_id, given, policy="resume")

    async def _answer(self, new: NewRun, resume: Mapping[str, Any]) -> Handle:
        who, thread_id = new.request.principal, new.thread_id
        answers = answers_for(resume, (await self.threads.state(who, thread_id))["interrupts"])
        found = await self._ledger.interrupted_on(who, thread_id)
        record = found or await self._ledger.adopt_waiting(new)
        return await self.runs.reopen(who, record.id, answers)

    def _policy(self, request: TurnRequest) -> Policy:
        wish = self.book[ThreadSettings].orphans
        if wish != "auto":
            return wish
        return "resume" if request.background or request.on_disconnect == "continue" else "end"

    async def stream(self, message: str = "", **options: Unpack[Options]) -> AsyncIterator[dict[str, Any]]:
        """One turn as events; the last one is `done` or `error`.

        Leaving the loop early cancels the turn, unless `on_disconnect="continue"` was given.

        Raises:
            WaystationError: The request cannot be accepted.
        """
        run = await self.begin(self._request(message, **options))
        try:
            async for event in run.events():
                yield event
        finally:
            run.leave()

    async def ask(self, message: str = "", **options: Unpack[Options]) -> dict[str, Any]:
        """One turn, and its reply. Takes the keywords of `stream`.

        Raises:
            WaystationError: The request cannot be accepted, or the turn failed.
        """
        run = await self.begin(self._request(message, **options))
        try:
            return await run.result()
        finally:
            run.leave()

    def _request(self, message: str, **options: Unpack[Options]) -> TurnRequest:
        user, groups, levels = options.get("user") or "", options.get("groups"), options.get("levels")
        principal = local_principal(self.book[AuthSettings], user, groups, levels)
        rest: dict[str, Any] = {k: v for k, v in options.items() if k not in _WHO}
        for name in {"sources", "tools", "files"} & rest.keys():
            rest[name] = None if rest[name] is None else tuple(rest[name])
        return TurnRequest(principal, message, thread_id=options.get("thread"), **rest)

    async def drain(self, *, seconds: float) -> None:
        """Take no new turns; let the running ones end, and stop them at a checkpoint after `seconds`."""
        self._admission.draining = True
        await self.runs.drain(seconds=seconds)


def _wishes(request: TurnRequest) -> Wishes:
    return Wishes(
        model=request.model,
        sources=request.sources,
        tools=request.tools,
        temperature=request.temperature,
        max_steps=request.max_steps,
        approval=request.approval,
    )
