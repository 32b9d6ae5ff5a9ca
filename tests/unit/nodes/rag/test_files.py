from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.home import WRITTEN
from core.installed import ROOT
from nodes.rag.files import NotText, list_files, read_text
from tests.unit.nodes.rag.corpus import HANDBOOK, write


def test_a_folder_gives_its_text_files_by_relative_name(tmp_path: Path) -> None:
    root = write(tmp_path / "handbook")
    (root / "logo.png").write_bytes(b"\x89PNG")
    (root / ".git").mkdir()
    (root / ".git" / "secret.md").write_text("no")
    listing = list_files([str(root)])
    assert set(listing.files) == set(HANDBOOK)
    assert listing.ignored == 1


def test_a_root_around_the_home_of_the_service_has_none_of_its_files(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.md": "open", "home/files/of-ada.md": "hers", "home/notes/b.md": "notes"})
    home = root / "home"
    (tmp_path / "same").symlink_to(home)
    (root / "link.md").symlink_to(home / "files" / "of-ada.md")
    assert set(list_files([str(root)], home).files) == {"a.md"}
    assert set(list_files([str(root / "**" / "*.md")], tmp_path / "same").files) == {"a.md"}
    assert set(list_files([str(home / "notes")], home).files) == {"b.md"}


@pytest.mark.parametrize("root", ["", "/**/*.*", "/*/*"])
def test_of_a_root_that_is_the_home_what_the_service_writes_there_is_no_document(
    tmp_path: Path, root: str
) -> None:
    written = [name if "." in name else f"{name}/of-ada.md" for name in WRITTEN]
    home = write(tmp_path, {"notes/b.md": "notes", **dict.fromkeys(written, "hers")})
    assert set(list_files([f"{home}{root}"], home).files) == {"notes/b.md"}


def test_all_that_a_service_writes_into_its_home_is_known() -> None:
    files = [file for room in ("core", "nodes", "graph", "server") for file in (ROOT / room).rglob("*.py")]
    found = {name for file in files for name in re.findall(r'home / "([^"]+)"', file.read_text())}
    assert found >= {"files", "logs", "secrets"}
    assert found - {"no-config"} <= set(WRITTEN)


def test_a_glob_and_a_single_file_take_any_text(tmp_path: Path) -> None:
    root = write(tmp_path / "handbook")
    (root / "README").write_text("Read me first.")
    listing = list_files([str(root / "**" / "*.md"), str(root / "README")])
    assert set(listing.files) == {"index.md", "limits.md", "guides/tools.md", "README"}


def test_files_of_one_name_from_two_roots_stay_apart(tmp_path: Path) -> None:
    roots = [write(tmp_path / name, {"a.md": name}) for name in ("one", "two")]
    roots.append(write(tmp_path / "more" / "two", {"a.md": "three"}))
    assert list(list_files(map(str, roots)).files) == ["a.md", "two/a.md", "two-2/a.md"]


def test_a_file_under_two_roots_counts_once(tmp_path: Path) -> None:
    root = write(tmp_path / "handbook")
    assert len(list_files([str(root), str(root / "index.md")]).files) == len(HANDBOOK)


def test_a_root_that_is_not_there_is_told_apart_from_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    gone, lost = str(tmp_path / "gone"), str(tmp_path / "gone" / "*.md")
    assert list_files([str(tmp_path / "empty"), gone, lost]).missing == (gone, lost)


def test_a_link_out_of_the_source_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    root = write(tmp_path / "handbook", {"a.md": "open"})
    (root / "b.md").symlink_to(tmp_path / "secret.md")
    (root / "c.md").symlink_to(root / "a.md")
    assert set(list_files([str(root)]).files) == {"a.md"}
    assert set(list_files([str(root / "*.md")]).files) == {"a.md"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"a\0b", "binary"), (b"\xff\xfe\xfa", "UTF-8"), (b"x" * 1001, "larger than 1000")],
)
def test_what_is_no_text_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    with pytest.raises(NotText, match=reason):
        read_text(path, max_bytes=1000)


def test_a_file_that_went_away_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotText, match="cannot be read"):
        read_text(tmp_path / "gone.txt", max_bytes=1000)


def test_line_ends_and_byte_order_marks_are_evened_out(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree")
    assert read_text(path, max_bytes=1000) == "one\ntwo\nthree"


def test_a_folder_that_a_glob_finds_is_told_unless_it_is_read_by_its_own_name(tmp_path: Path) -> None:
    for name in ("notes.md", "d1/a.md", "hr/pay.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("words")
    found = list_files([f"{tmp_path}/*", f"{tmp_path}/hr"])
    assert sorted(found.files) == ["notes.md", "pay.md"]
    assert list(found.unread) == ["d1"]
    assert "it is a folder" in found.unread["d1"]
    below = list_files([f"{tmp_path}/**"])
    assert sorted(below.files) == ["d1/a.md", "hr/pay.md", "notes.md"]
    assert below.unread == {}
