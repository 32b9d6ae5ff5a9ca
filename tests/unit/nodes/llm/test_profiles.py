"""Which profile an endpoint has: named, guessed from the address, or the tolerant one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigInvalid
from core.settings import Book, ConfigErrors, Context, Places, read_book
from nodes.llm import Catalogue
from nodes.llm.models import OPENAI
from nodes.llm.module import MODULE
from nodes.llm.profiles import DEFAULT, PROFILES, SCHEMA_MENDS, profile_for
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


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://me.openai.azure.com/openai/v1", "azure"),
        ("https://gateway.example.org/openai/deployments/gpt/", "azure"),
        ("http://127.0.0.1:8000/v1", "vllm"),
        ("http://localhost:8080/v1", "llamacpp"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://192.168.0.9:1234/v1", "lmstudio"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini"),
        ("https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi", "gemini"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("http://gateway.internal:4000", "litellm"),
        ("http://litellm/v1", "litellm"),
        ("http://vllm:9000/v1", "vllm"),
        ("http://ollama:8080/v1", "ollama"),
    ],
)
def test_a_known_endpoint_is_guessed_from_its_address(url: str, name: str) -> None:
    assert profile_for("", url).name == name


def test_every_profile_keeps_to_the_values_that_the_client_knows() -> None:
    for profile in PROFILES.values():
        assert profile.schema_mends <= SCHEMA_MENDS.keys()
        assert profile.answer_fields_back in {"never", "with_calls", "always"}
        assert re.fullmatch(profile.tool_name, "clock_now")
        assert profile.call_id_limit is None or profile.call_id_limit >= 9
        assert bool(profile.answer_fields) == (profile.answer_fields_back != "never")


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        ("o3-mini", True),
        ("gpt-5", True),
        ("openai/gpt-5.5", True),
        ("gpt-5.1-chat-latest", True),
        ("gpt-4.1-mini", False),
        ("gpt-5-chat-latest", False),
        ("gpt-5.2", False),
        ("gpt-oss-120b", False),
    ],
)
def test_models_that_always_reason_are_sent_no_temperature(model: str, *, refused: bool) -> None:
    assert PROFILES["openai"].refuses_temperature(model) is refused
    assert not DEFAULT.refuses_temperature(model)


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
