"""The sections of waystation.yaml that belong to the service as a whole; this module answers for them."""

from __future__ import annotations

from pydantic import Field

from core.sections import SECTIONS as PLATFORM
from core.settings import Section, Strict
from core.settings.platform import LimitSettings

__all__ = ["SECTIONS", "LimitSettings", "ReloadSettings"]


class ReloadSettings(Strict):
    """How a running service takes over changed files: models, sources, servers and limits."""

    watch: bool = Field(True, description="Take over changed files; false: only at a restart.")
    quiet_s: float = Field(
        0.1, gt=0, le=10, description="Seconds without a further change before the files are read."
    )
    every_s: float = Field(
        5, ge=0.1, le=3600, description="Seconds between looks where no file system tells of changes."
    )


SECTIONS = (*PLATFORM, Section("reload", ReloadSettings))
