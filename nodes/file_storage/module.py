"""What the registry learns of file storage."""

from __future__ import annotations

from dishka import AsyncContainer

from core.health import Health
from core.registry import Module, NodeSpec
from nodes.file_storage.cli import app
from nodes.file_storage.manager import FileManager
from nodes.file_storage.provider import FileStorageProvider
from nodes.file_storage.settings import SECTION
from nodes.file_storage.tasks import TASKS


async def check(container: AsyncContainer) -> Health:
    """Health of the store behind the container."""
    files = await container.get(FileManager)
    return await files.check()


MODULE = Module(
    name="file_storage",
    summary="Uploads and artifacts, in a folder or a bucket.",
    version="0.1.0",
    command="files",
    cli=app,
    provider=FileStorageProvider,
    check=check,
    node=NodeSpec("store_files", "nodes.file_storage.node:StoreFiles"),
    sections=(SECTION,),
    tasks=TASKS,
)
