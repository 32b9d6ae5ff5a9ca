"""What turns run on, for the container: checkpoints, the compiled graph, threads and the driver."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import AsyncIterator
from typing import Any, NewType

from dishka import Provider, Scope, provide
from langgraph.graph.state import CompiledStateGraph
from sqlalchemy.ext.asyncio import AsyncEngine

from core.database import database_url
from core.editions import Editions
from core.events import EventBus
from core.settings import Book, Places
from core.settings.platform import StorageSettings, TelemetrySettings
from graph.builder import Steps, build_graph
from graph.lease import Leases
from graph.saver import opened_saver
from graph.threads import Threads
from graph.transcript import Transcript
from graph.turn import TurnDriver
from nodes.file_storage import FileManager

ThreadGraph = NewType("ThreadGraph", CompiledStateGraph[Any, Any, Any, Any])


class Turns(Provider):
    """Each is made when first asked for: Studio, which brings its own checkpoints, asks for steps only."""

    scope = Scope.APP

    transcript = provide(Transcript)

    @provide
    async def graph(self, steps: Steps, book: Book, places: Places) -> AsyncIterator[ThreadGraph]:
        async with opened_saver(database_url(book[StorageSettings], places)) as saver:
            yield ThreadGraph(build_graph(steps).compile(checkpointer=saver, name="waystation"))

    @provide
    async def leases(self, engine: AsyncEngine) -> AsyncIterator[Leases]:
        leases = Leases(engine)
        async with leases.beating():
            yield leases

    @provide
    def threads(
        self, engine: AsyncEngine, graph: ThreadGraph, transcript: Transcript, files: FileManager
    ) -> Threads:
        return Threads(engine, graph, transcript, files)

    @provide
    def driver(  # noqa: PLR0917 - dishka gives them by type
        self,
        graph: ThreadGraph,
        leases: Leases,
        transcript: Transcript,
        editions: Editions,
        bus: EventBus,
        book: Book,
    ) -> TurnDriver:
        return TurnDriver(
            graph,
            leases,
            transcript,
            editions=editions,
            publish=bus.publish,
            remarks=book[TelemetrySettings].debug_events,
        )
