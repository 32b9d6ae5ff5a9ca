"""Builds the services of this module from the settings."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx
from dishka import AsyncContainer, Provider, Scope, provide

from core.cache import Cache
from core.events import EventBus
from core.lifecycle import StartProgress
from core.objects import Objects, lend_objects
from core.observability import never_log
from core.resilience import Policies
from core.settings import Book, Places
from core.settings.book import Editions
from core.tool_bench import lend_server
from nodes.rag.adapters.bundled import NEARNESS, BundledEmbedder, installed
from nodes.rag.adapters.embeddings import EndpointEmbedder
from nodes.rag.adapters.http import HttpRetriever
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.adapters.mcp import McpRetriever
from nodes.rag.adapters.rerank import EndpointReranker
from nodes.rag.client import RAGClient
from nodes.rag.embedding import QuestionEmbedder, at_most
from nodes.rag.endpoints import EmbedderEntry, RerankerEntry
from nodes.rag.followups import FollowUps, NobodyRewrites
from nodes.rag.former import adopt
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import IndexPlace, ManifestFile, PlacedStore, index_name
from nodes.rag.models import Progress
from nodes.rag.node import Retrieve
from nodes.rag.ports import ChunkStore, IndexQueue, Retriever, Rewriter, VectorStore
from nodes.rag.reading import TextCache
from nodes.rag.rebuilding import Rebuilding
from nodes.rag.rights import Rights
from nodes.rag.settings import HttpSource, LocalSource, RagSettings, SourceEntry, SourcesFile
from nodes.rag.shared.index import SharedIndex
from nodes.rag.shared.lease import holder_of
from nodes.rag.source import Source, SourceCalls, policy_of
from nodes.rag.upkeep import NoIndexQueue
from nodes.rag.vectors import VectorFiller
from nodes.rag.views import Views


class RagProvider(Provider):
    """The retrieval client, with one kept HTTP client for all remote sources."""

    scope = Scope.APP

    @provide
    def later(self) -> IndexQueue:
        return NoIndexQueue()

    @provide
    def bundled(self) -> Iterator[BundledEmbedder]:
        embedder = BundledEmbedder()
        yield embedder
        embedder.close()

    @provide
    async def client(  # noqa: PLR0917 - dishka gives them by type
        self,
        editions: Editions,
        book: Book,
        places: Places,
        policies: Policies,
        cache: Cache,
        bus: EventBus,
        later: IndexQueue,
        bundled: BundledEmbedder,
    ) -> AsyncIterator[RAGClient]:
        settings = book[RagSettings]
        async with AsyncExitStack() as stack:
            folder = LanceFolder(places.home / "index")
            stack.callback(folder.close)
            lend = partial(lend_objects, settings.index, context=book.context, policies=policies)
            workshop = _Workshop(folder, settings, policies, places.home, bundled, lend, cache)
            stack.push_async_callback(workshop.aclose)
            sources = await stack.enter_async_context(editions.part("sources", workshop.sources))
            calls = SourceCalls(settings, policies=policies, cache=cache)
            client = RAGClient(sources, settings, calls=calls, publish=bus.publish, later=later)
            stack.push_async_callback(client.aclose)
            yield client

    @provide
    def rewriter(self) -> Rewriter:
        return NobodyRewrites()

    @provide
    def follow_ups(self, book: Book, rewriter: Rewriter) -> FollowUps:
        return FollowUps(book[RagSettings], rewriter)

    node = provide(Retrieve)


async def start(container: AsyncContainer) -> None:
    """Index what has changed; then, in the background, open the indexes, which takes seconds, and watch."""
    client, progress = await container.get(RAGClient), await container.get(StartProgress)
    await client.prepare(progress.tell, behind=True)
    client.warm_soon()
    client.watch_soon()
    client.sharing.soon()


class _Workshop:
    """Puts sources together. The HTTP client is made when a source needs it: making one costs 20 ms."""

    def __init__(  # noqa: PLR0917 - one maker calls it
        self,
        folder: LanceFolder,
        settings: RagSettings,
        policies: Policies,
        home: Path,
        bundled: BundledEmbedder,
        lend: Callable[[], Objects],
        cache: Cache,
    ) -> None:
        self._home = home
        self._cache = cache
        self._lend = lend
        self._objects: Objects | None = None
        self.folder = folder
        self.settings = settings
        self._kept = TextCache(folder.path / "texts", most_bytes=settings.kept_text_bytes)
        self._policies = policies
        self._http: httpx.AsyncClient | None = None
        self._bundled = bundled
        self._fillers: dict[str, VectorFiller] = {}

    @property
    def http(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient()
        return self._http

    async def aclose(self) -> None:
        for filler in self._fillers.values():
            await filler.aclose()
        if self._objects is not None:
            self._objects.close()
        if self._http is not None:
            await self._http.aclose()

    async def sources(self, book: Book, before: Mapping[str, Source] | None) -> Mapping[str, Source]:
        """The sources of a book; one whose entry is the same as before stays the same."""
        found = {}
        for name, entry in book[SourcesFile].sources.items():
            for secret in entry.secrets():
                never_log(secret)
            known = before.get(name) if before else None
            found[name] = known if known and known.entry == entry else self.source(name, entry)
        return found

    def source(self, name: str, entry: SourceEntry) -> Source:
        if isinstance(entry, LocalSource):
            return self._local(name, entry)
        if isinstance(entry, HttpSource):
            timeout_s = policy_of(self._policies, name, entry, self.settings).settings.timeout_s
            return Source(entry, HttpRetriever(name, entry, http=self.http, timeout_s=timeout_s))
        open_server = partial(lend_server, name, entry.server, home=self._home)
        return Source(entry, McpRetriever(name, entry, open_server))

    def _local(self, name: str, entry: LocalSource) -> Source:
        flavour, index = entry.embedder.flavour if entry.embedder else "", index_name(name)
        if entry.embedder:
            former = f"{entry.embedder.url} {entry.embedder.model}"
            adopt(self.folder.path, index_name(name, former), index, model=former)
        model = "" if entry.embedder or self.settings.search == "words" else installed()
        place = IndexPlace(self.folder.path, index)
        store = PlacedStore(place, partial(self._opened, name, index, model))
        fill = partial(self._fill, name) if model else None
        manifest = ManifestFile(self.folder.path, index)
        indexer = Indexer(
            name,
            entry.patterns,
            store=store,
            manifest=manifest,
            chunk_tokens=entry.chunk_tokens or self.settings.chunk_tokens,
            max_file_bytes=self.settings.max_file_bytes,
            max_document_bytes=self.settings.max_document_bytes,
            document_seconds=self.settings.document_timeout_s,
            embedder=self._endpoint(name, entry.embedder),
            language=entry.language,
            kept=self._kept,
            rebuilding=Rebuilding(store, fill=fill).run,
            model=None if self.settings.search == "words" else flavour,
        )
        questions = self._questions(name, entry.embedder, indexer.manifest)
        make = partial(
            LocalRetriever,
            name,
            min_score=self.settings.min_score,
            embedder=self._bundled if model else questions,
            nearness=NEARNESS if model else None,
            judge=self._bundled if model else None,
            reranker=self._reranker(name, entry.reranker),
            languages=partial(indexer.manifest.languages, entry.language),
            by=self.settings.search,
            synonyms=entry.synonyms,
            behind=entry.behind,
            comparable=partial(_comparable, indexer, store),
            differs=indexer.differs,
        )
        filler = self._filler(name, index, store) if model else None
        views = _views(entry, store, indexer, lambda seen: make(store=seen, own_weights=True))
        shared = self._shared(name, place, indexer.manifest)
        return Source(entry, make(store=store), indexer, store, filler, views, shared, questions)

    def _shared(self, name: str, place: IndexPlace, manifest: ManifestFile) -> SharedIndex | None:
        if not self.settings.index:
            return None
        if self._objects is None:
            self._objects = self._lend()
        return SharedIndex(
            name,
            self._objects.below(place.name),
            place=place,
            manifest=manifest,
            holder=holder_of(self.folder.path, socket.gethostname()),
            may_write=self.settings.index_role == "write",
        )

    def _opened(
        self, name: str, index: str, model: str, folder: Path
    ) -> tuple[VectorStore, Callable[[], None]]:
        """The index in a folder; what stands in the folder of all shares one connection."""
        own = self.folder if folder == self.folder.path else LanceFolder(folder)
        store = LanceStore(own, index, model=model, changed=lambda: self._woken(name))
        return store, (lambda: None) if own is self.folder else own.close

    async def _fill(self, name: str, store: VectorStore, folder: Path, progress: Progress | None) -> None:
        await VectorFiller(name, store=store, embedder=self._bundled, lock=folder / "lock").fill(progress)

    def _filler(self, name: str, index: str, store: VectorStore) -> VectorFiller:
        before = self._fillers.get(name)
        if before is not None:
            before.stop()
        lock = self.folder.path / f"{index}.vectors.lock"
        filler = self._fillers[name] = VectorFiller(name, store=store, embedder=self._bundled, lock=lock)
        return filler

    def _woken(self, name: str) -> None:
        if name in self._fillers:
            self._fillers[name].wake()

    def _endpoint(self, name: str, entry: EmbedderEntry | None) -> EndpointEmbedder | None:
        """For an indexing, which waits for each batch."""
        if entry is None or self.settings.search == "words":
            return None
        policy = self._policies.of("source", name, timeout_s=entry.timeout_s)
        return EndpointEmbedder(entry, http=self.http, policy=policy)

    def _questions(
        self, name: str, entry: EmbedderEntry | None, manifest: ManifestFile
    ) -> QuestionEmbedder | None:
        if entry is None or self.settings.search == "words":
            return None
        seconds = at_most(entry.question_timeout_s, of=self.settings.timeout_s)
        return QuestionEmbedder(
            EndpointEmbedder(entry, http=self.http, purpose="question"),
            policy=self._policies.of("source", name, timeout_s=seconds),
            seconds=seconds,
            cache=self._cache,
            key=lambda: (
                name,
                entry.flavour,
                entry.wish("question").model_dump_json(),
                manifest.generation(),
            ),
        )

    def _reranker(self, name: str, entry: RerankerEntry | None) -> EndpointReranker | None:
        if entry is None:
            return None
        seconds = at_most(entry.timeout_s, of=self.settings.timeout_s)
        policy = self._policies.of("other", f"reranker of {name}", timeout_s=seconds, attempts=1)
        return EndpointReranker(name, entry, http=self.http, policy=policy)


def _comparable(indexer: Indexer, store: PlacedStore) -> bool:
    """Whether the vectors of the index that is asked are of the model of now.

    A search may have begun in an index whose place another one has taken since: the manifest is of that one.
    """
    of_model = indexer.comparable
    return of_model and store.edition() == str(store.place.now())


def _views(
    entry: LocalSource, store: ChunkStore, indexer: Indexer, make: Callable[[ChunkStore], Retriever]
) -> Views | None:
    if not entry.access.rules:
        return None
    rights = Rights(entry.access.rules, indexer.roots, indexer.manifest.root_of)
    return Views(rights, store=store, manifest=indexer.manifest, make=make)
