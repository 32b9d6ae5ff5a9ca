"""The module as the registry and the container see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.container import open_module
from core.errors import ConfigInvalid
from core.settings import Context, Places
from nodes.llm import CallModel, EmptyToolbox, Toolbox
from nodes.llm.module import MODULE


def context(folder: Path, **llm: object) -> Context:
    return Context(Places(folder, folder), {}, {"llm": llm})


async def test_the_container_gives_the_step_and_health(tmp_path: Path) -> None:
    container = open_module(MODULE, context(tmp_path))
    await MODULE.open(container)
    assert isinstance(await container.get(CallModel), CallModel)
    assert isinstance(await container.get(Toolbox), EmptyToolbox)
    assert (await MODULE.health(container)).state == "healthy"
    await container.close()


async def test_a_wrong_default_is_said_at_start(tmp_path: Path) -> None:
    container = open_module(MODULE, context(tmp_path, default_model="nope"))
    with pytest.raises(ConfigInvalid, match="nope"):
        await MODULE.open(container)
    await container.close()
