"""Answers kept for a while: in memory, or in a Redis that several processes share."""

from core.cache.cache import Cache
from core.cache.settings import SECTION, CacheSettings, Kind

__all__ = ["SECTION", "Cache", "CacheSettings", "Kind"]
