"""What this service answers as a source is what its own client of such services reads."""

from __future__ import annotations

import pytest

from nodes.rag import serving
from nodes.rag.adapters.http import passages_v1, passages_v2, read_collections
from nodes.rag.errors import SourceLoop, SourceUnavailable
from nodes.rag.loops import arrived, passed_on
from nodes.rag.models import Passage, RAGResponse
from nodes.rag.settings import LocalSource

FOUND = RAGResponse((
    Passage("docs", "travel.md", "Travel › Trains", "Book early.", 0.9, "travel.md#trains"),
    Passage("wiki", "https://wiki/leave", "", "Thirty days.", 0.8, "https://wiki/leave"),
    Passage("docs", "travel.md", "Travel › Trains", "Second class.", 0.7, "travel.md#trains"),
    Passage("docs", "travel.md", "Travel › Cars", "No cars.", 0.6, "travel.md#cars"),
))  # fmt: skip
SEEN = [("travel.md", "Book early.", 0.9), ("https://wiki/leave", "Thirty days.", 0.8)]
SEEN += [("travel.md", "Second class.", 0.7), ("travel.md", "No cars.", 0.6)]


def seen(passages: list[Passage]) -> list[tuple[str, str, float]]:
    return [(p.document, p.text, p.score) for p in passages]


def test_version_2_comes_back_as_it_was_found() -> None:
    answer = serving.raw("trains", FOUND, top_k=4, corpora=["docs", "wiki"], ms=3)
    back = passages_v2(answer, source="far")
    assert seen(back) == SEEN
    assert [p.title for p in back[::3]] == ["Travel › Trains", "Travel › Cars"]
    assert [p.uri for p in back] == [
        "travel.md#trains", "https://wiki/leave", "travel.md#trains", "travel.md#cars",
    ]  # fmt: skip
    assert answer["results"]["stats"] == {"total_found": 4, "top_k": 4}


def test_version_1_comes_back_for_clients_of_both_of_its_forms() -> None:
    answer = serving.completion(FOUND, corpora=["docs", "wiki"], ms=3)
    assert seen(passages_v1(answer, source="far")) == SEEN
    older = {name: answer[name] for name in ("choices", "rag_metadata")}
    assert [p.text for p in passages_v1(older, source="far")] == [text for _, text, _ in SEEN]
    assert "object" not in answer
    assert "[2] https://wiki/leave\nThirty days." in answer["message"]["content"]


def test_what_a_model_wrote_is_called_a_completion() -> None:
    answer = serving.completion(FOUND, corpora=["docs"], ms=3, answer="Early [1].", created=7)
    assert (answer["object"], answer["created"]) == ("chat.completion", 7)
    assert answer["choices"][0]["message"]["content"] == "Early [1]."


def test_a_written_answer_names_what_it_rests_on() -> None:
    answer = serving.synthesized("trains", "Early [4][1].", [4, 1, 9], FOUND, corpora=["docs"], ms=3)
    cited = [(c["n"], c["filename"], c["citation"]) for c in answer["results"]["citations"]]
    assert cited == [
        (4, "travel.md", "Travel › Cars (travel.md)"),
        (1, "travel.md", "Travel › Trains (travel.md)"),
    ]
    (back,) = passages_v2(answer, source="far")
    assert (back.document, back.text) == ("travel.md", "Early [4][1].")


def test_the_discovery_is_read_by_our_client() -> None:
    entries = {"docs": LocalSource(path=["x"], display_name="Documents", description="All of them.")}
    (found,) = read_collections(serving.discovery(entries, version="v2"))
    assert (found.id, found.label, found.description) == ("docs", "Documents", "All of them.")


def test_a_source_that_failed_is_named_and_an_error_where_nothing_was_found() -> None:
    partly = RAGResponse(FOUND.passages, (("wiki", "no answer"),))
    told = serving.raw("x", serving.answered(partly), top_k=4, corpora=["docs", "wiki"], ms=1)["metadata"]
    assert told["failed"] == [{"source": "wiki", "reason": "no answer"}]
    with pytest.raises(SourceUnavailable, match="source 'wiki': no answer"):
        serving.answered(RAGResponse((), (("wiki", "no answer"),)))
    assert serving.answered(RAGResponse()).passages == ()


def test_a_question_that_comes_back_is_refused() -> None:
    with arrived("there"):
        theirs = passed_on()
    assert theirs.startswith("there,")
    with pytest.raises(SourceLoop, match="after 2 services"), arrived(theirs):
        pytest.fail("it went on")
    with arrived(", ,"):
        assert passed_on() == theirs.removeprefix("there,")
    with pytest.raises(SourceLoop), arrived(",".join("abcdefghi")):
        pytest.fail("it went on")
