"""Which models there are, from files and environment, and which is the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigInvalid
from core.settings import Book, ConfigErrors, Context, Places, read_book
from nodes.llm import Catalogue
from nodes.llm.errors import ModelNotFound
from nodes.llm.models import ASK_ENDPOINT
from nodes.llm.module import MODULE
from nodes.llm.settings import ModelsFile

MODELS = """
models:
  fast:
    model_name: small-1
    model_url: http://127.0.0.1:1/v1/chat/completions
    api_key: ${FAST_KEY:-}
    temperature: 0
    groups: [staff]
    fallbacks: [offline]
    extra_headers:
  slow: {model_name: big-1, model_url: "http://127.0.0.1:1/v1/messages/"}
"""


def book(folder: Path, models: str = "", environ: dict[str, str] | None = None, **llm: object) -> Book:
    if models:
        (folder / "models.yaml").write_text(models)
    context = Context(Places(folder, folder), environ or {}, {"llm": llm})
    return read_book(MODULE.sections, MODULE.files, context, partial=True)


def test_with_nothing_set_the_offline_model_answers(tmp_path: Path) -> None:
    catalogue = Catalogue.of(book(tmp_path))
    assert list(catalogue.entries()) == ["offline"]
    assert catalogue.default() == "offline"
    assert catalogue.find("").entry is None


def test_configured_models_keep_what_was_written(tmp_path: Path) -> None:
    catalogue = Catalogue.of(book(tmp_path, MODELS, {"FAST_KEY": "sk-1"}))
    assert list(catalogue.entries()) == ["fast", "slow", "offline"]
    assert catalogue.default() == "fast"
    fast, slow = catalogue.find("fast"), catalogue.find("slow")
    assert fast.entry is not None
    assert slow.entry is not None
    assert (fast.entry.temperature, fast.entry.model_url) == (0, "http://127.0.0.1:1/v1")
    assert fast.groups == ["staff"]
    assert fast.entry.api_key.get_secret_value() == "sk-1"
    assert "sk-1" not in repr(fast)
    assert (slow.entry.temperature, slow.entry.max_tokens, slow.entry.model_url) == (
        0.7,
        10_000,
        "http://127.0.0.1:1/v1",
    )


def test_a_key_in_the_environment_makes_openai_the_default(tmp_path: Path) -> None:
    catalogue = Catalogue.of(book(tmp_path, MODELS, {"OPENAI_API_KEY": "sk-1"}))
    assert catalogue.default() == "openai"
    found = catalogue.find("openai").entry
    assert found is not None
    assert (found.model_name, found.temperature, found.max_tokens) == ("gpt-4.1-mini", None, None)


@pytest.mark.parametrize(
    ("environ", "llm", "name"),
    [
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, {}, ASK_ENDPOINT),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_MODEL": "m"}, {}, "m"),
        ({"OPENAI_API_KEY": "k", "OPENAI_MODEL": "m"}, {"openai_model": "n"}, "n"),
    ],
)
def test_the_name_of_the_environments_model(
    tmp_path: Path, environ: dict[str, str], llm: dict[str, str], name: str
) -> None:
    found = Catalogue.of(book(tmp_path, "", environ, **llm)).find("openai").entry
    assert found is not None
    assert found.model_name == name


def test_a_wrong_base_url_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="OPENAI_BASE_URL must begin"):
        Catalogue.of(book(tmp_path, "", {"OPENAI_BASE_URL": "nowhere"}))


def test_the_setting_names_the_default(tmp_path: Path) -> None:
    assert Catalogue.of(book(tmp_path, MODELS, default_model="slow")).default() == "slow"


def test_an_unknown_default_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="did you mean 'slow'"):
        Catalogue.of(book(tmp_path, MODELS, default_model="slw"))
    with pytest.raises(ConfigInvalid, match="known: fast, slow, offline"):
        Catalogue.of(book(tmp_path, MODELS, default_model="xyzzyx"))


def test_without_any_model_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="there is no model"):
        Catalogue.of(book(tmp_path, offline=False))


def test_an_unknown_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="known: offline"):
        Catalogue.of(book(tmp_path)).find("x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: {a: {model_name: x, model_url: 'ftp://x'}}", "must begin with http"),
        ("models: {a: {model_name: x, model_url: 'http://x', temprature: 1}}", "did you mean 'temperature'"),
        ("models: {a: {model_name: x}}", "model_url"),
        ("models: {offline: {model_name: x, model_url: 'http://x'}}", "built-in"),
        ("models: {a: {model_name: x, model_url: 'http://x', fallbacks: [b]}}", "falls back to 'b'"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigErrors, match=says):
        book(tmp_path, text)


def test_the_file_has_two_names(tmp_path: Path) -> None:
    (tmp_path / "llmconfig.yml").write_text(MODELS)
    assert set(book(tmp_path)[ModelsFile].models) == {"fast", "slow"}
