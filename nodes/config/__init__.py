"""Configuration: what the service was told at start, and what a turn may use."""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
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

__getattr__ = names_from(__name__, "errors", "models", "lookup", "manager", "node")
