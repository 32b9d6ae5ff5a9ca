from __future__ import annotations

import pytest

from nodes.rag.models import Chunk, Hit
from nodes.rag.ranking import COMPARED, current_first, fuse, guides_first, weigh
from nodes.rag.versions import edition, is_newer

LONG = (
    "Hotels in London cost at most {} pounds a night, breakfast is paid, and every invoice goes to finance."
)


def hit(document: str, text: str = "", score: float = 0.5, start: int = 0) -> Hit:
    said = text or f"text of {document} at {start}"
    return Hit(Chunk(f"{document}-{start}", document, "", said, said, start, start + 9, document), score)


def documents(found: list[Hit]) -> list[str]:
    return [item.chunk.document for item in found]


def test_a_document_that_both_rankings_know_comes_before_the_first_of_one() -> None:
    words = [hit("a"), hit("b", start=1)]
    meaning = [hit("c"), hit("b", start=2)]
    assert documents(fuse(words, meaning))[0] == "b"


def test_one_ranking_keeps_its_order_with_a_passage_of_each_document_first() -> None:
    found = fuse([hit("a"), hit("a", start=1), hit("b"), hit("a", start=2), hit("b", start=1)])
    assert [(f.chunk.document, f.chunk.start) for f in found] == [
        ("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)
    ]  # fmt: skip


def test_one_that_is_far_ahead_by_words_stays_first_although_others_are_in_both_rankings() -> None:
    words = [hit("exact", score=0.8), hit("x", score=0.3), hit("y", score=0.3)]
    meaning = [hit("x", score=0.2), hit("y", score=0.19)]
    assert documents(weigh(words, meaning, weight=2, floor=0.1)) == ["exact", "x", "y"]
    assert documents(fuse(words, meaning))[0] == "x"


def test_one_that_is_far_ahead_by_meaning_comes_first_although_it_holds_no_word() -> None:
    words = [hit("x", score=0.4)]
    meaning = [hit("same", score=0.5), hit("x", score=0.1)]
    assert documents(weigh(words, meaning, weight=2, floor=0.1)) == ["same", "x"]


def test_records_stand_behind_guides_by_meaning_too_unless_they_are_asked_for() -> None:
    near = [hit("decisions/0001-x.md", score=0.4), hit("guide.md", score=0.3)]
    assert documents(guides_first(near, ["hotel"])) == ["guide.md", "decisions/0001-x.md"]
    assert documents(guides_first(near, ["decis"]))[0] == "decisions/0001-x.md"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("policy-2023.md", "policy-2025.md"),
        ("policy_v1.docx", "policy_v2.docx"),
        ("policy-v1.2.pdf", "policy-v1.10.pdf"),
        ("travel-2024-05.md", "travel-2024-11.md"),
        ("archive/policy.md", "policy.md"),
        ("policies/2023/travel.md", "policies/2025/travel.md"),
        ("policy-old.md", "policy.md"),
        ("policy (veraltet).md", "policy.md"),
        ("policy-2023.md", "policy.md"),
        ("policy.md", "policy-final.md"),
    ],
)
def test_the_older_version_goes_behind_the_newer_one(older: str, newer: str) -> None:
    found = [hit(older, LONG.format(160), 0.9), hit("other.md", score=0.5), hit(newer, LONG.format(185), 0.4)]
    assert documents(current_first(found, "hotel in London")) == [newer, "other.md", older]
    assert documents(current_first(found[::-1], "hotel in London")) == [newer, "other.md", older]


def test_a_version_that_the_question_names_comes_first() -> None:
    found = [hit("policy-2025.md", LONG.format(185)), hit("policy-2023.md", LONG.format(160))]
    assert documents(current_first(found, "What was the limit in 2023?"))[0] == "policy-2023.md"
    versions = [hit("api-v2.md", LONG.format(2)), hit("api-v1.md", LONG.format(1))]
    assert documents(current_first(versions, "hotels in v1"))[0] == "api-v1.md"


def test_versions_that_say_different_things_both_stay() -> None:
    found = [
        hit("minutes-2023-05-01.md", "The roof is mended in May."),
        hit("minutes-2025-05-01.md", "A new van."),
    ]
    assert documents(current_first(found, "roof")) == documents(found)


def test_a_near_copy_of_another_document_goes_behind_what_is_new() -> None:
    found = [hit("a.md", LONG.format(185)), hit("copy of a.md", LONG.format(185) + " Thanks."), hit("b.md")]
    assert documents(current_first(found, "hotel")) == ["a.md", "b.md", "copy of a.md"]


def test_only_the_first_ones_are_compared() -> None:
    found = [hit(f"d{n}.md", LONG.format(1)) for n in range(COMPARED + 10)]
    assert documents(current_first(found, "hotel"))[1 : 1 + 10] == [
        f"d{n}.md" for n in range(COMPARED, COMPARED + 10)
    ]


def test_a_name_without_a_version_is_a_family_of_its_own() -> None:
    assert edition("hr/leave.md").family != edition("hr/travel.md").family
    assert edition("a/policy-v2.md").family != edition("b/policy-v1.md").family
    assert not is_newer(edition("a.md"), edition("b.md"))
