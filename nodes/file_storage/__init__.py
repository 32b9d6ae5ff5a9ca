"""File storage: uploads and artifacts under keys of ours, in a folder or a bucket."""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from nodes.file_storage.adapters.s3 import S3StorageClient
    from nodes.file_storage.errors import (
        FileNotFound,
        FileTooLarge,
        InvalidFile,
        LinkExpired,
        LinkInvalid,
        StorageBusy,
        StorageRefused,
        StorageTimedOut,
        StorageUnavailable,
    )
    from nodes.file_storage.events import FileDeleted, FileUploaded
    from nodes.file_storage.manager import FileManager
    from nodes.file_storage.models import FileInfo, OldFile, Usage
    from nodes.file_storage.node import StoreFiles
    from nodes.file_storage.ports import FileStore, LinkHost

__all__ = [
    "FileDeleted",
    "FileInfo",
    "FileManager",
    "FileNotFound",
    "FileStore",
    "FileTooLarge",
    "FileUploaded",
    "InvalidFile",
    "LinkExpired",
    "LinkHost",
    "LinkInvalid",
    "OldFile",
    "S3StorageClient",
    "StorageBusy",
    "StorageRefused",
    "StorageTimedOut",
    "StorageUnavailable",
    "StoreFiles",
    "Usage",
]

__getattr__ = names_from(__name__, "errors", "events", "models", "ports", "manager", "node", "adapters.s3")
