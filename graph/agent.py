"""The facade: LangServe, the command line, notebooks and workers all talk to the graph through it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiosqlite
from dishka import AsyncContainer, Provider
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from typing_extensions import TypedDict, Unpack

from core.access import Principal
from core.context import Approval
from core.errors import InvalidInput
from core.health import HealthBoard
from core.registry import Module
from core.settings import Book, Context
from core.settings.platform import AuthSettings, LimitSettings, StorageSettings
from graph.builder import build_graph
from graph.database import database_path, open_database
from graph.errors import Draining, MessageTooLong, NothingToResume, TooManyRuns
from graph.lease import Leases, UserMessage
from graph.resume import answers_for
from graph.runs import OnDisconnect, Run, TurnRequest
from graph.services import Services, open_services
from graph.threads import Threads, check_id, new_id
from graph.transcript import Transcript
from graph.turn import TurnDriver, human
from nodes.config import ConfigLookup, Wishes
from nodes.file_storage import FileManager
from nodes.rag import RAGClient

WARM_AFTER_SECONDS = 1.5
Progress = Callable[[int, int, str], None]


class Options(TypedDict, total=False):
    """Keywords of `ask` and `stream`; what is left out has the default of `TurnRequest`.

    `user` is the settings' `auth.user` by default; `thread` None starts a new one.
    """

    thread: str | None
    user: str | None
    groups: Sequence[str]
    model: str
    sources: Sequence[str] | None
    tools: Sequence[str] | None
    files: Sequence[str]
    temperature: float | None
    max_steps: int | None
    approval: Approval
    resume: Mapping[str, Any] | None
    on_disconnect: OnDisconnect


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
    ) -> None:
        self.graph = graph
        self.threads = threads
        self._services = services
        self._leases = leases
        self._driver = driver
        self._lookup = lookup
        self._files = files
        self._limits = services.book[LimitSettings]
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
        **overrides: Mapping[str, Any],
    ) -> AsyncIterator[Agent]:
        """Open the agent on the same configuration as the service.

        Args:
            context: Folders and environment; by default those of this process.
            providers: Override what the modules provide.
            progress: Told of indexing, as (files done, files in all, name).
            overrides: Settings by section: `limits={"steps": 5}`.

        Raises:
            ConfigErrors: The configuration is not valid.
        """
        context = context or Context.current(None, **overrides)
        async with AsyncExitStack() as stack:
            services = await stack.enter_async_context(open_services(context, providers))
            path = database_path(services.book[StorageSettings], context.places)
            engine = await open_database(path)
            stack.push_async_callback(engine.dispose)
            connection = await stack.enter_async_context(aiosqlite.connect(path))
            saver = AsyncSqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
            await saver.setup()
            graph = build_graph(services.steps).compile(checkpointer=saver, name="waystation")
            limits = services.book[LimitSettings]
            transcript, leases = Transcript(engine), Leases(engine)
            await stack.enter_async_context(leases.beating())
            files = await services.container.get(FileManager)
            driver = TurnDriver(graph, leases, transcript, seconds=limits.turn_seconds, steps=limits.steps)
            agent = cls(
                services,
                graph,
                Threads(engine, graph, transcript, files),
                leases,
                driver,
                lookup=await services.container.get(ConfigLookup),
                files=files,
            )
            stack.push_async_callback(agent.drain, seconds=0)
            rag = await services.container.get(RAGClient)
            await rag.prepare(progress)
            warming = asyncio.create_task(warm_up(rag))
            stack.push_async_callback(ended, warming)
            yield agent

    @property
    def container(self) -> AsyncContainer:
        return self._services.container

    @property
    def modules(self) -> list[Module]:
        return self._services.modules

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
        try:
            size = len(request.message.encode())
        except UnicodeEncodeError:
            raise InvalidInput("the message has a lone surrogate; send valid Unicode") from None
        if "\x00" in request.message:
            raise InvalidInput("the message has a NUL character; remove it")
        if size > self._limits.message_bytes:
            raise MessageTooLong(
                f"the message has {size} bytes; at most {self._limits.message_bytes} are accepted"
            )
        mine = sum(run.request.principal.id == request.principal.id for run in self._runs.values())
        if mine >= self._limits.streams_per_user:
            raise TooManyRuns(f"you have {mine} turns going, the limit; wait for one to end")

    def _launch(self, run: Run, turn: Any) -> None:
        # A context of its own: LangServe's callbacks must not follow the turn.
        run.task = asyncio.create_task(turn, name=run.id, context=contextvars.Context())
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
        auth = self.book[AuthSettings]
        user = options.get("user")
        principal = (
            Principal(user, frozenset(options.get("groups", ())))
            if user
            else Principal(auth.user, frozenset(auth.groups))
        )
        rest: dict[str, Any] = {k: v for k, v in options.items() if k not in {"thread", "user", "groups"}}
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


async def warm_up(rag: RAGClient) -> None:
    """Open the indexes in the background: the library takes seconds to import, and the start comes first."""
    await asyncio.sleep(WARM_AFTER_SECONDS)
    await rag.warm()


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a background task and wait until it is gone."""
    task.cancel()
    await asyncio.wait([task])


def _wishes(request: TurnRequest) -> Wishes:
    return Wishes(
        model=request.model,
        sources=request.sources,
        tools=request.tools,
        temperature=request.temperature,
        max_steps=request.max_steps,
        approval=request.approval,
    )
