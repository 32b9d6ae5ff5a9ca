"""A service and the folders of its sources: what it says at its start, and how it follows the disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.service import Service, run

pytestmark = pytest.mark.slow

SOURCES = """docs: {path: ../docs}
empty: {path: ../empty}
later: {path: ../later}
off: {path: ../docs, enabled: false}
"""
Sources = dict[str, dict[str, Any]]


class World:
    """A running service over `folder`, where the test works on the documents."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.docs, self.later = folder / "docs", folder / "later"
        self._url = service.url

    def sources(self) -> Sources:
        """What `GET /sources` says, by name."""
        found = httpx.get(f"{self._url}/sources", timeout=A_BUSY_MACHINE_S, trust_env=False).json()
        return {source["name"]: source for source in found}

    def until(self, holds: Callable[[Sources], bool]) -> None:
        """Wait, with no command given, until the index is so."""
        deadline = time.monotonic() + A_BUSY_MACHINE_S
        while not holds(self.sources()):
            assert time.monotonic() < deadline, self.sources()
            time.sleep(0.05)


def prepared(folder: Path) -> Path:
    (folder / "config").mkdir()
    (folder / "config" / "sources.yaml").write_text(SOURCES)
    (folder / "docs").mkdir()
    (folder / "empty").mkdir()
    (folder / "docs" / "travel.md").write_text("Trains are booked a week ahead.")
    (folder / "docs" / "raw.txt").write_bytes(b"\0\1\2")
    for name in ("a.png", "b.png"):
        (folder / "docs" / name).write_text("x")
    return folder / "config"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    env = {"WAYSTATION_MODULES__DISABLED": '["mcp_tools"]'}
    with Service(folder / "home", config_dir=prepared(folder), env=env) as service:
        yield service


@pytest.fixture
def world(folder: Path, service: Service) -> World:
    return World(folder, service)


def test_rd3_the_start_says_what_each_source_holds_and_what_is_left_out_and_why(service: Service) -> None:
    said = service.log.read_text()
    left_out = "3 files left out (raw.txt: it is a binary file; a.png: images are not read; and 1 more)"
    assert f"source       docs: 1 document, 1 chunk; {left_out}" in said
    assert "source       empty: there is no document in it" in said
    assert "source       later: 'later' is not there; there is no document in it" in said
    assert "off:" not in said
    assert '"source_indexed"' in said
    assert '"source_incomplete"' in said


def test_rd3_health_and_the_command_line_say_the_same(world: World, folder: Path, service: Service) -> None:
    rag = httpx.get(f"{service.url}/health", timeout=A_BUSY_MACHINE_S).json()["modules"]["rag"]
    assert rag["state"] == "degraded"
    assert "source 'empty' does not work: there is no document in it" in rag["reason"]
    stats = run("rag", "stats", home=folder / "home", config_dir=folder / "config")
    assert "docs: skipped raw.txt: it is a binary file" in stats.stdout
    assert "empty: there is no document in it" in stats.stdout
    assert world.sources()["docs"]["reasons"]["raw.txt"] == "it is a binary file"


def test_rd4_what_changes_on_disk_is_taken_over_with_no_command(world: World) -> None:
    docs = world.docs
    (docs / "zebra.md").write_text("Zebras graze.")
    world.until(lambda s: s["docs"]["documents"] == 2)
    (docs / "zebra.md").write_text("# Zebras\n\n" + "Zebras graze in herds. " * 300)
    world.until(lambda s: s["docs"]["chunks"] > 3)
    (docs / "zebra.md").rename(docs / "zebra.docx")
    world.until(lambda s: "zebra.docx" in s["docs"]["reasons"])
    (docs / "zebra.docx").unlink()
    world.until(lambda s: (s["docs"]["documents"], s["docs"]["chunks"]) == (1, 1))


def test_rd4_a_folder_that_was_not_there_is_indexed_when_it_comes(world: World) -> None:
    (world.later / "deep").mkdir(parents=True)
    (world.later / "deep" / "a.md").write_text("Alligators swim.")
    world.until(lambda s: s["later"]["documents"] == 1)
    assert world.sources()["later"]["problem"] == ""
    (world.later / "b.md").write_text("Boats sail.")
    world.until(lambda s: s["later"]["documents"] == 2)


def test_rd4_many_files_at_once_come_and_go(world: World) -> None:
    many = world.docs / "many"
    many.mkdir()
    for number in range(300):
        (many / f"{number}.md").write_text(f"Item number{number} is here.")
    world.until(lambda s: s["docs"]["documents"] == 301)
    shutil.rmtree(many)
    world.until(lambda s: s["docs"]["documents"] == 1)
