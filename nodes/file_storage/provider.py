"""Builds the services of this module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from dishka import Provider, Scope, provide

from core.errors import ConfigInvalid
from core.events import EventBus
from core.installed import is_missing, needs
from core.resilience import Policies
from core.settings import Book, Places
from nodes.file_storage.adapters.local import LocalStore
from nodes.file_storage.attached import AttachedFiles
from nodes.file_storage.library import Library
from nodes.file_storage.links import FixedHost, LazyHost, LinkSigner
from nodes.file_storage.manager import FileManager
from nodes.file_storage.node import StoreFiles
from nodes.file_storage.ports import DocumentReader, FileStore, LinkHost
from nodes.file_storage.readers import opened_reader
from nodes.file_storage.settings import FileStorageSettings


class FileStorageProvider(Provider):
    """The store, links, what reads files, FileManager and the node, by the settings."""

    scope = Scope.APP

    @provide
    async def store(self, book: Book, places: Places, policies: Policies) -> AsyncIterator[FileStore]:
        settings = book[FileStorageSettings]
        store = STORES[settings.backend](settings, places, policies)
        try:
            yield store
        finally:
            await store.aclose()

    @provide
    def signer(self, book: Book, places: Places) -> LinkSigner:
        secret = book[FileStorageSettings].link_secret
        return LinkSigner(secret.get_secret_value() if secret else places.home / "secrets" / "link.key")

    @provide
    async def host(self, book: Book, store: FileStore, signer: LinkSigner) -> AsyncIterator[LinkHost]:
        host = _host(book[FileStorageSettings], store, signer)
        try:
            yield host
        finally:
            await host.aclose()

    @provide
    def files(
        self, book: Book, store: FileStore, signer: LinkSigner, host: LinkHost, bus: EventBus
    ) -> FileManager:
        settings = book[FileStorageSettings]
        return FileManager(store, signer=signer, host=host, settings=settings, publish=bus.publish)

    @provide
    async def reader(self, book: Book) -> AsyncIterator[DocumentReader]:
        async with opened_reader(book[FileStorageSettings].attachments) as reader:
            yield reader

    @provide
    async def library(self, files: FileManager, reader: DocumentReader, book: Book) -> AsyncIterator[Library]:
        library = Library(files, reader, book[FileStorageSettings].attachments)
        try:
            yield library
        finally:
            await library.aclose()

    @provide
    def attached(self, files: FileManager, library: Library, book: Book) -> AttachedFiles:
        return AttachedFiles(files, library, book[FileStorageSettings].attachments)

    node = provide(StoreFiles)


def _folder(_: FileStorageSettings, places: Places, __: Policies) -> FileStore:
    return LocalStore(places.home / "files")


def _bucket(settings: FileStorageSettings, _: Places, policies: Policies) -> FileStore:
    # boto3 takes a third of a second to import; only those who use it wait for it.
    try:
        from nodes.file_storage.adapters.s3 import S3StorageClient  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if not is_missing(error, "boto3", "botocore"):
            raise
        raise ConfigInvalid(needs("file_storage.backend: s3", "s3")) from None

    return S3StorageClient(settings.s3, policies=policies)


STORES: Mapping[str, Callable[[FileStorageSettings, Places, Policies], FileStore]] = {
    "local": _folder,
    "s3": _bucket,
}
"""What each word of `backend` stands for."""


def _host(settings: FileStorageSettings, store: FileStore, signer: LinkSigner) -> LinkHost:
    if settings.link_base_url:
        return FixedHost(settings.link_base_url)

    def made() -> LinkHost:
        # A service gives its own address instead (`server.serve`); who has none starts a web server,
        # which takes a tenth of a second to import.
        from nodes.file_storage.adapters.link_server import LinkServer  # noqa: PLC0415

        return LinkServer(store, signer)

    return LazyHost(made)
