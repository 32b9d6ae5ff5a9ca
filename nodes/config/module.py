"""What the registry learns of this module."""

from __future__ import annotations

from core.registry import Module, late
from core.steps import Step

MODULE = Module(
    name="config",
    summary="Settings, checked whole at start, and who may use what in a turn.",
    command="config",
    cli="nodes.config.cli:app",
    provider="nodes.config.provider:ConfigProvider",
    service="nodes.config.watch:ConfigWatcher",
    step=Step("lookup_config", "nodes.config.node:LookupConfig", part="config"),
    sections=late("nodes.config.settings:SECTIONS"),
    start="nodes.config.provider:start",
    events=("ConfigRejected", "ConfigReloaded"),
)
