"""What OpenAI's wire says and shows: annotations, answers among items, words at the end."""

from __future__ import annotations

from typing import Any

import pytest

from server.errors import InvalidRequest
from server.protocols.openai.citations import annotated, nested
from server.protocols.openai.inputs import asked_in

PNG = "data:image/png;base64,iVBORw0KGgo="


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
    assert [each.media_type for each in found.attached] == ["image/png"]
    assert len(found.said[-1].others) == 1
