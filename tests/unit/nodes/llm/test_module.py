"""The module as the registry and the container see it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from core.container import open_module
from core.errors import ConfigInvalid
from core.settings import Context, Places
from nodes.llm import CallModel, EmptyToolbox, Model, Toolbox
from nodes.llm.module import MODULE
from nodes.llm.provider import connect
from nodes.llm.settings import Client, LLMSettings, ModelEntry


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


@pytest.mark.parametrize("client", get_args(Client))
async def test_every_client_that_an_entry_may_name_is_made(client: Client) -> None:
    entry = ModelEntry(model_name="m", model_url="http://127.0.0.1:9/v1", client=client)
    made = connect(Model("main", entry), LLMSettings())
    assert callable(made.stream)
    await made.aclose()
