"""What says one sentence where an extra is not installed, and works where none is asked for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigInvalid
from core.health import HealthState
from core.installed import install_line, is_missing
from core.resilience import Policies
from core.settings import Places
from nodes.file_storage import provider
from nodes.file_storage.settings import FileStorageSettings, S3Settings
from nodes.rag.adapters import lance
from nodes.rag.errors import IndexBroken
from server.cli.main import picturing

Without = Callable[..., None]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Without:
    """Takes packages away from the test; what has loaded them has to load them again."""

    def take(*packages: str, users: str) -> None:
        for name in list(sys.modules):
            if name.startswith(users) or name.partition(".")[0] in packages:
                monkeypatch.delitem(sys.modules, name)
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return take


def test_a_bucket_needs_its_extra(without: Without, tmp_path: Path) -> None:
    without("boto3", "botocore", users="nodes.file_storage.adapters.s3")
    settings = FileStorageSettings(backend="s3", s3=S3Settings(bucket="chats"))
    policies: Any = Policies
    with pytest.raises(ConfigInvalid) as refused:
        provider.STORES["s3"](settings, Places(tmp_path, tmp_path), policies)
    assert refused.value.detail == f"file_storage.backend: s3 needs the extra 's3': {install_line('s3')}"


def test_a_local_source_needs_its_extra_and_health_says_so(
    without: Without, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("lancedb", "pyarrow", users="lancedb")
    monkeypatch.setattr(lance, "_sdk", lance._sdk.__wrapped__)
    store = lance.LanceStore(lance.LanceFolder(tmp_path), "handbook")
    said = f"a local source needs the extra 'search': {install_line('search')}"

    async def ask() -> None:
        with pytest.raises(IndexBroken) as refused:
            await store.find(["word"], limit=3)
        assert refused.value.detail == said
        health = await store.check(expected=0)
        assert (health.state, health.reason) == (HealthState.FAILED, said)

    asyncio.run(ask())


def test_a_picture_needs_its_extra(without: Without) -> None:
    without("PIL", users="server.cli.picture")
    with pytest.raises(ConfigInvalid, match="a picture as PNG needs the extra 'images'"):
        picturing()


def test_another_package_that_is_missing_is_a_fault() -> None:
    assert is_missing(ModuleNotFoundError(name="botocore.config"), "boto3", "botocore")
    assert not is_missing(ModuleNotFoundError(name="dateutil"), "boto3", "botocore")
