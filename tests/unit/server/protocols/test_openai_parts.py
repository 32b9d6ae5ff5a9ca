"""Contents of messages: texts, files, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest

from server.errors import InvalidRequest, UnsupportedParameter
from server.protocols.openai.citations import annotated, nested
from server.protocols.openai.inputs import asked_in
from server.protocols.openai.parts import read

PNG = "data:image/png;base64,iVBORw0KGgo="


def test_a_text_is_a_text_and_parts_are_joined() -> None:
    assert read("hi", "m").text == "hi"
    assert read(None, "m").text == ""
    parts = [
        {"type": "text", "text": "a"},
        {"type": "input_text", "text": "b"},
        {"type": "refusal", "refusal": "c"},
    ]
    assert read(parts, "m").text == "a\n\nb\n\nc"


@pytest.mark.parametrize(
    ("part", "name", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}}, "image.png", "image/png"),
        ({"type": "input_image", "image_url": PNG}, "image.png", "image/png"),
        ({"type": "file", "file": {"filename": "a.csv", "file_data": "YSxi"}}, "a.csv", "text/csv"),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,YQ=="},
            "a.pdf",
            "application/pdf",
        ),
    ],
)
def test_data_becomes_a_file_with_a_name_and_a_type(part: dict[str, Any], name: str, kind: str) -> None:
    [found] = read([part], "m").attachments
    assert (found.name, found.media_type) == (name, kind)
    assert found.data
    assert found.digest == read([part], "elsewhere").attachments[0].digest


def test_a_key_names_a_file_that_is_stored() -> None:
    for part in ({"type": "input_file", "file_id": "k1"}, {"type": "file", "file": {"file_id": "k1"}}):
        [found] = read([part], "m").attachments
        assert (found.key, found.data) == ("k1", b"")


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
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,???"}}, InvalidRequest, "base64"),
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
        read([{"type": "text", "text": "a"}, part], "m")


def test_an_annotation_stands_at_its_mark() -> None:
    web = {"n": 1, "title": "Fees", "uri": "https://x.example/fees", "document": "fees"}
    page = {"n": 2, "source": "harbour", "document": "handbook.md", "title": "Berths", "uri": "handbook.md#a"}
    found = annotated("So it is [1]. And [3]", [web, page])
    assert found[0] == {
        "type": "url_citation",
        "start_index": 9,
        "end_index": 12,
        "title": "Fees",
        "url": "https://x.example/fees",
    }
    assert found[1] == {
        "type": "file_citation",
        "file_id": "harbour/handbook.md",
        "filename": "handbook.md",
        "index": 21,
    }
    assert nested(found)[1] == {
        "type": "file_citation",
        "file_citation": {"file_id": "harbour/handbook.md", "filename": "handbook.md", "index": 21},
    }


def test_answers_are_told_from_messages() -> None:
    yes = {"type": "mcp_approval_response", "approval_request_id": "i1", "approve": True, "reason": "x"}
    no = {**yes, "approval_request_id": "i2", "approve": False, "reason": "not now"}
    found = asked_in([{"type": "mcp_approval_request", "id": "i1"}, yes, no])
    assert found.answers == {"i1": {"approve": True}, "i2": {"approve": False, "reason": "not now"}}
    with pytest.raises(InvalidRequest, match="not both"):
        asked_in([yes, {"role": "user", "content": "hi"}])
    with pytest.raises(InvalidRequest, match="approve"):
        asked_in([{**yes, "approve": "yes"}])


@pytest.mark.parametrize(
    "items",
    [
        [{"role": "robot", "content": "hi"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": ["hi"]}],
        [{"role": "assistant", "content": "I speak last."}],
        [{"role": "user", "content": "  "}],
    ],
)
def test_items_that_say_nothing_are_refused(items: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidRequest):
        asked_in(items)


def test_the_words_of_a_user_at_the_end_are_one_message() -> None:
    found = asked_in(
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
            {"role": "developer", "content": "brief"},
            {"role": "user", "content": [{"type": "input_image", "image_url": PNG}]},
        ]
    )
    assert [(one.role, one.text) for one in found.said] == [("user", "a"), ("assistant", "b"), ("user", "c")]
    assert found.instructions == "brief"
    assert found.said[-1].others == tuple(each.digest for each in found.attached)
