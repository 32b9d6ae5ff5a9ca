"""Contents of messages, in every dialect: texts, files, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest

from server.attachments import MOST_PARTS, read_content
from server.errors import InvalidRequest, UnsupportedParameter

PNG = "data:image/png;base64,iVBORw0KGgo="


def test_a_text_is_a_text_and_parts_are_joined() -> None:
    assert read_content("hi", "m").text == "hi"
    assert read_content(None, "m").text == ""
    parts = [
        {"type": "text", "text": "a"},
        {"type": "input_text", "text": "b"},
        {"type": "refusal", "refusal": "c"},
    ]
    assert read_content(parts, "m").text == "a\n\nb\n\nc"


@pytest.mark.parametrize(
    ("part", "name", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}}, "image-1.png", "image/png"),
        ({"type": "input_image", "image_url": PNG}, "image-1.png", "image/png"),
        ({"type": "file", "file": {"filename": "a.csv", "file_data": "YSxi"}}, "a.csv", "text/csv"),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,YQ=="},
            "a.pdf",
            "application/pdf",
        ),
        # LangChain: of today, of 0.3, of its JavaScript.
        (
            {"type": "file", "base64": "YQ==", "mime_type": "text/csv", "extras": {"filename": "a.csv"}},
            "a.csv",
            "text/csv",
        ),
        (
            {"type": "image", "source_type": "base64", "data": "YQ==", "mime_type": "image/png"},
            "image-1.png",
            "image/png",
        ),
        (
            {"type": "image", "data": "YQ==", "mimeType": "image/png", "metadata": {"name": "a.png"}},
            "a.png",
            "image/png",
        ),
    ],
)
def test_data_becomes_a_file_with_a_name_and_a_type(part: dict[str, Any], name: str, kind: str) -> None:
    content = read_content([part], "m")
    [found] = content.files
    assert (found.name, found.media_type) == (name, kind)
    assert found.b64 in ("iVBORw0KGgo=", "YSxi", "YQ==")
    assert content.marks() == read_content([part], "elsewhere").marks()


def test_a_key_names_a_file_that_is_stored() -> None:
    for part in ({"type": "input_file", "file_id": "k1"}, {"type": "file", "file": {"file_id": "k1"}}):
        [found] = read_content([part], "m").files
        assert (found.key, found.b64) == ("k1", "")


@pytest.mark.parametrize(
    ("part", "error", "says"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
            UnsupportedParameter,
            "fetched",
        ),
        ({"type": "input_image", "image_url": "file:///etc/passwd"}, UnsupportedParameter, "fetched"),
        ({"type": "input_audio", "input_audio": {}}, UnsupportedParameter, "input_audio"),
        ({"type": "input_file", "file_url": "https://x.example/a.pdf"}, UnsupportedParameter, "fetched"),
        ({"type": "image_url"}, InvalidRequest, "neither"),
        ({"type": "file", "file": "x"}, InvalidRequest, "object"),
        ({"type": "text"}, InvalidRequest, "missing"),
        ({}, UnsupportedParameter, "None"),
    ],
)
def test_what_is_not_taken_is_refused_at_its_place(
    part: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=rf"(?s)^m\.1.*{says}"):
        read_content([{"type": "text", "text": "a"}, part], "m")


def test_a_content_has_only_so_many_parts() -> None:
    with pytest.raises(InvalidRequest, match=f"has {MOST_PARTS + 1} parts"):
        read_content(["x"] * (MOST_PARTS + 1))
