from __future__ import annotations

from pathlib import Path

import pytest
from dishka import AsyncContainer, Provider, Scope, provide

from core.cli import make_app
from core.container import build_container, open_module
from core.errors import ConfigInvalid
from core.health import Health, healthy
from core.registry import Module
from core.settings import Book, Places, Section, Strict
from tests.kit.settings import ConfigFolder


class HatSettings(Strict):
    colour: str = "red"


class Felt:
    pass


class Hat:
    def __init__(self, felt: Felt) -> None:
        self.felt = felt


class Left:
    def __init__(self, right: Right) -> None:
        self.right = right


class Right:
    def __init__(self, left: Left) -> None:
        self.left = left


class Label:
    def __init__(self, text: str) -> None:
        self.text = text


class HatProvider(Provider):
    scope = Scope.APP

    @provide
    def label(self, book: Book, places: Places) -> Label:
        return Label(f"{book[HatSettings].colour} hat of {places.home.name}")


async def check(container: AsyncContainer) -> Health:
    return healthy(label=(await container.get(Label)).text)


HATS = Module(
    name="hats",
    summary="",
    version="0.1.0",
    command="hats",
    cli=make_app("hats", ""),
    provider=HatProvider,
    check=check,
    sections=(Section("hats", HatSettings),),
)


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    return ConfigFolder(tmp_path, HATS.sections)


async def test_a_module_opens_alone_with_its_own_section(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "hats: {colour: blue}\nsomebody_elses: {x: 1}\n")
    container = open_module(HATS, folder.context())
    assert (await HATS.health(container)).details == {"label": "blue hat of home"}
    await container.close()


async def test_a_later_provider_wins(folder: ConfigFolder) -> None:
    other = Provider(scope=Scope.APP)
    other.provide(lambda: Label("paper hat"), provides=Label)
    container = open_module(HATS, folder.context(), other)
    assert (await container.get(Label)).text == "paper hat"
    await container.close()


def test_a_missing_dependency_names_who_needs_what(folder: ConfigFolder) -> None:
    hats = Provider(scope=Scope.APP)
    hats.provide(Hat)
    with pytest.raises(ConfigInvalid, match="Hat needs Felt, and no module provides it"):
        build_container([], folder.read()[0], hats)


def test_services_that_need_each_other_are_named(folder: ConfigFolder) -> None:
    both = Provider(scope=Scope.APP)
    both.provide(Left)
    both.provide(Right)
    with pytest.raises(ConfigInvalid, match=r"in a circle: (Left, Right|Right, Left)"):
        build_container([], folder.read()[0], both)
