"""What turns run on, for the container: checkpoints, the compiled graph, threads and the driver."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import AsyncIterator, Iterator
from typing import Any, NewType

from dishka import AsyncContainer, Provider, Scope, provide
from langgraph.graph.state import CompiledStateGraph
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.database.engine import StoreEngine, database_url, listening_url
from core.events import EventBus
from core.events.webhooks import TASK, DeliverWebhook
from core.settings import Book, Places
from core.settings.book import Editions
from core.settings.platform import ServerSettings, StorageSettings, TelemetrySettings, ThreadSettings
from core.settings.roles import Duty
from core.signals import Signals, opened_signals
from core.task_queue import TaskQueue
from graph.checkpoints.saver import opened_saver
from graph.db.database import writer_of
from graph.flow.builder import build_graph, looking_steps
from graph.flow.routing import AfterModel, Window
from graph.flow.steps import Steps
from graph.runs.claims import Claims
from graph.runs.events import EventStore
from graph.runs.lease import Leases
from graph.runs.ledger import RunLedger
from graph.runs.lookup import LiveRuns, RunLookup
from graph.runs.rows import ThreadTotals
from graph.runs.streams import EventWriter, Follower
from graph.runs.tails import Mirrors, Tails
from graph.service.fleet import Fleet
from graph.service.holding import Holding
from graph.service.items import Items
from graph.service.plans import Plans
from graph.service.reception import Reception
from graph.service.run_service import RunService
from graph.service.supervisor import Supervisor
from graph.threads.threads import Threads
from graph.threads.transcript import Transcript
from graph.turn.attempt import Endings, Opening
from graph.turn.driver import TurnDriver
from graph.turn.repair import Repair
from nodes.file_storage import FileManager

ThreadGraph = NewType("ThreadGraph", CompiledStateGraph[Any, Any, Any, Any])


class TurnProvider(Provider):
    """Each is made when first asked for: Studio, which brings its own checkpoints, asks for steps only.

    Args:
        serves: This process is a part of the service, with a duty by its settings: see `Duty`.
    """

    scope = Scope.APP

    def __init__(self, *, serves: bool = False) -> None:
        super().__init__()
        self._serves = serves

    transcript = provide(Transcript)
    events = provide(EventStore)
    totals = provide(ThreadTotals)
    endings = provide(Endings)
    supervisor = provide(Supervisor)
    reception = provide(Reception)
    plans = provide(Plans)
    items = provide(Items)
    claims = provide(Claims)
    fleet = provide(Fleet)

    @provide
    def duty(self, book: Book) -> Duty:
        return Duty.of(book[ServerSettings], serves=self._serves)

    @provide
    def lookup(self, engine: AsyncEngine, leases: Leases, duty: Duty) -> RunLookup:
        return RunLookup(engine, leases, tags=duty.columns)

    @provide
    def live(self) -> LiveRuns:
        return LiveRuns()

    @provide
    def ledger(
        self, engine: AsyncEngine, leases: Leases, lookup: RunLookup, totals: ThreadTotals, duty: Duty
    ) -> RunLedger:
        return RunLedger(
            engine, leases, lookup, totals, supervised=duty.looks_after, hands_over=duty.hands_over
        )

    @provide
    async def graph(
        self, engine: AsyncEngine, steps: Steps, after_model: AfterModel, book: Book, places: Places
    ) -> AsyncIterator[ThreadGraph]:
        url = database_url(book[StorageSettings], places)
        session = engine.session if isinstance(engine, StoreEngine) else None
        async with opened_saver(url, writer_of(engine), session=session) as saver:
            graph = build_graph(steps, after_model, Window.of(book[ThreadSettings]))
            compiled = graph.compile(checkpointer=saver, name="waystation")
            saver.serve(compiled, looking_steps(compiled))
            yield ThreadGraph(compiled)

    @provide
    async def leases(self, engine: AsyncEngine, live: LiveRuns) -> AsyncIterator[Leases]:
        leases = Leases(engine, lost=live.lost)
        async with leases.beating():
            yield leases

    @provide
    async def signals(self, book: Book, places: Places) -> AsyncIterator[Signals]:
        settings = book[StorageSettings]
        url, listen = database_url(settings, places), listening_url(settings)
        async with opened_signals(url, places, listen=listen) as signals:
            yield signals

    @provide
    def tails(self, signals: Signals) -> Iterator[Tails]:
        tails = Tails(signals.mail)
        with tails.sending():
            yield tails

    @provide
    def mirrors(self, signals: Signals) -> Iterator[Mirrors]:
        mirrors = Mirrors(signals)
        with mirrors.receiving():
            yield mirrors

    @provide
    async def writer(self, engine: AsyncEngine, signals: Signals, tails: Tails) -> AsyncIterator[EventWriter]:
        writer = EventWriter(engine, signals, tails if signals.mail else None)
        async with writer.running():
            yield writer

    @provide
    def opening(
        self, graph: ThreadGraph, transcript: Transcript, engine: AsyncEngine, files: FileManager
    ) -> Opening:
        return Opening(graph, Repair(graph, transcript, engine), engine, files)

    @provide
    async def runs(  # noqa: PLR0917 - dishka gives them by type
        self,
        ledger: RunLedger,
        claims: Claims,
        lookup: RunLookup,
        live: LiveRuns,
        driver: TurnDriver,
        events: EventStore,
        signals: Signals,
        editions: Editions,
        container: AsyncContainer,
        tails: Tails,
        mirrors: Mirrors,
    ) -> AsyncIterator[RunService]:
        async def deliver(delivery_id: str) -> None:
            # The queue opens only after every module has started. A delivery has one task, its id is the key.
            queue = await container.get(TaskQueue)
            arguments = DeliverWebhook(delivery_id=delivery_id)
            await queue.add(TASK, arguments, key=delivery_id, owner=queue.system)

        follower = Follower(live, events, lookup, signals, mirrors)
        runs = RunService(
            ledger,
            claims,
            lookup,
            live,
            driver,
            follower,
            signals,
            editions,
            tails=tails if signals.mail else None,
            deliver=deliver,
        )
        async with runs.running():
            try:
                yield runs
            finally:
                await runs.drain(seconds=0)

    @provide
    def threads(  # noqa: PLR0917 - dishka gives them by type
        self,
        engine: AsyncEngine,
        graph: ThreadGraph,
        transcript: Transcript,
        files: FileManager,
        leases: Leases,
        totals: ThreadTotals,
    ) -> Threads:
        return Threads(engine, graph, transcript, files, leases, totals=totals)

    @provide
    def holding(self, engine: AsyncEngine, graph: ThreadGraph, leases: Leases) -> Holding:
        return Holding(engine, graph, leases)

    @provide
    def driver(  # noqa: PLR0917 - dishka gives them by type
        self,
        graph: ThreadGraph,
        opening: Opening,
        endings: Endings,
        writer: EventWriter,
        editions: Editions,
        bus: EventBus,
        book: Book,
    ) -> TurnDriver:
        return TurnDriver(
            graph,
            opening,
            endings,
            editions=editions,
            publish=bus.publish,
            behind=writer.behind,
            remarks=book[TelemetrySettings].debug_events,
        )
