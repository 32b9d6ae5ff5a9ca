"""What the registry learns of this module."""

from __future__ import annotations

from core.registry import Module, late
from core.steps import Step

MODULE = Module(
    name="file_storage",
    summary="Uploads and artifacts, in a folder or a bucket.",
    command="files",
    cli="nodes.file_storage.cli:app",
    provider="nodes.file_storage.provider:FileStorageProvider",
    service="nodes.file_storage.manager:FileManager",
    step=Step("store_files", "nodes.file_storage.node:StoreFiles", part="files"),
    sections=late("nodes.file_storage.settings:SECTIONS"),
    objects="nodes.file_storage.lending:lend",
    tasks=late("nodes.file_storage.tasks:TASKS"),
    events=("FileDeleted", "FileUploaded"),
)
