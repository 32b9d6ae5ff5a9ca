"""What the chat page shows of a turn."""

from __future__ import annotations

import pytest

from server.chat import ChatOutput, spoken


@pytest.mark.parametrize(
    ("event", "shown", "text"),
    [
        ({"type": "token", "delta": "a"}, "", "a"),
        ({"type": "usage"}, "", ""),
        ({"type": "done", "answer": "8"}, "", "8"),
        ({"type": "done", "answer": "8"}, "8", ""),
        ({"type": "error", "title": "Broken", "detail": "no model"}, "", "Broken: no model"),
        ({"type": "error", "title": "Broken", "detail": "no model"}, "so far", "\n\nBroken: no model"),
    ],
)
def test_what_a_person_reads_of_an_event(event: dict[str, str], shown: str, text: str) -> None:
    assert spoken(event, shown) == text


def test_the_schema_is_the_one_that_the_page_knows() -> None:
    assert ChatOutput.model_json_schema()["anyOf"][0]["properties"]["type"]["enum"] == ["ai"]
