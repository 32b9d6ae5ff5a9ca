"""A provider is found by its package and class, and told what it may be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel

from core.settings import ConfigErrors, Context, Places, read_book
from nodes.llm import Catalogue, Model, vendors
from nodes.llm.module import MODULE
from nodes.llm.settings import ModelEntry, ModelsFile

GROQ = "langchain_groq:ChatGroq"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("langchain_groq.ChatGroq", "must be written package:Class"),
        ("a b:C", "must be written package:Class"),
        ("langchain_nowhere:Chat", "pip install langchain-nowhere"),
        ("langchain_groq.nowhere:Chat", r"'langchain_groq.nowhere', which is not there"),
        ("langchain_groq:ChatGrok", "does not exist; did you mean 'ChatGroq'"),
        ("langchain_core.messages:AIMessage", "is no chat model of LangChain"),
    ],
)
def test_a_path_that_leads_to_no_chat_model_says_what_to_do(path: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        vendors.class_of(path)


def test_keys_of_an_entry_have_the_names_of_the_class() -> None:
    given = {"model_name": "m", "model_url": "http://x", "api_key": "k", "temperature": 0.1}
    found = vendors.arguments(GROQ, given, {"service_tier": "auto"})
    assert found == {
        "max_retries": 0,
        "model": "m",
        "base_url": "http://x",
        "api_key": "k",
        "temperature": 0.1,
        "service_tier": "auto",
    }


def test_what_a_class_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes no api_key; write it under `parameters`"):
        vendors.arguments("langchain_core.language_models:FakeListChatModel", {"api_key": "k"}, {})
    with pytest.raises(ValueError, match=r"takes no 'zzz'$"):
        vendors.arguments(GROQ, {}, {"zzz": 1})


@pytest.mark.parametrize(
    ("provider", "label"),
    [
        (GROQ, "groq"),
        ("langchain_google_genai.chat:ChatG", "google_genai"),
        (FakeListChatModel(responses=[]), "langchain_core"),
        ("ours.models:Chat", "ours"),
    ],
)
def test_the_vendor_is_called_by_its_package(provider: object, label: str) -> None:
    assert vendors.label_of(provider) == label


def book(folder: Path, entry: dict[str, Any]) -> Any:
    context = Context(Places(folder, folder), {}, {}, {"models": {"models": {"mine": entry}}})
    return read_book(MODULE.sections, MODULE.files, context, partial=True)


def test_an_entry_that_is_given_stands_beside_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(
        "models: {a: {model_name: m, model_url: 'http://x', fallbacks: [mine]}}"
    )
    chat = FakeListChatModel(responses=["Hi."])
    found = Catalogue.of(book(tmp_path, {"provider": chat}))
    assert list(found.entries()) == ["a", "mine", "offline"]
    mine = found.find("mine")
    assert mine.entry is not None
    assert mine.entry.provider is chat
    assert (mine.served, mine.vendor, found.find("a").vendor) == (
        "FakeListChatModel",
        "langchain_core",
        "openai",
    )
    assert mine.entry.model_dump()["provider"].endswith(":FakeListChatModel")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"provider": 7}, "int is no chat model of LangChain"),
        (
            {"model_name": "m", "model_url": "http://x", "parameters": {"a": 1}},
            "parameters says nothing without",
        ),
        ({"provider": GROQ, "extra_headers": {"a": "b"}}, "extra_headers says nothing beside provider"),
        ({"provider": GROQ, "model_url": "groq.example"}, "must begin with http"),
        ({"model_url": "", "model_name": "m"}, "must begin with http"),
    ],
)
def test_an_entry_that_does_not_fit_its_provider_is_refused(
    tmp_path: Path, entry: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigErrors, match=said):
        book(tmp_path, entry)


def test_a_provider_that_is_not_there_is_the_one_thing_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as refused:
        book(tmp_path, {"provider": "not_there:Chat"})
    (finding,) = refused.value.problems
    assert "there is no package 'not_there'" in str(finding)
    assert "put its folder into PYTHONPATH" in str(finding)


def test_an_empty_provider_is_none() -> None:
    entry = ModelEntry.model_validate({"provider": None, "model_name": "m", "model_url": "http://x"})
    assert (entry.provider, Model("x", entry).vendor) == ("", "openai")


def test_a_class_may_be_all_that_is_said() -> None:
    entry = ModelEntry.model_validate({"provider": GROQ, "parameters": {"model": "m-1"}})
    assert (entry.model_name, entry.arguments()) == ("m-1", {"max_retries": 0, "model": "m-1"})
    assert Model("x", entry).served == "m-1"
    assert ModelsFile.model_validate({"models": {"x": entry}}).models["x"] == entry


def test_a_class_in_place_of_its_object_is_told_what_to_write() -> None:
    with pytest.raises(
        ValueError, match=r"is a class; give an object of it, or its name: '.*:FakeListChatModel'"
    ):
        vendors.checked(FakeListChatModel)
