"""The facade: LangServe, the command line, notebooks and workers all talk to the graph through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dishka import AsyncContainer, Provider
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypedDict, Unpack

from core.access import owns
from core.context import Approval
from core.editions import Editions
from core.errors import InvalidInput
from core.health import HealthBoard
from core.identity.authenticator import local_principal
from core.lifecycle import Standing, running
from core.registry import Module
from core.settings import Book, Context
from core.settings.platform import AuthSettings, LimitSettings
from graph.errors import Draining, MessageTooLong, NothingToResume, TooManyRuns
from graph.lease import Leases, UserMessage
from graph.resume import answers_for
from graph.runs import OnDisconnect, Run, TurnRequest
from graph.services import Progress, Services, open_services
from graph.threads import Threads, check_id, new_id
from graph.turn import TurnDriver, human
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


_WHO = frozenset({"thread", "user", "groups", "levels"})


class Agent:
    """Turns on threads. Open one per process: `async with Agent.open() as agent`."""

    def __init__(
        self,
        services: Services,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        threads: Threads,
        leases: Leases,
        driver: TurnDriver,
        *,
        lookup: ConfigLookup,
        files: FileManager,
        editions: Editions,
        engine: AsyncEngine,
    ) -> None:
        self.graph = graph
        self.threads = threads
        self._services = services
        self._leases = leases
        self._driver = driver
        self._lookup = lookup
        self._files = files
        self.editions = editions
        self.engine = engine
        self._runs: dict[str, Run] = {}
        self._draining = False

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
                await get(Leases),
                await get(TurnDriver),
                lookup=await get(ConfigLookup),
                files=await get(FileManager),
                editions=await get(Editions),
                engine=await get(AsyncEngine),
            )
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

    def runs(self, module: str) -> bool:
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
        return self._draining

    async def begin(self, request: TurnRequest) -> Run:
        """Check the request whole, store its message, and start the turn in a task of its own.

        Raises:
            WaystationError: The request cannot be accepted; nothing was stored.
        """
        # What is checked here and what the turn runs with is one edition of the configuration.
        with self.editions.hold():
            return await self._begin(request)

    async def _begin(self, request: TurnRequest) -> Run:
        self._admit(request)
        thread_id = check_id(request.thread_id) if request.thread_id else new_id("t")
        self._lookup.resolve(request.principal, _wishes(request))
        files = [await self._files.info(request.principal, key) for key in request.files]
        run = Run(new_id("r"), thread_id, request)
        if request.resume:
            return await self._resume(run, request.resume)
        message = UserMessage(new_id("m"), request.message, request.files)
        turn = await self._leases.take(thread_id, run.id, request.principal, message)
        start = {
            "messages": [human(message.text, message.id)],
            "files": [file.as_ref() for file in files],
        }
        self._launch(run, self._driver.drive(run, turn, start))
        return run

    async def _resume(self, run: Run, resume: Mapping[str, Any]) -> Run:
        state = await self.threads.state(run.request.principal, run.thread_id)
        answers = answers_for(resume, state["interrupts"])
        turn = await self._leases.take(run.thread_id, run.id, run.request.principal, None)
        if turn.status != "interrupted":
            await self._leases.give_back(turn, status=turn.status, clean=not turn.dirty)
            raise NothingToResume(f"thread '{run.thread_id}' does not wait for an answer")
        self._launch(run, self._driver.drive(run, turn, Command(resume=answers)))
        return run

    def _admit(self, request: TurnRequest) -> None:
        if self._draining:
            raise Draining("the service is shutting down; try again in a moment")
        if bool(request.resume) == bool(request.message.strip()):
            raise InvalidInput(
                "send a message, or resume with the answer to an interrupt (exactly one of them)"
            )
        if request.resume and not request.thread_id:
            raise InvalidInput("resume needs the thread_id of the thread that waits")
        limits = self.editions.now().book[LimitSettings]
        try:
            size = len(request.message.encode())
        except UnicodeEncodeError:
            raise InvalidInput("the message has a lone surrogate; send valid Unicode") from None
        if "\x00" in request.message:
            raise InvalidInput("the message has a NUL character; remove it")
        if size > limits.message_bytes:
            raise MessageTooLong(f"the message has {size} bytes; at most {limits.message_bytes} are accepted")
        mine = sum(owns(request.principal, run.request.principal.id) for run in self._runs.values())
        if mine >= limits.streams_per_user:
            raise TooManyRuns(f"you have {mine} turns going, the limit; wait for one to end")

    def _launch(self, run: Run, turn: Any) -> None:
        # In a context of its own: LangServe's callbacks must not follow the turn.
        run.task = self.editions.task(turn, name=run.id)
        self._runs[run.id] = run
        run.task.add_done_callback(lambda _: self._runs.pop(run.id, None))

    async def stream(self, message: str = "", **options: Unpack[Options]) -> AsyncIterator[dict[str, Any]]:
        """One turn as events; the last one is `done` or `error`. Leaving the loop early cancels the turn.

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
        """Take no new turns; let the running ones end, and cancel them after `seconds`."""
        self._draining = True
        tasks = [run.task for run in self._runs.values() if run.task]
        if tasks and seconds:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _wishes(request: TurnRequest) -> Wishes:
    return Wishes(
        model=request.model,
        sources=request.sources,
        tools=request.tools,
        temperature=request.temperature,
        max_steps=request.max_steps,
        approval=request.approval,
    )
