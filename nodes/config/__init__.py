"""Configuration: what the service was told at start, and what a turn may use."""

from nodes.config.errors import UnknownModel, UnknownPart, UnknownSource, UnknownTool
from nodes.config.lookup import ConfigLookup
from nodes.config.manager import ConfigManager
from nodes.config.models import TurnConfig
from nodes.config.node import LookupConfig

__all__ = [
    "ConfigLookup",
    "ConfigManager",
    "LookupConfig",
    "TurnConfig",
    "UnknownModel",
    "UnknownPart",
    "UnknownSource",
    "UnknownTool",
]
