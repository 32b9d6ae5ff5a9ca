"""A part of a bucket for another module, with the address and the credentials of `file_storage.s3`."""

from __future__ import annotations

from core.errors import ConfigInvalid
from core.installed import is_missing, needs
from core.objects import Objects
from core.resilience import Policies
from core.settings import Context, read_book
from nodes.file_storage.settings import SECTIONS, FileStorageSettings


def lend(url: str, *, context: Context, policies: Policies) -> Objects:
    """The objects below `s3://bucket/prefix`; the backend of files need not be a bucket.

    Raises:
        ConfigInvalid: The package for it is missing.
        ConfigErrors: The section `file_storage` is not valid.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    settings = read_book(SECTIONS, (), context, partial=True)[FileStorageSettings].s3
    try:
        from nodes.file_storage.adapters.s3_bucket import Bucket  # noqa: PLC0415 - boto3 is slow
        from nodes.file_storage.adapters.s3_objects import S3Objects  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if not is_missing(error, "boto3", "botocore"):
            raise
        raise ConfigInvalid(needs("an index in a bucket", "s3")) from None

    own = settings.model_copy(update={"bucket": bucket})
    return S3Objects(Bucket(own, policies), prefix.strip("/"))
