"""Problems in files: the right line, a key that people wrote, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.settings import ConfigFolder
from tests.unit.core.settings.shapes import LICENCE, SECTIONS, SERVERS, SOURCES


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    return ConfigFolder(tmp_path, SECTIONS, (SOURCES, SERVERS))


def test_every_problem_of_every_file_is_told_at_once(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "shop:\n  prt: 1\n  port: x\nshp: {}\n")
    folder.write("sources.yaml", "wiki: {}\n")
    folder.write("mcp.json", "{")
    assert folder.problems() == [
        "waystation.yaml:4: shp: unknown section; did you mean 'shop'?",
        "waystation.yaml:2: shop.prt: unknown key; did you mean 'port'?",
        "waystation.yaml:3: shop.port: must be a whole number (got 'x')",
        "sources.yaml:1: wiki: the key 'type' is missing",
        "mcp.json:1: is not valid JSON: Expecting property name enclosed in double quotes at column 2",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("host: [1]", "shop.host: must be text (got a list)"),
        ("port: 70000", "shop.port: must be less than or equal to 65535 (got 70000)"),
        ("port:", "shop.port: must be a whole number (got nothing)"),
        ("port: 1.5", "shop.port: must be a whole number (got 1.5)"),
        ("share: much", "shop.share: must be a number (got 'much')"),
        ("open: maybe", "shop.open: must be true or false (got 'maybe')"),
        ("tags: a", "shop.tags: must be a list (got 'a')"),
        ("tags: [a, 5]", "shop.tags.1: must be text (got 5)"),
        ("colour: gren", "shop.colour: must be 'red', 'green' or 'blue' (got 'gren'); did you mean 'green'?"),
        ("colour: 5", "shop.colour: must be 'red', 'green' or 'blue' (got 5)"),
        ("api_key: 5", "shop.api_key: must be text (got ***)"),
        ("sign_with: [1]", "shop.sign_with: must be text (got ***)"),
        ("limits: {a: b}", "shop.limits.a: must be a whole number (got 'b')"),
        ("url: ftp://ada:pw@host", "shop.url: must match pattern '^(https?://.+)?$' (got 'ftp://***@host')"),
        ("zebra: 1", "shop.zebra: unknown key; known keys: api_key, colour, host, limits, max_tokens, open,"),
    ],
)
def test_each_kind_of_value_has_its_sentence(folder: ConfigFolder, line: str, problem: str) -> None:
    folder.write("waystation.yaml", f"shop:\n  max_tokens: 7\n  {line}\n")
    found = folder.problems()
    assert len(found) == 1
    assert found[0].startswith(f"waystation.yaml:3: {problem}")


def test_the_tag_of_a_union_is_not_part_of_the_key(folder: ConfigFolder) -> None:
    folder.write(
        "sources.yaml",
        """\
        wiki:
          type: local
          pth: a
        faq:
          description: x
          type: locl
        web:
          type: http
          url: u
          top_k: many
        """,
    )
    assert folder.problems() == [
        "sources.yaml:1: wiki.path: a required key is missing",
        "sources.yaml:3: wiki.pth: unknown key; did you mean 'path'?",
        "sources.yaml:6: faq: 'type' must be one of local, http, not 'locl'; did you mean 'local'?",
        "sources.yaml:10: web.top_k: must be a whole number (got 'many')",
    ]


@pytest.mark.parametrize(("around", "key"), [(True, "mcpServers."), (False, "")])
def test_both_shapes_of_a_file_give_the_right_lines(folder: ConfigFolder, around: bool, key: str) -> None:
    entries = '"a": {\n"comand": "x"},\n"b": {\n"command": 5,\n"timeout_s": "x",\n"env": {"A": 1}}'
    folder.write("mcp.json", f'{{"mcpServers": {{{entries}}}}}' if around else f"{{{entries}}}")
    assert folder.problems() == [
        f"mcp.json:2: {key}a.comand: unknown key; did you mean 'command'?",
        f"mcp.json:4: {key}b.command: must be text or a list (got 5)",
        f"mcp.json:5: {key}b.timeout_s: must be a number (got 'x')",
        f"mcp.json:6: {key}b.env.A: must be text (got ***)",
    ]


def test_the_member_of_a_union_that_was_meant_is_told(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{"web": {\n"command": ["python",\n5]}}')
    assert folder.problems() == ["mcp.json:3: web.command.1: must be text (got 5)"]


def test_members_of_a_union_that_say_the_same_say_it_once(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{"web": {"command": "x",\n"wait_s": []}}')
    assert folder.problems() == ["mcp.json:2: web.wait_s: must be a number or true or false (got a list)"]


def test_a_rule_over_several_keys_stands_at_their_entry(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{\n"web": {"timeout_s": 5}}')
    assert folder.problems() == ["mcp.json:2: web: needs a command"]


def test_an_entry_that_is_no_mapping_is_told(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{\n"web": "http://x"}')
    folder.write("sources.yaml", "wiki: ./docs\n")
    assert folder.problems() == [
        "sources.yaml:1: wiki: must be a mapping of keys to values (got './docs')",
        "mcp.json:2: web: must be a mapping of keys to values (got 'http://x')",
    ]


def test_a_list_where_names_are_wanted_is_told_how_to_write_it(folder: ConfigFolder) -> None:
    folder.write("mcp.json", '{"mcpServers": [{"command": "x"}]}')
    said = "must be a mapping of keys to values (got a list); give each entry a key of its own: its name"
    assert folder.problems() == [f"mcp.json:1: mcpServers: {said}"]


def test_an_unset_variable_is_told_once(folder: ConfigFolder) -> None:
    folder.write("waystation.yaml", "shop:\n  port: ${SHOP_PORT}\n  host: ${HOST:-here}\n")
    unset = "waystation.yaml:2: shop.port: the environment variable SHOP_PORT is not"
    assert folder.problems() == [f"{unset} set; set it, or write ${{SHOP_PORT:-default}}"]
    folder.environ = {"SHOP_PORT": "\udcff"}
    assert folder.problems() == [f"{unset} text; set it, or write ${{SHOP_PORT:-default}}"]


def test_what_a_variable_held_is_not_shown(folder: ConfigFolder) -> None:
    folder.environ = {"SHOP_PORT": "hunter2"}
    folder.write("waystation.yaml", "shop:\n  port: ${SHOP_PORT}\n")
    assert folder.problems() == ["waystation.yaml:2: shop.port: must be a whole number (got '${SHOP_PORT}')"]


def test_a_file_that_must_be_there_is_asked_for(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path, (), (LICENCE,))
    assert folder.problems() == ["licence.yaml: owner: a required key is missing"]
    folder.write("licence.yaml", "owner: ada\n")
    assert folder.problems() == []
