from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.settings import ConfigErrors, Document, read_document

LAUGHS = "\n".join(f"k{n}: &a{n} [{', '.join(['1' if n == 0 else f'*a{n - 1}'] * 10)}]" for n in range(8))


def written(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problem(path: Path) -> str:
    with pytest.raises(ConfigErrors) as caught:
        read_document(path)
    assert len(caught.value.problems) == 1
    assert str(path) not in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "---\n", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping(tmp_path: Path, text: str) -> None:
    assert read_document(written(tmp_path, "a.yaml", text)).data == {}


def test_an_empty_json_file_is_an_empty_mapping(tmp_path: Path) -> None:
    assert read_document(written(tmp_path, "a.json", " \n")).data == {}


def test_every_key_has_its_line_in_yaml(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "a.yaml", "a:\n  b: 1\n  c:\n    - x\n    - y: 2\n"))
    assert document.data == {"a": {"b": 1, "c": ["x", {"y": 2}]}}
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "c", 1, "y")) == 5
    assert document.line(("a", "gone", "deeper")) == 1
    assert document.line(("gone",)) is None


def test_every_key_has_its_line_in_json_with_tabs(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "a.json", '{\n\t"a": {\n\t\t"b":1e5, "c": "\\u00e9"\n\t}\n}'))
    assert document.data == {"a": {"b": 1e5, "c": "é"}}
    assert document.line(("a", "c")) == 3
    assert document.place(("a",)) == ("a.json", 2)


def test_a_wrapper_that_is_not_in_the_file_is_skipped(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "a.json", '{\n"web": {\n"x": 1}}'))
    assert document.line(("mcpServers", "web", "x")) == 3


def test_json_that_yaml_cannot_read_has_no_lines_and_is_still_read(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "a.json", '{"%s": 1}' % ("k" * 2000)))
    assert document.lines == {}
    assert list(document.data.values()) == [1]


def test_keys_are_text_and_dates_stay_text(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "a.yaml", "1: a\non: b\nnull: c\nd: 2026-01-01\n=: e\n"))
    assert document.data == {"1": "a", "on": "b", "null": "c", "d": "2026-01-01", "=": "e"}
    assert document.line(("on",)) == 2


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nuse:\n  <<: [*b, *m]\n  x: 9\nalso:\n  <<: *m\n"
    document = read_document(written(tmp_path, "a.yaml", text))
    assert document.data["use"] == {"x": 9, "y": 2, "z": 4}
    assert document.data["also"] == {"y": 3, "z": 4}
    assert document.line(("use", "x")) == 5


def test_what_is_written_is_found_by_its_path() -> None:
    document = Document("a.yaml", None, {"a": [{"b": "${X}"}]})
    assert document.written(("a", 0, "b")) == "${X}"
    assert document.written(("a", 1)) is None
    assert document.written(("a", "b")) is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "- 1\n- 2\n", "a.yaml:1: must be a mapping of keys to values at the top, not a list"),
        ("a.yaml", "hello\n", "a.yaml:1: must be a mapping of keys to values at the top, not a single value"),
        ("a.json", "[1]", "a.json:1: must be a mapping of keys to values at the top, not a list"),
        ("a.yaml", "a: 1\nb:\n\tc: 2\n", "a.yaml:3: is not valid YAML: a tab stands where spaces must"),
        ("a.yaml", "a: 1\nb: [1\nc: 2\n", "a.yaml:3: is not valid YAML"),
        ("a.yaml", "a: 1\n---\nb: 2\n", "a.yaml:2: is not valid YAML: but found another document"),
        ("a.yaml", "a: 1\nb:\n  c: 1\n  c: 2\n", "a.yaml:4: has the key 'c' twice"),
        ("a.json", '{\n"a": {\n"b": 1,\n"b": 2}}', "a.json:4: has the key 'b' twice"),
        ("a.json", '{\n"a": 1,,\n}', "a.json:2: is not valid JSON"),
        ("a.json", '{"a": NaN}', "a.json: is not valid JSON: NaN is not a JSON number"),
        ("a.json", '{"a": ' + "9" * 5000 + "}", "a.json: has a number that is too long to read"),
        ("a.yaml", "x: 1\na: " + "9" * 5000, "a.yaml:2: has a value that cannot be read as int"),
        ("a.yaml", "a: !!bool maybe", "a.yaml:1: has a value that cannot be read as bool"),
        ("a.yaml", "a: !!int ''", "a.yaml:1: has a value that cannot be read as int"),
        ("a.yaml", "a: 1\nb: !!python/object:os.system x", "a.yaml:2: has the tag 'tag:yaml.org,2002:python"),
        ("a.yaml", "a: !mine {b: 1}", "a.yaml:1: has the tag '!mine'; write a plain value"),
        ("a.yaml", "? [a, b]\n: 1\n", "a.yaml:1: has a key that is not plain text"),
        ("a.yaml", "a: *nowhere\n", "a.yaml:1: is not valid YAML: found undefined alias"),
        ("a.yaml", "a:\n  <<: 5\n", "a.yaml:2: merges ('<<') something that is not a mapping"),
        ("a.yaml", "a: &x\n  b: *x\n", "is nested deeper than 64 levels"),
        ("a.yaml", LAUGHS, "has more than 50000 values, anchors included"),
        ("a.yaml", "a: " + "[" * 5000, "a.yaml:1: is nested deeper than 64 levels"),
        ("a.json", '{"a":' + "[" * 100_000, "a.json: is nested deeper than 64 levels"),
        ("b.json", '{"a":\n' * 100 + "1" + "}" * 100, "b.json:66: is nested deeper than 64 levels"),
        ("a.json", '{"a": "\\ud800"}', "a.json:1: has half a surrogate pair in a text"),
        ("a.json", '{"\\ud800": 1}', "a.json:1: has half a surrogate pair in a text"),
        ("a.yaml", 'a: "\\ud800"', "a.yaml:1: has half a surrogate pair in a text"),
        ("a.yaml", "a: 1\nb: \x00\n", "a.yaml:2: has the character U+0000, which YAML forbids"),
        ("a.yaml", b"a: 1\nb: \xff\xfe\n", "a.yaml:2: is not UTF-8 text; save it as UTF-8"),
        ("a.yaml", b"#" * 1_048_577, "a.yaml: is larger than 1048576 bytes"),
    ],
)
def test_what_cannot_be_read_says_why_and_where(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    assert message in problem(written(tmp_path, name, text))


def test_a_folder_or_a_pipe_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    os.mkfifo(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").symlink_to(tmp_path / "nothing")
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        assert problem(tmp_path / name) == f"{name}: cannot be read: it is not a file"


def test_the_hint_for_editors_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"$schema": "schemas/servers.schema.json", "mcpServers": {}}')
    assert read_document(path).data == {"mcpServers": {}}
