"""The sections of waystation.yaml that belong to the service as a whole; this module answers for them."""

from __future__ import annotations

from core.settings.platform import SECTIONS, LimitSettings

__all__ = ["SECTIONS", "LimitSettings"]
