"""Files of the caller."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from server.shapes.form import Time


class StoredFile(TypedDict):
    """A file. `key` goes into `input.files` of a turn."""

    key: str
    filename: str
    size: Annotated[int, Field(description="Bytes.")]
    content_type: str
    last_modified: Time
    etag: str
    tags: dict[str, str]
    file_type: Annotated[Literal["user", "tool"], Field(description="Who made it.")]
    thread_id: str | None


class ListedFile(StoredFile):
    """A file, with its place in the list."""

    cursor: str


class FileHit(StoredFile):
    """A file whose text has to do with the words, and its best place."""

    where: str
    text: str
    score: float


class FileHits(TypedDict):
    """What was found; `left_out` are files that could not be read."""

    hits: list[FileHit]
    searched: int
    left_out: int


class UploadRequest(TypedDict):
    """The request that sends the content, with exactly these headers, within `seconds`."""

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    seconds: int


class DirectUploadBegun(TypedDict):
    """How to send a file to the bucket itself."""

    key: str
    upload: UploadRequest


class FilePreview(TypedDict):
    """The beginning of a file, where it is a text; `cut` where there is more."""

    kind: Literal["text", "image", "none"]
    media_type: str
    size: int
    content: str
    cut: bool
