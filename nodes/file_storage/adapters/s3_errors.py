"""What S3 and the way to it may answer, in our words."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as NotConnected

from core.errors import WaystationError
from nodes.file_storage.errors import (
    FileNotFound,
    StorageBusy,
    StorageRefused,
    StorageTimedOut,
    StorageUnavailable,
)

_MISSING = {"404", "NoSuchKey", "NotFound"}
_UNKNOWN_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch"}
_DENIED = {"403", "AccessDenied", "Forbidden", "AllAccessDisabled"}
# What a call does, and the right that it takes, as policies of AWS name it.
_READ, _WRITE, _LIST = (
    ("read files", "s3:GetObject"),
    ("write files", "s3:PutObject"),
    ("list", "s3:ListBucket"),
)
_RIGHTS = {
    **dict.fromkeys(("GetObject", "HeadObject"), _READ),
    **dict.fromkeys(
        ("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"), _WRITE
    ),
    **dict.fromkeys(("DeleteObject", "DeleteObjects"), ("delete files", "s3:DeleteObject")),
    **dict.fromkeys(("ListObjectsV2", "HeadBucket"), _LIST),
    "ListMultipartUploads": ("list unfinished uploads", "s3:ListBucketMultipartUploads"),
    "AbortMultipartUpload": ("remove unfinished uploads", "s3:AbortMultipartUpload"),
    "CreateBucket": ("create a bucket", "s3:CreateBucket"),
}
TOO_MANY = 429
_NOT_IMPLEMENTED = 501


def code_of(error: ClientError) -> str:
    """S3's own word for the failure."""
    return str(error.response.get("Error", {}).get("Code", ""))


def not_done(error: ClientError) -> bool:
    """Whether the service lacks this part of S3's protocol."""
    return _status_of(error) == _NOT_IMPLEMENTED


def translated(error: BotoCoreError | ClientError, *, bucket: str, key: str = "") -> WaystationError:
    """The error that callers of a FileStore expect."""
    if isinstance(error, ClientError):
        return _answered(error, bucket, key)
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return StorageTimedOut(f"bucket '{bucket}' did not answer in time")
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return StorageRefused(
            f"no credentials for bucket '{bucket}'; set file_storage.s3.access_key_id and secret_access_key"
        )
    if isinstance(error, (ResponseStreamingError, IncompleteReadError)):
        return StorageUnavailable(f"bucket '{bucket}' broke off in the middle of a file")
    if isinstance(error, (NotConnected, HTTPClientError)):
        return StorageUnavailable(f"bucket '{bucket}' cannot be reached; see file_storage.s3.endpoint_url")
    return StorageUnavailable(f"bucket '{bucket}' cannot be used: {type(error).__name__}")


def _answered(error: ClientError, bucket: str, key: str) -> WaystationError:
    code, status = code_of(error), _status_of(error)
    if code == "NoSuchBucket" or (code in _MISSING and not key):
        return StorageRefused(
            f"there is no bucket '{bucket}'; create it or set file_storage.s3.create_bucket"
        )
    if code in _MISSING:
        return FileNotFound(f"no file '{key}'")
    if code in _UNKNOWN_KEYS or code in _DENIED:
        return _refused(code, error.operation_name, bucket)
    text = f"bucket '{bucket}' answered {code or 'an error'}"
    if status == TOO_MANY:
        return StorageBusy(text, retry_after=_retry_after(error))
    # S3 calls a body that came too slowly a client's error; it says nothing of the request.
    refused = TOO_MANY > status >= 400 and code != "RequestTimeout"
    # What speaks a part of S3's protocol says so of the rest, today and tomorrow: no outage.
    if refused or not_done(error):
        return StorageRefused(text)
    return StorageUnavailable(text, retry_after=_retry_after(error))


def _refused(code: str, operation: str, bucket: str) -> StorageRefused:
    """Keys that are not known, or may not do this."""
    if code in _UNKNOWN_KEYS:
        return StorageRefused(f"bucket '{bucket}' refuses our credentials ({code})")
    does, right = _RIGHTS.get(operation, (operation, f"s3:{operation}"))
    # Keys that may not list are told this also of a file that is not there.
    also = f" and {_LIST[1]}" if operation in {"GetObject", "HeadObject", "CopyObject"} else ""
    return StorageRefused(f"bucket '{bucket}' does not let our keys {does}; give them {right}{also}")


def _status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _retry_after(error: ClientError) -> float | None:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):  # none, or a date, which nobody sends here
        return None
