"""What S3 and the way to it may answer, in our words."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as NotConnected

from core.errors import WaystationError
from nodes.file_storage.errors import FileNotFound, StorageTimedOut, StorageUnavailable

_MISSING = {"404", "NoSuchKey", "NotFound"}
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"}


def code_of(error: ClientError) -> str:
    """S3's own word for the failure."""
    return str(error.response.get("Error", {}).get("Code", ""))


def translated(error: BotoCoreError | ClientError, *, bucket: str, key: str = "") -> WaystationError:
    """The error that callers of a FileStore expect."""
    if isinstance(error, ClientError):
        return _answered(code_of(error), bucket, key)
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return StorageTimedOut(f"bucket '{bucket}' did not answer in time")
    if isinstance(error, NoCredentialsError):
        return StorageUnavailable(
            f"no credentials for bucket '{bucket}'; set file_storage.s3.access_key_id and secret_access_key"
        )
    if isinstance(error, (NotConnected, HTTPClientError)):
        return StorageUnavailable(f"bucket '{bucket}' cannot be reached; see file_storage.s3.endpoint_url")
    return StorageUnavailable(f"bucket '{bucket}' cannot be used: {type(error).__name__}")


def _answered(code: str, bucket: str, key: str) -> WaystationError:
    if code == "NoSuchBucket" or (code in _MISSING and not key):
        return StorageUnavailable(
            f"there is no bucket '{bucket}'; create it or set file_storage.s3.create_bucket"
        )
    if code in _MISSING:
        return FileNotFound(f"no file '{key}'")
    if code in _REFUSED:
        return StorageUnavailable(f"bucket '{bucket}' refuses our credentials ({code})")
    return StorageUnavailable(f"bucket '{bucket}' answered {code or 'an error'}")
