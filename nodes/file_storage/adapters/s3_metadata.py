"""What we know of a file, as metadata of its object: ASCII only, 2 KB at most."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

import orjson

from nodes.file_storage.models import FileInfo, as_origin
from nodes.file_storage.naming import DEFAULT_MEDIA_TYPE

# S3's limit is 2048 bytes for all names and values together.
MOST_BYTES = 2000


def metadata_of(info: FileInfo) -> dict[str, str]:
    """`info` without what the object itself knows."""
    found = {
        "name": quote(info.name, safe=""),
        "sha256": info.etag,
        "created": info.created.isoformat(),
        "origin": info.origin,
    }
    if info.thread is not None:
        found["thread"] = info.thread
    if info.tags:
        # Shorter than percent signs, so that long names and tags fit together.
        found["tags"] = urlsafe_b64encode(orjson.dumps(dict(info.tags))).decode()
    # The object's name tells owners apart but does not name them. Last, as the one that may be left out.
    owner = urlsafe_b64encode(info.owner.encode("utf-8", "surrogatepass")).decode()
    if len("owner" + owner) + sum(len(name + value) for name, value in found.items()) <= MOST_BYTES:
        found["owner"] = owner
    return found


def is_ours(head: Mapping[str, Any]) -> bool:
    """Whether we stored the object, by an answer to HEAD."""
    found: Mapping[str, str] = head.get("Metadata", {})
    return {"sha256", "created", "origin"} <= found.keys()


def info_from_head(owner: str | None, key: str, head: Mapping[str, Any]) -> FileInfo:
    """The file behind an answer to HEAD; objects that others put there get plain values.

    Args:
        owner: Whose it is; None: as it says itself, "" where it does not.
    """
    found: Mapping[str, str] = head.get("Metadata", {})
    created = found.get("created")
    return FileInfo(
        key=key,
        name=unquote(found.get("name", key)),
        size=int(head["ContentLength"]),
        media_type=str(head.get("ContentType") or DEFAULT_MEDIA_TYPE),
        etag=found.get("sha256") or str(head.get("ETag", "")).strip('"'),
        created=datetime.fromisoformat(created) if created else head["LastModified"],
        origin=as_origin(found.get("origin")),
        thread=found.get("thread"),
        tags=orjson.loads(urlsafe_b64decode(found["tags"])) if "tags" in found else {},
        owner=_owner_in(found) if owner is None else owner,
    )


def _owner_in(metadata: Mapping[str, str]) -> str:
    return urlsafe_b64decode(metadata.get("owner", "")).decode("utf-8", "surrogatepass")
