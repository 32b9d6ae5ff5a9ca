from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.health import HealthState
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.chunking import chunk_document
from nodes.rag.errors import IndexBroken
from nodes.rag.models import Chunk

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LanceFolder]:
    found = LanceFolder(tmp_path / "index")
    yield found
    found.close()


def chunks(name: str, text: str) -> list[Chunk]:
    return chunk_document(name, text, chunk_tokens=20)


async def documents(store: LanceStore, *terms: str) -> set[str]:
    return {f.chunk.document for f in await store.find(terms, limit=100)}


async def test_replacing_a_document_leaves_the_others(folder: LanceFolder) -> None:
    store = LanceStore(folder, "s")
    await store.replace(["a", "it's"], [*chunks("a", "kites fly"), *chunks("it's", "kites sink")])
    await store.replace(["it's"], chunks("it's", "boats sink"))
    assert await documents(store, "kite") == {"a"}
    assert await documents(store, "boat", "kite") == {"a", "it's"}
    await store.replace(["a"], [])
    assert await documents(store, "kite") == set()
    await store.tidy()
    assert await documents(store, "boat") == {"it's"}


async def test_an_index_that_holds_nothing_answers_nothing(folder: LanceFolder) -> None:
    store = LanceStore(folder, "s")
    await store.open()
    await store.tidy()
    await store.replace(["a"], [])
    assert await store.find(["kite"], limit=4) == []
    assert (await store.check(expected=0)).state is HealthState.HEALTHY


async def test_readers_never_see_a_document_half_replaced(folder: LanceFolder) -> None:
    writer, reader = LanceStore(folder, "s"), LanceStore(folder, "s")
    await writer.replace(["a"], chunks("a", "kites zero"))
    done = asyncio.Event()

    async def read() -> int:
        count = 0
        while not done.is_set():
            assert len(await reader.find(["kite"], limit=10)) == 1
            count += 1
        return count

    reading = asyncio.create_task(read())
    for number in range(8):
        await writer.replace(["a"], chunks("a", f"kites number{number}"))
    done.set()
    assert await reading > 0


async def test_what_another_process_wrote_is_found_at_once(folder: LanceFolder) -> None:
    store = LanceStore(folder, "s")
    await store.replace(["a"], chunks("a", "kites fly"))
    assert await documents(store, "boat") == set()
    code = (
        "import asyncio, sys, pathlib\n"
        "from nodes.rag.adapters.lance import LanceFolder, LanceStore\n"
        "from nodes.rag.chunking import chunk_document\n"
        "store = LanceStore(LanceFolder(pathlib.Path(sys.argv[1])), 's')\n"
        "asyncio.run(store.replace(['b'], chunk_document('b', 'boats sink', chunk_tokens=20)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder.path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert await documents(store, "boat") == {"b"}
    assert run.stderr == ""


async def test_a_damaged_index_is_an_error_that_says_what_to_do(folder: LanceFolder) -> None:
    store = LanceStore(folder, "s")
    await store.replace(["a"], chunks("a", "kites fly"))
    for part in (folder.path / "s.lance").iterdir():
        shutil.rmtree(part)
    health = await store.check(expected=1)
    assert health.state is HealthState.FAILED
    with pytest.raises(IndexBroken, match="start again to rebuild it") as caught:
        await LanceStore(folder, "s").find(["kite"], limit=1)
    assert str(folder.path) not in caught.value.detail
    nobody_has_used_it = await LanceStore(folder, "s").check(expected=1)
    assert nobody_has_used_it.state is HealthState.FAILED
    assert "cannot be read" in nobody_has_used_it.reason


async def test_a_health_check_opens_an_index_that_nobody_has_used(folder: LanceFolder) -> None:
    assert (await LanceStore(folder, "s").check(expected=0)).details == {"chunks": 0}
    written = chunks("a", "kites fly")
    await LanceStore(folder, "s").replace(["a"], written)
    health = await LanceStore(folder, "s").check(expected=len(written))
    assert (health.state, health.details) == (HealthState.HEALTHY, {"chunks": len(written)})


async def test_an_index_that_was_deleted_under_us_is_not_well(folder: LanceFolder) -> None:
    assert (await LanceStore(folder, "s").check(expected=3)).state is HealthState.FAILED


def test_the_adapter_does_not_import_the_library_until_it_is_used() -> None:
    code = "import sys, nodes.rag.provider; sys.exit('lancedb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
