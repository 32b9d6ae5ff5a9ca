"""What the registry learns of this module."""

from __future__ import annotations

import asyncio

from dishka import AsyncContainer

from core.health import Health
from core.registry import Module
from core.settings import Places
from nodes.config.cli import app
from nodes.config.manager import ConfigManager
from nodes.config.provider import ConfigProvider
from nodes.config.settings import SECTIONS


async def check(container: AsyncContainer) -> Health:
    """Whether the files would still be accepted, and which were read."""
    manager = await container.get(ConfigManager)
    return await manager.check()


async def start(container: AsyncContainer) -> None:
    """Leave the snapshot that `reload-check` compares with."""
    manager, places = await container.get(ConfigManager), await container.get(Places)
    await asyncio.to_thread(manager.loaded().save, places.home)


MODULE = Module(
    name="config",
    summary="Settings, checked whole at start, and who may use what in a turn.",
    version="0.1.0",
    command="config",
    cli=app,
    provider=ConfigProvider,
    check=check,
    sections=SECTIONS,
    start=start,
)
