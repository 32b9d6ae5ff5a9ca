"""Which profile an endpoint has: named, guessed from the address, or the tolerant one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigInvalid
from core.settings import Book, ConfigErrors, Context, Places, read_book
from nodes.llm import Catalogue
from nodes.llm.catalogue import OPENAI
from nodes.llm.module import MODULE
from nodes.llm.profiles import DEFAULT, PROFILES, profile_for
from nodes.llm.settings import LLMSettings, ModelEntry


def book(folder: Path, models: str = "", environ: dict[str, str] | None = None, **llm: object) -> Book:
    if models:
        (folder / "models.yaml").write_text(models)
    context = Context(Places(folder, folder), environ or {}, {"llm": llm})
    return read_book(MODULE.sections, MODULE.files, context, partial=True)


def test_a_named_profile_wins_over_the_address() -> None:
    assert profile_for("openai", "http://127.0.0.1:9/v1") is PROFILES["openai"]
    assert profile_for("default", "https://api.openai.com/v1") is DEFAULT


def test_an_address_that_nobody_knows_gets_the_tolerant_profile() -> None:
    assert profile_for("", "https://models.example.com/v1") is DEFAULT
    assert profile_for("", "http://127.0.0.1:59999/v1") is DEFAULT
    assert profile_for("", "http://127.0.0.1:999999/v1") is DEFAULT


def test_a_host_that_only_ends_like_a_known_one_is_not_taken_for_it() -> None:
    assert profile_for("", "https://api.openai.com/v1").name == "openai"
    assert profile_for("", "https://API.OPENAI.COM:443/v1").name == "openai"
    assert profile_for("", "https://notapi.openai.com.example.org/v1") is DEFAULT


def test_a_profile_that_does_not_exist_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    models = "models:\n  fast: {model_name: m, model_url: 'http://127.0.0.1:1/v1', profile: openia}\n"
    with pytest.raises(ConfigErrors) as caught:
        book(tmp_path, models)
    assert "did you mean 'openai'?" in str(caught.value)
    assert "profile" in str(caught.value)
    with pytest.raises(ValidationError, match="known: default, openai"):
        ModelEntry(model_name="m", model_url="http://127.0.0.1:1/v1", profile="zzzzzz")
    with pytest.raises(ValidationError, match="did you mean 'default'"):
        LLMSettings(openai_profile="defualt")


def test_the_profile_stands_beside_openai_base_url_in_the_environment(tmp_path: Path) -> None:
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_PROFILE": "openai"}
    entry = Catalogue.of(book(tmp_path, environ=environ)).find(OPENAI).entry
    assert entry is not None
    assert entry.profile == "openai"
    entry = Catalogue.of(book(tmp_path, environ=environ, openai_profile="default")).find(OPENAI).entry
    assert entry is not None
    assert entry.profile == "default"


def test_a_wrong_profile_in_the_environment_is_told_by_its_variable(tmp_path: Path) -> None:
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_PROFILE": "openei"}
    with pytest.raises(ConfigInvalid, match=r"OPENAI_PROFILE: there is no profile 'openei'.*'openai'"):
        Catalogue.of(book(tmp_path, environ=environ))
