"""Section `file_storage` of waystation.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from core.settings import Section, Strict
from nodes.file_storage.models import Origin

WEEK_SECONDS = 7 * 24 * 3600
GIB = 1024**3


class S3Settings(Strict):
    """A bucket on S3, or on anything that speaks its protocol."""

    bucket: str = Field("", description="Name of the bucket.")
    endpoint_url: str = Field(
        "", pattern=r"^(https?://.+)?$", description="Address of the service; empty: AWS."
    )
    region: str = Field("us-east-1", description="Region of the bucket.")
    prefix: str = Field(
        "waystation", pattern=r"^[A-Za-z0-9._/-]*$", description="Start of every object's name."
    )
    access_key_id: SecretStr | None = Field(
        None, description="Empty: as AWS' own tools find it (environment, profile, role)."
    )
    secret_access_key: SecretStr | None = Field(None, description="Belongs to access_key_id.")
    create_bucket: bool = Field(False, description="Create the bucket when it does not exist.")
    direct_links: bool = Field(False, description="Links lead to the bucket itself instead of the service.")
    connections: int = Field(16, ge=1, le=256, description="Threads and connections to the service.")
    connect_seconds: float = Field(3, gt=0, description="Longest wait for a connection.")
    read_seconds: float = Field(
        15, gt=0, description="Longest wait for the next bytes; a bucket that hangs costs a caller this."
    )

    @field_validator("prefix")
    @classmethod
    def _no_outer_slashes(cls, value: str) -> str:
        return value.strip("/")

    @model_validator(mode="after")
    def _both_halves_of_the_key(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together; set both or neither")
        return self


class QuotaSettings(Strict):
    """How much one user may have."""

    files: int = Field(0, ge=0, description="Files; 0 for any number.")
    bytes: int = Field(0, ge=0, description="Bytes of them together; 0 for any number.")


class AttachmentSettings(Strict):
    """What a model is given of the files of a thread."""

    chars: int = Field(
        40_000,
        ge=0,
        le=4_000_000,
        description="Characters of the texts of a thread's files that a model is sent, together; 0: none.",
    )
    files: int = Field(20, ge=0, le=1000, description="Files of a thread that it is shown, the newest ones.")
    image_bytes: int = Field(10_000_000, ge=1000, description="Largest image or PDF that it is sent as such.")
    media_bytes: int = Field(
        20_000_000, ge=1000, description="Bytes of all images and PDFs that it is sent together."
    )
    document_bytes: int = Field(
        50_000_000, ge=1000, description="Largest document, such as a PDF, whose text is taken out."
    )
    document_timeout_s: float = Field(
        60, gt=0, le=3600, description="How long that may take for one document; it is not read then."
    )
    kept_chars: int = Field(
        20_000_000, ge=0, description="Characters of texts that were taken out and are kept in memory."
    )


class FileStorageSettings(Strict):
    """Where files are kept, and how links to them look."""

    backend: Literal["local", "s3"] = Field("local", description="A folder in WAYSTATION_HOME, or a bucket.")
    max_bytes: int = Field(262_144_000, ge=1, le=5 * GIB, description="Largest file, in bytes.")
    user_files: int = Field(10_000, ge=0, description="Files that one user may have; 0 for any number.")
    user_bytes: int = Field(
        50 * GIB, ge=0, description="Bytes that the files of one user may have together; 0 for any number."
    )
    groups: dict[str, QuotaSettings] = Field(
        default_factory=dict,
        description="The same for the users of a group, by its name; of several groups the most counts.",
    )
    link_seconds: int = Field(600, ge=1, le=WEEK_SECONDS, description="How long a download link works.")
    link_base_url: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="Address under which /files/link/... is served; empty: the service's own, for tools on "
        "this machine.",
    )
    link_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs links, at least 32 characters; empty: made once and kept in WAYSTATION_HOME.",
    )
    keep_uploads_days: float = Field(
        0, ge=0, le=36_500, description="Delete uploads that did not change for so many days; 0 keeps them."
    )
    keep_artifacts_days: float = Field(
        0,
        ge=0,
        le=36_500,
        description="Delete files made by tools that did not change for so many days; 0 keeps them.",
    )
    low_disk_bytes: int = Field(
        GIB // 2, ge=0, description="Health is degraded when less disk than this is free."
    )
    s3: S3Settings = Field(default_factory=S3Settings, description="For backend s3.")
    attachments: AttachmentSettings = Field(
        default_factory=AttachmentSettings, description="What models are given of files."
    )

    @property
    def elsewhere(self) -> str:
        """The bucket, or whatever else keeps the files outside of this machine; "" where a folder does."""
        return "" if self.backend == "local" else self.s3.bucket or self.backend

    @property
    def place(self) -> str:
        """What keeps the files, in words for people."""
        return f"the bucket '{self.elsewhere}'" if self.elsewhere else "the folder for files"

    @property
    def keep_days(self) -> dict[Origin, float]:
        """How many days files are kept after their last change, by origin; 0 is for ever."""
        return {"user": self.keep_uploads_days, "tool": self.keep_artifacts_days}

    def quota_of(self, groups: Iterable[str]) -> QuotaSettings:
        """How much a user of these groups may have: the most that one of them allows, or what all may."""
        found = [self.groups[name] for name in groups if name in self.groups]
        if not found:
            return QuotaSettings(files=self.user_files, bytes=self.user_bytes)
        files, sizes = [one.files for one in found], [one.bytes for one in found]
        return QuotaSettings(files=_most(files), bytes=_most(sizes))

    @model_validator(mode="after")
    def _s3_names_a_bucket(self) -> Self:
        if self.backend == "s3" and not self.s3.bucket:
            raise ValueError("backend 's3' needs s3.bucket, the name of a bucket")
        return self


def _most(numbers: Sequence[int]) -> int:
    return 0 if 0 in numbers else max(numbers)


SECTION = Section("file_storage", FileStorageSettings)
SECTIONS = (SECTION,)
