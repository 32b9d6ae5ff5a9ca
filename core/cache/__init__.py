"""Answers kept for a while: in memory, or in a Redis that several processes share."""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from core.cache.cache import Cache
    from core.cache.settings import SECTION, CacheSettings, Kind

__all__ = ["SECTION", "Cache", "CacheSettings", "Kind"]

__getattr__ = names_from(__name__, "settings", "cache")
