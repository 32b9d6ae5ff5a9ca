"""File, environment, keywords: the last one wins, and each is named where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import ConfigErrors, Context, Places, read_book
from tests.kit.settings import ConfigFolder
from tests.unit.core.settings.shapes import (
    SECTIONS,
    SERVERS,
    SOURCES,
    DoorSettings,
    ShopSettings,
    SourcesFile,
)


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    return ConfigFolder(tmp_path, SECTIONS, (SOURCES, SERVERS))


def shop(folder: ConfigFolder, **overrides: dict[str, object]) -> ShopSettings:
    return read_book(folder.sections, folder.files, folder.context(**overrides))[ShopSettings]


def test_without_any_file_the_defaults_hold(folder: ConfigFolder) -> None:
    book, problems = folder.read()
    assert problems == []
    assert book[ShopSettings] == ShopSettings()
    assert book[SourcesFile].root == {}
    assert book.documents == {}


def test_the_environment_wins_over_the_file_and_keywords_over_both(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "shop: {host: file, port: 1, max_tokens: 1}\n")
    folder.environ = {"WAYSTATION_SHOP__PORT": "2", "WAYSTATION_SHOP__MAX_TOKENS": "2"}
    found = shop(folder, shop={"max_tokens": 3})
    assert (found.host, found.port, found.max_tokens) == ("file", 2, 3)


def test_each_value_knows_where_it_comes_from(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "shop:\n  host: file\n  port: 1\n")
    folder.environ = {"WAYSTATION_SHOP__PORT": "2"}
    layers = folder.read(shop={"open": False})[0].layers
    assert layers.origin(("shop", "host")) == "waystation.yaml:2"
    assert layers.origin(("shop", "port")) == "WAYSTATION_SHOP__PORT"
    assert layers.origin(("shop", "open")) == "keyword"
    assert layers.origin(("shop", "share")) == "default"
    assert layers.origin(()) == "default"


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("TAGS", "a, b", "tags", ["a", "b"]),
        ("TAGS", '["a", "b,c"]', "tags", ["a", "b,c"]),
        ("LIMITS", '{"a": 1}', "limits", {"a": 1}),
        ("LIMITS__B", "2", "limits", {"b": 2}),
        ("OPEN", "false", "open", False),
        ("SHARE", "0.25", "share", 0.25),
        ("HOST", "", "host", "127.0.0.1"),
        ("HOST", "[::1]", "host", "[::1]"),
    ],
)
def test_variables_become_values(
    folder: ConfigFolder, name: str, text: str, field: str, value: object
) -> None:
    folder.environ = {f"WAYSTATION_SHOP__{name}": text}
    assert getattr(shop(folder), field) == value


def test_a_section_with_an_underscore_has_variables_too(folder: ConfigFolder) -> None:
    folder.environ = {"WAYSTATION_FRONT_DOOR__WIDTH": "70"}
    assert folder.read()[0][DoorSettings].width == 70


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("SHOP__PORT", "abc", "shop.port: must be a whole number (got 'abc')"),
        ("SHOP__PROT", "1", "shop.prot: unknown key; did you mean 'port'?"),
        ("SHOP__API_KEY__X", "sk-1", "shop.api_key: must be text (got ***)"),
        ("SHOP__TAGS", "[broken", "shop.tags: must be a list (got '[broken')"),
        ("SHOP__TAGS", "[" * 100_000, "shop.tags: must be a list (got '" + "[" * 58 + "…)"),
        ("SHOP__TAGS", '["\\ud800"]', "shop.tags: must be a list (got "),
        ("SHOP__LIMITS", '{"a": "x"}', "shop.limits.a: must be a whole number (got 'x')"),
        ("SHP__PORT", "1", "unknown section 'shp'; did you mean WAYSTATION_SHOP__…?"),
        ("ZZZ__A", "1", "unknown section 'zzz'; known sections: front_door, shop"),
        ("SHOP__", "1", "names no key; write WAYSTATION_SHOP__KEY"),
        ("SHOP__" + "A__" * 2000 + "B", "1", "names no key; write WAYSTATION_SHOP__KEY"),
        ("SHOP__HOST", "\udcff", "is not Unicode text; set it again, as UTF-8"),
    ],
)
def test_a_wrong_variable_is_named(folder: ConfigFolder, variable: str, text: str, problem: str) -> None:
    folder.environ = {f"WAYSTATION_{variable}": text}
    found = folder.problems()
    assert len(found) == 1
    assert found[0].startswith(f"environment variable WAYSTATION_{variable}: {problem}")


def test_variables_without_a_section_are_left_alone(folder: ConfigFolder) -> None:
    folder.environ = {"WAYSTATION_PORT": "tcp://10.0.0.1", "WAYSTATION_SHOP_PORT": "1", "OTHER__X": "1"}
    assert folder.problems() == []


def test_two_variables_that_contradict_each_other_are_told(folder: ConfigFolder) -> None:
    folder.environ = {"WAYSTATION_SHOP__LIMITS": "5", "WAYSTATION_SHOP__LIMITS__A": "5"}
    assert any("contradicts another variable" in problem for problem in folder.problems())


def test_a_wrong_keyword_is_named(folder: ConfigFolder) -> None:
    assert folder.problems(shop={"port": "x"}, shpo={}) == [
        "keyword override: shpo: unknown section; did you mean 'shop'?",
        "keyword override: shop.port: must be a whole number (got 'x')",
    ]


def test_a_section_that_is_no_mapping_is_told_even_where_a_variable_covers_it(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "shop: 5\nfront_door:\n")
    folder.environ = {"WAYSTATION_SHOP__PORT": "1"}
    assert folder.problems() == ["waystation.yaml:1: shop: must be a mapping of keys to values"]
    context = Context(folder.places, {}, {"shop": 5})  # type: ignore[dict-item]  # what a caller may get wrong
    with pytest.raises(ConfigErrors, match="keyword override: shop: must be a mapping"):
        read_book(folder.sections, (), context)


def test_a_broken_main_file_is_told_beside_the_others(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "shop: [\n")
    folder.write("sources.yaml", "wiki: 5\n")
    assert [problem.split(":")[0] for problem in folder.problems()] == ["waystation.yaml", "sources.yaml"]


def test_a_module_that_runs_alone_minds_its_own_sections(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "elsewhere: {x: 1}\nshop: {port: 5}\n")
    folder.environ = {"WAYSTATION_ELSEWHERE__X": "1"}
    book = read_book(SECTIONS[:1], (), folder.context(other={"a": 1}), partial=True)
    assert book[ShopSettings].port == 5


def test_the_first_name_of_a_file_that_exists_is_read(folder: ConfigFolder) -> None:
    folder.write("rag-sources.json", '{"old": {"type": "local", "path": "x"}}')
    assert list(folder.read()[0][SourcesFile].root) == ["old"]
    folder.write("sources.yaml", "new: {type: local, path: x}\n")
    assert list(folder.read()[0][SourcesFile].root) == ["new"]


def test_read_book_raises_with_every_problem(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "shop: {port: x, share: y}\n")
    with pytest.raises(ConfigErrors) as caught:
        shop(folder)
    assert len(caught.value.problems) == 2


def test_the_folders_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Places.from_environ({}) == Places(tmp_path / "config", tmp_path / ".waystation")
    named = Places.from_environ({"WAYSTATION_CONFIG_DIR": str(tmp_path), "WAYSTATION_HOME": "h"})
    assert named == Places(tmp_path, tmp_path / "h")
    with pytest.raises(
        ConfigErrors, match="environment variable WAYSTATION_CONFIG_DIR: there is no folder 'gone'"
    ):
        Places.from_environ({"WAYSTATION_CONFIG_DIR": "gone"})
    with pytest.raises(ConfigErrors, match="there is no folder 'xxx"):
        Places.from_environ({"WAYSTATION_CONFIG_DIR": "x" * 5000})
    (tmp_path / "note").touch()
    with pytest.raises(ConfigErrors, match="environment variable WAYSTATION_HOME: 'note' is not a folder"):
        Places.from_environ({"WAYSTATION_HOME": "note"})


def test_the_current_context_reads_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(tmp_path))
    context = Context.current(shop={"port": 1})
    assert context.places.config_dir == tmp_path
    assert context.overrides == {"shop": {"port": 1}}
    assert "WAYSTATION_HOME" in context.environ
