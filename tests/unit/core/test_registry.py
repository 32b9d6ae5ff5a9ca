from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from dishka import make_async_container

from core.errors import ConfigInvalid
from core.health import HealthState
from core.registry import ENTRY_POINTS, Module, discover, files_of, loaded, sections_of
from core.steps import Step

MODULE_PY = """
    from dishka import Provider, Scope
    from pydantic import BaseModel
    from core.cli import make_app
    from core.health import healthy
    from core.registry import Module
    from core.settings import ConfigFile, Section

    class Settings(BaseModel):
        pass

    async def check(container):
        return healthy()

    MODULE = Module(
        name={name!r}, summary="", version="0.1.0", command={command!r}, cli=make_app("x", ""),
        provider=lambda: Provider(scope=Scope.APP), check=check, needs={needs!r},
        sections=(Section({section!r}, Settings),), files=(ConfigFile({kind!r}, ("x.yaml",), Settings),),
    )
"""

Write = Callable[..., None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "parts"
    root.mkdir()
    (root / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [n for n in sys.modules if n == "parts" or n.startswith("parts.")]:
        del sys.modules[name]


@pytest.fixture
def module(package: Path) -> Write:
    def write(folder: str, *, text: str = MODULE_PY, needs: tuple[str, ...] = (), **names: str) -> None:
        (package / folder).mkdir()
        (package / folder / "__init__.py").touch()
        known = {"name": folder, "command": folder, "section": folder, "kind": folder, **names}
        (package / folder / "module.py").write_text(dedent(text.format(needs=needs, **known)))

    return write


def test_modules_are_found_dependencies_first(module: Write) -> None:
    module("a", needs=("z",))
    module("m")
    module("z")
    found = discover("parts")
    assert [m.name for m in found] == ["m", "z", "a"]
    assert [s.name for s in sections_of(found)] == ["m", "z", "a"]
    assert [f.kind for f in files_of(found)] == ["m", "z", "a"]


def test_a_folder_without_module_py_is_no_module(package: Path, module: Write) -> None:
    module("a")
    (package / "helpers").mkdir()
    (package / "helpers" / "__init__.py").touch()
    assert [m.name for m in discover("parts")] == ["a"]


def test_two_modules_of_one_name_are_refused(module: Write) -> None:
    module("a")
    module("b", name="a")
    with pytest.raises(ConfigInvalid, match="two modules are called 'a'"):
        discover("parts")


@pytest.mark.parametrize("what", ["section", "command", "kind"])
def test_what_two_modules_declare_is_refused(module: Write, what: str) -> None:
    module("a")
    module("b", **{what: "a"})
    with pytest.raises(ConfigInvalid, match="'a' is declared by 'a' and by 'b'"):
        discover("parts")


def test_a_missing_need_is_named(module: Write) -> None:
    module("a", needs=("ghost",))
    with pytest.raises(ConfigInvalid, match="module 'a' needs 'ghost', which is not there"):
        discover("parts")


def test_modules_that_need_each_other_are_refused(module: Write) -> None:
    module("a", needs=("b",))
    module("b", needs=("a",))
    module("c")
    with pytest.raises(ConfigInvalid, match="circle: a, b"):
        discover("parts")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("MODULE = 5", r"parts\.a\.module\.MODULE is not a core\.registry\.Module"),
        ("", "has no attribute 'MODULE'"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("from core.errors import Nothing", "cannot import name 'Nothing' from 'core.errors'$"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_named_without_a_path(
    module: Write, text: str, reason: str
) -> None:
    module("a", text=text)
    with pytest.raises(ConfigInvalid, match=reason):
        discover("parts")


def test_modules_of_other_packages_come_by_entry_point(module: Write, package: Path) -> None:
    module("a")
    (package / "a").rename(package.parent / "elsewhere")
    installed = package.parent / "elsewhere-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\na = elsewhere.module:MODULE\n")
    assert [m.name for m in discover("parts")] == ["a"]
    sys.modules.pop("elsewhere.module")
    sys.modules.pop("elsewhere")


SERVICE_PY = """
    from dishka import Provider, Scope, provide
    from core.cli import make_app
    from core.health import degraded
    from core.names import names_from
    from core.registry import Module

    class Lamp:
        lit = False

        async def start(self):
            self.lit = True

        async def check(self):
            return degraded("it is lit" if self.lit else "it is dark")

    class LampProvider(Provider):
        scope = Scope.APP
        lamp = provide(Lamp)

    app = make_app("lamps", "")
"""


@pytest.fixture
def lamps(package: Path) -> Path:
    (package / "lamps").mkdir()
    (package / "lamps" / "service.py").write_text(dedent(SERVICE_PY))
    (package / "lamps" / "__init__.py").write_text(
        "from core.names import names_from\n"
        "__all__ = ['Lamp', 'Nowhere']\n"
        "__getattr__ = names_from(__name__, 'service')\n"
    )
    (package / "lamps" / "module.py").write_text("raise AssertionError('nobody asked for it')")
    return package / "lamps"


def in_words(**given: Any) -> Module:
    return Module(
        name="lamps",
        summary="",
        command="lamps",
        cli="parts.lamps.service:app",
        provider="parts.lamps.service:LampProvider",
        **given,
    )


@pytest.mark.usefixtures("lamps")
@pytest.mark.parametrize(("eager", "reason"), [(True, "it is lit"), (False, "it is dark")])
async def test_a_module_in_words_imports_what_it_names_when_it_is_used(*, eager: bool, reason: str) -> None:
    module = in_words(service="parts.lamps.service:Lamp", eager=eager)
    assert "parts.lamps.service" not in sys.modules
    async with AsyncExitStack() as stack:
        container = make_async_container(loaded(module.provider)())
        stack.push_async_callback(container.close)
        await module.open(container)
        assert (await module.health(container)).reason == reason


def test_a_module_may_bring_a_step_and_nothing_else() -> None:
    module = Module("mine", "Guards answers.", step=Step("guard", len, after="call_model"))
    assert (module.command, module.made_provider().factories) == ("mine", [])


@pytest.mark.usefixtures("lamps")
async def test_a_module_without_check_and_service_is_healthy() -> None:
    container = make_async_container()
    module = in_words()
    await module.open(container)
    assert (await module.health(container)).state is HealthState.HEALTHY
    await container.close()


@pytest.mark.usefixtures("lamps")
def test_a_package_gives_the_names_that_it_lists_and_no_others() -> None:
    lamps = importlib.import_module("parts.lamps")
    assert lamps.Lamp.lit is False
    for name in ("LampProvider", "Nowhere"):
        with pytest.raises(AttributeError, match=f"'parts.lamps' has no attribute '{name}'"):
            getattr(lamps, name)
