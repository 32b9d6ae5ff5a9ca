"""What turns run on, for the container: checkpoints, the compiled graph, threads and the driver."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import AsyncIterator
from typing import Any, NewType

from dishka import AsyncContainer, Provider, Scope, provide
from langgraph.graph.state import CompiledStateGraph
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database.engine import database_url
from core.editions import Editions
from core.events import EventBus
from core.settings import Book, Places
from core.settings.platform import StorageSettings, TelemetrySettings, ThreadSettings
from core.signals import Signals, opened_signals
from graph.checkpoints.saver import opened_saver
from graph.flow.builder import Steps, build_graph
from graph.flow.window import Window
from graph.runs.events.follow import topic_of
from graph.runs.events.store import EventStore
from graph.runs.events.writer import EventWriter
from graph.runs.lease import Leases
from graph.runs.ledger import RunLedger
from graph.runs.totals import ThreadTotals
from graph.service.holding import Holding
from graph.service.reception import Reception
from graph.service.run_service import Runs
from graph.service.run_webhooks import RunWebhooks
from graph.service.supervisor import Supervisor
from graph.threads.threads import Threads
from graph.threads.transcript import Transcript
from graph.turn.driver import TurnDriver
from graph.turn.ending import Endings
from graph.turn.opening import Opening
from graph.turn.repair import Repair
from nodes.file_storage import FileManager

ThreadGraph = NewType("ThreadGraph", CompiledStateGraph[Any, Any, Any, Any])


class Turns(Provider):
    """Each is made when first asked for: Studio, which brings its own checkpoints, asks for steps only."""

    scope = Scope.APP

    transcript = provide(Transcript)
    events = provide(EventStore)
    totals = provide(ThreadTotals)
    endings = provide(Endings)
    supervisor = provide(Supervisor)
    reception = provide(Reception)

    @provide
    def ledger(self, engine: AsyncEngine, leases: Leases, totals: ThreadTotals) -> RunLedger:
        return RunLedger(engine, leases, totals)

    @provide
    async def graph(self, steps: Steps, book: Book, places: Places) -> AsyncIterator[ThreadGraph]:
        async with opened_saver(database_url(book[StorageSettings], places)) as saver:
            graph = build_graph(steps, Window.of(book[ThreadSettings]))
            compiled = graph.compile(checkpointer=saver, name="waystation")
            saver.serve(compiled)
            yield ThreadGraph(compiled)

    @provide
    async def leases(self, engine: AsyncEngine) -> AsyncIterator[Leases]:
        leases = Leases(engine)
        async with leases.beating():
            yield leases

    @provide
    async def signals(self, book: Book, places: Places) -> AsyncIterator[Signals]:
        async with opened_signals(database_url(book[StorageSettings], places), places) as signals:
            yield signals

    @provide
    async def writer(self, engine: AsyncEngine, signals: Signals) -> AsyncIterator[EventWriter]:
        writer = EventWriter(engine, told=lambda run_id: signals.send(topic_of(run_id)))
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
        leases: Leases,
        driver: TurnDriver,
        endings: Endings,
        events: EventStore,
        signals: Signals,
        editions: Editions,
        container: AsyncContainer,
    ) -> AsyncIterator[Runs]:
        ended = RunWebhooks(container).deliver
        runs = Runs(ledger, leases, driver, endings, events, signals, editions, ended=ended)
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
            told=writer.behind,
            remarks=book[TelemetrySettings].debug_events,
        )
