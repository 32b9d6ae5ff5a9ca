"""Keys, owners, names, media types and tags."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.file_storage.errors import InvalidFile
from nodes.file_storage.naming import (
    checked_key,
    checked_tags,
    clean_name,
    derived_key,
    media_type_of,
    new_key,
    owner_folder,
)


def test_keys_are_ours_and_never_the_same() -> None:
    keys = {new_key() for _ in range(200)}
    assert len(keys) == 200
    assert all(re.fullmatch(r"f_[A-Za-z0-9_-]{24}", key) for key in keys)


def test_a_derived_key_depends_on_every_part_and_where_it_ends() -> None:
    assert derived_key("t1", "a1") == derived_key("t1", "a1") == checked_key(derived_key("t1", "a1"))
    assert len({derived_key("t1", "a1"), derived_key("t1a", "1"), derived_key("t1", "a2")}) == 3
    assert re.fullmatch(r"f_[A-Za-z0-9_-]{24}", derived_key("t1", "a1"))


@pytest.mark.parametrize("key", ["", "a/b", "..", "a b", "ä", "x" * 65, "a\n"])
def test_a_key_has_only_plain_characters(key: str) -> None:
    with pytest.raises(InvalidFile, match="cannot be a key"):
        checked_key(key)


@given(st.text(), st.text())
def test_owner_folders_are_safe_and_differ(one: str, other: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9@_-]{1,32}-[0-9a-f]{24}", owner_folder(one))
    assert (owner_folder(one).lower() == owner_folder(other).lower()) == (one == other)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\data.csv", "data.csv"),
        ("日本語.txt", "日本語.txt"),
        ("a\x00b\r\nc\x7f.txt", "abc.txt"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("family 👨‍👩‍👧.png", "family 👨‍👩‍👧.png"),
        ("broken\ud800.txt", "broken.txt"),
        ("  spaced  ", "spaced"),
        ("", "file"),
        ("..", "file"),
        ("folder/", "file"),
        ("e\u0301.txt", "\u00e9.txt"),
    ],
)
def test_names_are_one_line_without_folders(given_name: str, kept: str) -> None:
    assert clean_name(given_name) == kept


def test_a_long_name_is_cut_and_keeps_its_ending() -> None:
    assert clean_name("a" * 400 + ".csv") == "a" * 251 + ".csv"
    assert clean_name("資" * 200 + ".csv") == "資" * 83 + ".csv"
    assert clean_name("x." + "y" * 400) == ("x." + "y" * 400)[:255]


@given(st.text())
def test_any_text_becomes_a_name(text: str) -> None:
    name = clean_name(text)
    assert 1 <= len(name.encode()) <= 255
    assert "/" not in name
    assert "\n" not in name


@pytest.mark.parametrize(
    ("name", "asked", "kept"),
    [
        ("a.csv", None, "text/csv"),
        ("a.csv", "application/x-mine", "application/x-mine"),
        ("a.txt", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("a.csv", "no type", "text/csv"),
        ("a.csv", "text/html\r\nset-cookie: x=1", "text/csv"),
        ("a.unheard-of", None, "application/octet-stream"),
        ("noending", "", "application/octet-stream"),
    ],
)
def test_the_media_type_is_what_was_said_or_what_the_ending_says(
    name: str, asked: str | None, kept: str
) -> None:
    assert media_type_of(name, asked) == kept


@pytest.mark.parametrize("tags", [{"a": 1}, {"a": "x" * 600}, {"a": "\ud800"}, {"a": None}])
def test_tags_are_short_texts(tags: dict[str, object]) -> None:
    with pytest.raises(InvalidFile, match="tags"):
        checked_tags(tags)
    assert checked_tags(None) == {}
