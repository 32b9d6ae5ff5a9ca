from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.settings import ConfigErrors, ConfigFile, Context, Places, read_book
from nodes.rag.module import MODULE
from nodes.rag.settings import HttpSource, LocalSource, McpSource, SourcesFile


def sources(folder: Path, text: str, *, name: str = "sources.yaml", **environ: str) -> SourcesFile:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    context = Context(Places(folder, folder / "home"), environ, {})
    file: ConfigFile = MODULE.files[0]
    return read_book([], [file], context)[SourcesFile]


def test_the_three_kinds_of_source_are_read(tmp_path: Path) -> None:
    found = sources(
        tmp_path,
        """
handbook: {type: local, path: docs, groups: [staff]}
wiki: {type: http, url: "http://127.0.0.1:1/", bearer_token: "${TOKEN}", top_k: 3, api_version: v2}
tool: {type: mcp, command: [python, server.py], enabled: false}
""",
        TOKEN="s3cret",  # not a real one
    ).sources
    local, http, mcp = found["handbook"], found["wiki"], found["tool"]
    assert isinstance(local, LocalSource)
    assert local.patterns == [str(tmp_path / "docs")]
    assert isinstance(http, HttpSource)
    assert http.bearer_token is not None
    assert http.bearer_token.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(http)
    assert http.url == "http://127.0.0.1:1"
    assert isinstance(mcp, McpSource)


def test_the_older_file_name_and_flat_json_work(tmp_path: Path) -> None:
    text = json.dumps({"wiki": {"type": "http", "url": "http://127.0.0.1:1", "display_name": "Wiki"}})
    found = sources(tmp_path, text, name="rag-sources.json").sources
    assert found["wiki"].display_name == "Wiki"


def test_a_file_wrapped_in_sources_and_an_entry_without_type_work(tmp_path: Path) -> None:
    found = sources(tmp_path, "sources:\n  a: {path: [x, y/*.md]}\n  b: {command: run}\n").sources
    assert [entry.type for entry in found.values()] == ["local", "mcp"]


def test_a_source_may_itself_be_called_sources(tmp_path: Path) -> None:
    assert list(sources(tmp_path, "sources: {type: local, path: x}").sources) == ["sources"]


def test_no_file_means_no_sources(tmp_path: Path) -> None:
    book = read_book([], MODULE.files, Context(Places(tmp_path, tmp_path), {}, {}))
    assert book[SourcesFile].sources == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {type: loca, path: x}", "did you mean 'local'"),
        ("a: {type: local, pth: x}", "did you mean 'path'"),
        ("a: {type: http, url: 'ftp://x'}", "must start with http:// or https://"),
        ("a: {type: local, path: []}", "a.path"),
        ("a b: {type: local, path: x}", "a b"),
        ("a: {type: local, path: x, embedder: {url: nope, model: m}}", "must start with http://"),
        ("[1]", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        sources(tmp_path, text)
    assert message in caught.value.detail
    assert "sources.yaml" in caught.value.detail
    assert str(tmp_path) not in caught.value.detail
