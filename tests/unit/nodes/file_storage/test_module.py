"""The module in a container of its own, and its settings."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import nodes.file_storage
from core.access import Principal
from core.container import open_module
from core.health import HealthState
from core.settings import ConfigErrors, Context, Places
from nodes.file_storage import FileManager, FileStore, S3StorageClient, StoreFiles
from nodes.file_storage.module import MODULE
from waystation.testing.s3 import S3Server

ADA = Principal("ada")


def context(tmp_path: Path, environ: Mapping[str, str] | None = None, **section: Any) -> Context:
    places = Places(tmp_path / "config", tmp_path / "home")
    return Context(places, environ or {}, {"file_storage": section})


async def test_it_works_with_no_configuration_at_all(tmp_path: Path) -> None:
    container = open_module(MODULE, context(tmp_path))
    files = await container.get(FileManager)
    info = await files.put(ADA, "a.txt", b"x")
    assert (tmp_path / "home" / "files").is_dir()
    link = await files.link(ADA, info.key)
    assert link.startswith("http://127.0.0.1:")
    assert (tmp_path / "home" / "secrets" / "link.key").is_file()
    assert isinstance(await container.get(StoreFiles), StoreFiles)
    assert (await MODULE.health(container)).state is not HealthState.FAILED
    await container.close()


async def test_links_follow_the_settings(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"link_base_url": "https://w.example", "link_secret": "s" * 40}
    container = open_module(MODULE, context(tmp_path, **settings))
    files = await container.get(FileManager)
    info = await files.put(ADA, "a.txt", b"x")
    assert (await files.link(ADA, info.key)).startswith("https://w.example/files/link/")
    assert not (tmp_path / "home" / "secrets").exists()
    await container.close()


async def test_the_environment_switches_to_a_bucket(tmp_path: Path) -> None:
    with S3Server() as server:
        environ = server.environ(f"b-{uuid.uuid4().hex}")
        container = open_module(MODULE, context(tmp_path, environ))
        assert isinstance(await container.get(FileStore), S3StorageClient)
        health = await MODULE.health(container)
        assert (health.state, health.details["backend"]) == (HealthState.HEALTHY, "s3")
        await container.close()


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"backend": "s3"}, "needs s3.bucket"),
        ({"backend": "ftp"}, "'local' or 's3'"),
        ({"max_bytes": 0}, "file_storage.max_bytes"),
        ({"link_secret": "short"}, "file_storage.link_secret"),
        ({"link_base_url": "files.example"}, "file_storage.link_base_url"),
        ({"s3": {"access_key_id": "a"}}, "go together"),
        ({"s3": {"buket": "a"}}, "did you mean 'bucket'?"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, section: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        open_module(MODULE, context(tmp_path, **section))
    assert text in caught.value.detail
    assert "short" not in caught.value.detail


def test_every_public_name_is_there() -> None:
    names = nodes.file_storage.__all__
    assert names == sorted(names)
    assert all(getattr(nodes.file_storage, name) for name in names)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        nodes.file_storage.Nothing  # noqa: B018  # the access is the test
