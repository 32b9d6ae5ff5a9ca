"""File storage: uploads and artifacts under keys of ours, in a folder or a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from nodes.file_storage.adapters.s3 import S3StorageClient

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


def __getattr__(name: str) -> Any:
    """Import boto3 only for those who ask for the S3 client by name."""
    if name == "S3StorageClient":
        from nodes.file_storage.adapters.s3 import S3StorageClient  # noqa: PLC0415  # boto3 is slow to import

        return S3StorageClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
