"""What the registry learns of this module."""

from __future__ import annotations

import asyncio

from dishka import AsyncContainer

from core.health import Health
from core.registry import Module, NodeSpec
from core.settings import Places
from nodes.config.cli import app
from nodes.config.manager import ConfigManager
from nodes.config.provider import ConfigProvider
from nodes.config.settings import SECTIONS
from nodes.config.watch import ConfigWatcher


async def check(container: AsyncContainer) -> Health:
    """Whether the files would still be accepted, and which were read."""
    watcher = await container.get(ConfigWatcher)
    return await watcher.check()


async def start(container: AsyncContainer) -> None:
    """Leave the snapshot that `reload-check` compares with, and watch the files."""
    manager, places = await container.get(ConfigManager), await container.get(Places)
    await asyncio.to_thread(manager.loaded().save, places.home)
    await container.get(ConfigWatcher)


MODULE = Module(
    name="config",
    summary="Settings, checked whole at start, and who may use what in a turn.",
    version="0.1.0",
    command="config",
    cli=app,
    provider=ConfigProvider,
    check=check,
    node=NodeSpec("lookup_config", "nodes.config.node:LookupConfig"),
    sections=SECTIONS,
    start=start,
)
