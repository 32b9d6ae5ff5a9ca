"""The section `cache` of waystation.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.cache import SECTION, CacheSettings
from tests.kit.settings import ConfigFolder


def test_by_default_answers_are_kept_in_memory() -> None:
    settings = CacheSettings()
    assert not settings.remote
    assert settings.kind("retrieval").ttl_s == 60
    assert settings.kind("tools").ttl_s == 300


def test_one_kind_can_be_switched_off_or_kept_longer(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path, [SECTION])
    folder.write("waystation.yaml", "cache: {tools: {enabled: false}, models: {ttl_s: 9}}")
    book, problems = folder.read()
    settings = book[CacheSettings]
    assert problems == []
    assert not settings.tools.enabled
    assert settings.models.ttl_s == 9


@pytest.mark.parametrize(
    "url", ["memcached://x", "redis://", "redis://h:port", "redis://h:0", "mem://?size=1"]
)
def test_a_url_that_is_none_of_the_known_kind_is_refused(tmp_path: Path, url: str) -> None:
    folder = ConfigFolder(tmp_path, [SECTION])
    folder.write("waystation.yaml", f"cache: {{url: '{url}'}}")
    (problem,) = folder.problems()
    assert "cache.url" in problem


def test_options_behind_the_address_are_refused_without_showing_the_password(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path, [SECTION])
    folder.write("waystation.yaml", "cache: {url: 'redis://:hunter2@h/0?pickle_type=default'}")
    (problem,) = folder.problems()
    assert "query" in problem
    assert "hunter2" not in problem
