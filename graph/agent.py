"""The facade: LangServe, the command line, notebooks and workers all talk to the graph through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

import structlog
from dishka import AsyncContainer, Provider
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from sqlalchemy.ext.asyncio.engine import AsyncEngine
from typing_extensions import Unpack

from core.access import Principal
from core.choices import CHOICES, Choices, Chosen
from core.errors import ConfigInvalid
from core.events import EventBus
from core.health import HealthBoard
from core.identity.authenticator import local_principal
from core.lifecycle import ModuleState, running
from core.registry import Module
from core.settings import Book, Context
from core.settings.book import Editions
from core.settings.platform import AuthSettings
from core.signals import Signals
from core.steps import Part, Step
from graph.flow.steps import Steps
from graph.runs.announcements import TurnFinished
from graph.runs.events import topic_of_thread
from graph.runs.record import OnBusy, OnDisconnect, TurnRequest
from graph.runs.streams import Handle
from graph.service.fleet import Fleet
from graph.service.holding import Holding
from graph.service.items import Items
from graph.service.plans import Plans
from graph.service.reception import Reception
from graph.service.run_service import RunService
from graph.service.supervisor import Supervisor
from graph.threads.threads import Threads
from graph.wiring.services import Progress, Services, open_services
from graph.wiring.turn_provider import ThreadGraph

log = structlog.get_logger(__name__)


class Options(Chosen, total=False):
    """Keywords of `ask` and `stream`; what is left out has the default of `TurnRequest`.

    What a caller chooses stands in `core.choices`. `user` and `levels` are those of the
    settings by default; `thread` None starts a new one.
    """

    thread: str | None
    user: str | None
    groups: Sequence[str]
    levels: Sequence[str]
    files: Sequence[str]
    resume: Any
    on_disconnect: OnDisconnect
    on_busy: OnBusy
    idempotency_key: str | None


# What is no field of a request by its own name.
_OTHERWISE = {"thread", "user", "groups", "levels", "files"} | CHOICES.keys()


class Agent:
    """Turns on threads. Open one per process: `async with Agent.open() as agent`."""

    def __init__(
        self,
        services: Services,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        threads: Threads,
        runs: RunService,
        reception: Reception,
        *,
        editions: Editions,
        engine: AsyncEngine,
    ) -> None:
        self.graph = graph
        self.threads = threads
        self._services = services
        self.runs = runs
        self._reception = reception
        self.editions = editions
        self.engine = engine

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        context: Context | None = None,
        *,
        providers: Sequence[Provider] = (),
        progress: Progress | None = None,
        worker: bool = False,
        idle: bool = False,
        steps: Sequence[Step] = (),
        models: Mapping[str, Any] | None = None,
        **overrides: Mapping[str, Any],
    ) -> AsyncIterator[Agent]:
        """Open the agent on the same configuration as the service.

        Args:
            context: Folders and environment; by default those of this process.
            providers: Override what the modules provide.
            progress: Told of indexing, as (files done, files in all, name).
            worker: Run background tasks here too; without it they wait for a process that does.
            steps: Steps of one's own: `[Step("guard", guard, after="call_model")]`.
            idle: Start no tool server and no index: for looking at threads and runs.
            models: Models beside those of models.yaml, by name: a chat model of LangChain, or what an
                entry of the file may say, whose `provider` may be such an object too.
            overrides: Settings by section: `limits={"steps": 5}`.

        Raises:
            ConfigErrors: The configuration is not valid.
        """
        context = context or Context.current(None, **overrides)
        if models:
            if not isinstance(models, Mapping):
                raise ConfigInvalid("models= is a mapping of names to models: {'mine': ChatX(...)}")
            given = {n: m if isinstance(m, Mapping) else {"provider": m} for n, m in models.items()}
            context = replace(context, given={**context.given, "models": {"models": given}})
        opened = open_services(context, providers, progress=progress, worker=worker, idle=idle, steps=steps)
        async with opened as services:
            get = services.container.get
            agent = cls(
                services,
                await get(ThreadGraph),
                await get(Threads),
                await get(RunService),
                await get(Reception),
                editions=await get(Editions),
                engine=await get(AsyncEngine),
            )
            watching = (await get(Supervisor)).watching() if worker else nullcontext()
            joined = (await get(Fleet)).joined() if worker else nullcontext()
            async with watching, joined:
                try:
                    yield agent
                finally:
                    await agent.drain(seconds=0)

    @property
    def container(self) -> AsyncContainer:
        return self._services.container

    @property
    def module_states(self) -> list[ModuleState]:
        """Every module that was found, and what became of it."""
        return self._services.module_states

    @property
    def modules(self) -> list[Module]:
        """The modules that run."""
        return running(self._services.module_states)

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
        return self.runs.draining

    async def begin(self, request: TurnRequest) -> Handle:
        """See `Reception.begin`."""
        return await self._reception.begin(request)

    async def resume(self, principal: Principal, run_id: str, answers: object) -> Handle:
        """See `Reception.resume`."""
        return await self._reception.resume(principal, run_id, answers)

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

    async def change(
        self,
        principal: Principal,
        thread_id: str,
        values: Any,
        *,
        as_node: str | None = None,
        checkpoint_id: str | None = None,
    ) -> RunnableConfig:
        """See `Holding.change`."""
        holding = await self.container.get(Holding)
        made = await holding.change(
            principal, thread_id, values, as_node=as_node, checkpoint_id=checkpoint_id
        )
        (await self.container.get(Signals)).send(topic_of_thread(thread_id))
        return made

    async def plans(self) -> Plans:
        """The runs that callers have planned by the clock."""
        return await self.container.get(Plans)

    async def items(self) -> Items:
        """What clients keep for their users."""
        return await self.container.get(Items)

    async def step(self, part: Part) -> str:
        """The name of the step that is this part of every turn."""
        return (await self.container.get(Steps)).main(part).name

    async def seed(self, principal: Principal, thread_id: str, messages: Sequence[Any]) -> None:
        """See `Holding.seed`."""
        await (await self.container.get(Holding)).seed(principal, thread_id, messages)

    @asynccontextmanager
    async def holding(
        self,
        thread: str,
        *,
        user: str | None = None,
        groups: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
    ) -> AsyncIterator[RunnableConfig]:
        """Hold a thread for the block, to drive `agent.graph` on it oneself; gives the config that names it.

        `async with agent.holding("t1") as config: await agent.graph.ainvoke(None, config)`.
        No run begins on it meanwhile. At the end, transcript and lists agree with its state.

        Args:
            thread: Its id; a new one is made.

        Raises:
            ThreadNotFound: It is somebody else's.
            ThreadBusy: It has a run going.
        """
        principal = local_principal(self.book[AuthSettings], user or "", groups, levels)
        holding = await self.container.get(Holding)
        async with holding.of(principal, thread) as config:
            yield config

    def _request(self, message: str, **options: Unpack[Options]) -> TurnRequest:
        user, groups, levels = options.get("user") or "", options.get("groups"), options.get("levels")
        principal = local_principal(self.book[AuthSettings], user, groups, levels)
        rest: dict[str, Any] = {k: v for k, v in options.items() if k not in _OTHERWISE}
        return TurnRequest(
            principal,
            message,
            files=tuple(options.get("files") or ()),
            thread_id=options.get("thread"),
            choices=Choices.of(options),
            **rest,
        )

    @asynccontextmanager
    async def logging_turns(self) -> AsyncIterator[None]:
        """Inside the block each turn that ends here is a line in the log."""
        bus = await self.container.get(EventBus)
        lines = bus.subscribe(TurnFinished, _log_turn, name="turn_log")
        try:
            yield
        finally:
            bus.unsubscribe(lines)

    async def drain(self, *, seconds: float) -> None:
        """Take no new turns; let the running ones end, and stop them at a checkpoint after `seconds`."""
        await self.runs.drain(seconds=seconds)


async def _log_turn(event: TurnFinished) -> None:
    log.info("turn_ended", status=event.status, code=event.code, ms=event.duration_ms)
