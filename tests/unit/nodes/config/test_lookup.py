from __future__ import annotations

from typing import Any

import pytest

from core.access import Principal
from core.choices import Choices
from core.errors import InvalidInput, WaystationError
from core.settings.book import Editions
from core.settings.platform import LimitSettings
from nodes.config import ConfigLookup, UnknownModel, UnknownSource, UnknownTool
from nodes.config.fake import Entry, FakeModels, FakeServers, FakeSources

MINE = "calculator, slow, calculator_add, calculator_divide"
STAFF = Principal("ada", frozenset({"staff"}))
GUEST = Principal("bob")

FIVE = Editions.fixed(LimitSettings(steps=5))
LOOKUP = ConfigLookup(
    FakeModels({"large": Entry(groups=["staff"]), "small": Entry(), "old": Entry(enabled=False)}),
    FakeSources({"handbook": Entry(), "payroll": Entry(groups=["staff"])}),
    FakeServers(
        {"calculator": Entry(), "deploy": Entry(groups=["staff"]), "slow": Entry()},
        tools={"calculator": ["calculator_add", "calculator_divide"], "deploy": ["deploy_now"]},
    ),
    editions=Editions.fixed(LimitSettings(steps=25)),
)


def test_without_wishes_a_turn_may_use_all_that_the_user_may() -> None:
    assert LOOKUP.resolve(STAFF, Choices()).as_state() == {
        "model": "large",
        "sources": ["handbook", "payroll"],
        "servers": ["calculator", "deploy", "slow"],
        "tools": None,
        "temperature": None,
        "max_steps": 25,
        "approval": "ask",
    }


def test_who_may_not_use_the_default_model_gets_the_first_of_theirs() -> None:
    config = LOOKUP.resolve(GUEST, Choices())
    assert (config.model, config.sources, config.servers) == ("small", ("handbook",), ("calculator", "slow"))


def test_an_empty_wish_means_none_at_all() -> None:
    config = LOOKUP.resolve(STAFF, Choices(sources=(), tools=()))
    assert (config.sources, config.servers, config.tools) == ((), (), ())
    assert LOOKUP.tool_names(config) == []


def test_wishes_are_taken_once_and_in_their_order() -> None:
    config = LOOKUP.resolve(STAFF, Choices(sources=("payroll", "handbook", "payroll")))
    assert config.sources == ("payroll", "handbook")


def test_whole_servers_bring_every_tool_also_those_not_known_yet() -> None:
    config = LOOKUP.resolve(STAFF, Choices(tools=("slow", "calculator")))
    assert (config.servers, config.tools) == (("slow", "calculator"), None)
    assert LOOKUP.tool_names(config) == ["calculator_add", "calculator_divide"]


def test_single_tools_bring_their_server_and_nothing_else_of_it() -> None:
    config = LOOKUP.resolve(STAFF, Choices(tools=("calculator_add",)))
    assert (config.servers, config.tools) == (("calculator",), ("calculator_add",))


def test_servers_and_single_tools_may_be_mixed() -> None:
    config = LOOKUP.resolve(STAFF, Choices(tools=("calculator", "deploy_now", "calculator_add")))
    assert config.servers == ("calculator", "deploy")
    assert config.tools == ("calculator_add", "calculator_divide", "deploy_now")
    assert LOOKUP.tool_names(config) == list(config.tools)


@pytest.mark.parametrize(
    ("wishes", "error", "code", "message"),
    [
        (
            {"model": "smal"},
            UnknownModel,
            "unknown_model",
            "no model 'smal'; did you mean 'small'? you may use: small",
        ),
        ({"model": "old"}, UnknownModel, "unknown_model", "no model 'old'; you may use: small"),
        ({"sources": ("wiki",)}, UnknownSource, "unknown_source", "no source 'wiki'; you may use: handbook"),
        (
            {"tools": ("calculator_ad",)},
            UnknownTool,
            "unknown_tool",
            "no server or tool 'calculator_ad'; did you mean 'calculator_add'? you may use: " + MINE,
        ),
    ],
)
def test_what_is_unknown_is_named_with_what_there_is(
    wishes: dict[str, Any], error: type[WaystationError], code: str, message: str
) -> None:
    with pytest.raises(error) as caught:
        LOOKUP.resolve(GUEST, Choices(**wishes))
    assert (caught.value.code, caught.value.detail) == (code, message)
    assert isinstance(caught.value, InvalidInput)


@pytest.mark.parametrize(
    ("hidden", "missing"),
    [
        ({"model": "large"}, {"model": "xxxxx"}),
        ({"sources": ("payroll",)}, {"sources": ("xxxxxxx",)}),
        ({"tools": ("deploy",)}, {"tools": ("xxxxxx",)}),
        ({"tools": ("deploy_now",)}, {"tools": ("xxxxxxxxxx",)}),
    ],
)
def test_what_a_user_may_not_use_looks_like_what_does_not_exist(
    hidden: dict[str, Any], missing: dict[str, Any]
) -> None:
    def said(wishes: dict[str, Any]) -> str:
        with pytest.raises(InvalidInput) as caught:
            LOOKUP.resolve(GUEST, Choices(**wishes))
        name = next(iter(wishes.values()))
        return caught.value.detail.replace(name if isinstance(name, str) else name[0], "?")

    assert said(hidden) == said(missing)


def test_a_user_without_any_model_is_told() -> None:
    lookup = ConfigLookup(FakeModels({"m": Entry(groups=["x"])}), FakeSources(), FakeServers(), editions=FIVE)
    with pytest.raises(UnknownModel, match="there is no model that you may use"):
        lookup.resolve(GUEST, Choices())
    with pytest.raises(UnknownModel, match="no model 'm'; there is none that you may use"):
        lookup.resolve(GUEST, Choices(model="m"))


def test_a_long_name_and_a_long_list_are_cut() -> None:
    many = FakeSources({f"s{n}": Entry() for n in range(30)})
    lookup = ConfigLookup(FakeModels({"m": Entry()}), many, FakeServers(), editions=FIVE)
    with pytest.raises(UnknownSource) as caught:
        lookup.resolve(GUEST, Choices(sources=("x" * 100_000,)))
    assert "and 10 more" in caught.value.detail
    assert len(caught.value.detail) < 300


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"max_steps": 0}, "max_steps must be 1 to 25, not 0"),
        ({"max_steps": 26}, "max_steps must be 1 to 25, not 26"),
        ({"max_steps": True}, "max_steps must be 1 to 25, not True"),
        ({"temperature": 2.5}, "temperature must be 0 to 2, not 2.5"),
        ({"temperature": float("nan")}, "temperature must be 0 to 2, not nan"),
        ({"approval": "always"}, "approval must be one of ask, auto, deny, not 'always'"),
    ],
)
def test_what_is_out_of_bounds_names_the_bounds(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        LOOKUP.resolve(STAFF, Choices(**wishes))
    assert caught.value.detail == message


def test_what_is_within_bounds_is_kept() -> None:
    config = LOOKUP.resolve(STAFF, Choices(model="small", temperature=0, max_steps=25, approval="deny"))
    assert (config.temperature, config.max_steps, config.approval) == (0, 25, "deny")
