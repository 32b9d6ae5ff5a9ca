"""Where one module's port meets another module's service; modules do not know each other."""

# No `from __future__ import annotations`: dishka reads the annotations at run time.

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from dishka import AsyncContainer, Provider, Scope, provide
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal
from core.task_queue import TaskQueue
from graph.flow.routing import AfterModel
from graph.runs.receipts import StoredReceipts
from graph.wiring.attachments import FileTools, ThreadAttachments
from graph.wiring.rewriting import ModelRewriter
from nodes.config.ports import ModelCatalogue, ServerCatalogue, SourceCatalogue
from nodes.file_storage import FileManager
from nodes.file_storage.attached import AttachedFiles
from nodes.llm import LLMCaller
from nodes.llm.ports import Attachments, Toolbox
from nodes.mcp_tools import MCPToolManager
from nodes.mcp_tools.ports import FileLinks, OwnTools, Receipts
from nodes.rag import RAGClient
from nodes.rag.ports import IndexQueue, Rewriter
from nodes.rag.tasks import INDEX, IndexSource


class Models(Provider):
    """What no turn goes without.

    Args:
        tools: Whether tools run here.
    """

    scope = Scope.APP

    def __init__(self, *, tools: bool) -> None:
        super().__init__()
        self._tools = tools

    @provide(override=True)
    def attachments(self, files: AttachedFiles) -> Attachments:
        return ThreadAttachments(files, tools=self._tools)

    @provide(override=True)
    def models(self, llm: LLMCaller) -> ModelCatalogue:
        return llm

    after_model = provide(AfterModel)


class Sources(Provider):
    """With retrieval."""

    scope = Scope.APP

    @provide(override=True)
    def sources(self, rag: RAGClient) -> SourceCatalogue:
        return rag

    @provide(override=True)
    def rewriter(self, llm: LLMCaller) -> Rewriter:
        return ModelRewriter(llm)


class IndexingByQueue(Provider):
    """In a process of a service: sources whose entries change are indexed by whoever runs its tasks."""

    scope = Scope.APP

    @provide(override=True)
    def later(self, container: AsyncContainer) -> IndexQueue:
        return QueuedIndexing(lambda: container.get(TaskQueue))


class Tools(Provider):
    """With tool servers."""

    scope = Scope.APP

    @provide(override=True)
    def servers(self, mcp: MCPToolManager) -> ServerCatalogue:
        return mcp

    @provide(override=True)
    def toolbox(self, mcp: MCPToolManager) -> Toolbox:
        return mcp

    @provide(override=True)
    def links(self, files: FileManager) -> FileLinks:
        return StoredFileLinks(files)

    @provide(override=True)
    def own(self, files: AttachedFiles) -> OwnTools:
        return FileTools(files)

    @provide(override=True)
    def receipts(self, container: AsyncContainer) -> Receipts:
        return StoredReceipts(partial(container.get, AsyncEngine))


class StoredFileLinks:
    """Gives tools a signed link to a file of the thread."""

    def __init__(self, files: FileManager) -> None:
        self._files = files

    async def link(self, key: str, *, principal: Principal) -> str:
        return await self._files.link(principal, key)


class QueuedIndexing:
    """Leaves indexing to the task queue, where it is tried again, survives a restart and can be watched.

    Args:
        queue: Gives the queue, when there is something to index: it may open,
            and run tasks, only after every module has started.
    """

    def __init__(self, queue: Callable[[], Awaitable[TaskQueue]]) -> None:
        self._queue = queue

    async def index(self, source: str) -> bool:
        queue = await self._queue()
        await queue.add(INDEX, IndexSource(source=source), owner=queue.system, key=source)
        return True


def bridges(names: Iterable[str], *, worker: bool = False) -> list[Provider]:
    """The bridges between the modules that run; a port without one keeps its module's own answer.

    Args:
        worker: Whether this process belongs to a service that runs background
            tasks. A command or a notebook does not: nobody may ever run what it queues.
    """
    running = set(names)
    found: list[Provider] = [Models(tools="mcp_tools" in running)]
    if "rag" in running:
        found.append(Sources())
        if worker:
            found.append(IndexingByQueue())
    if "mcp_tools" in running:
        found.append(Tools())
    return found
