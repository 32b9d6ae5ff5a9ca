"""Topics on their way out."""

from __future__ import annotations

from core.signals.signals import Pending


def pending(*topics: str, most: int = 3) -> Pending[str]:
    made: Pending[str] = Pending(most)
    for topic in topics:
        made.add(topic)
    return made


def test_equal_topics_are_one() -> None:
    assert pending("a", "b", "a").take() == ["a", "b"]


def test_beyond_the_bound_the_oldest_are_dropped_and_counted() -> None:
    waiting = pending("a", "b", "c", "d", "d")
    assert (waiting.dropped, waiting.take()) == (1, ["b", "c", "d"])


def test_they_can_be_taken_bit_by_bit() -> None:
    waiting = pending("a", "b", "c")
    assert [waiting.take(2), waiting.take(2), waiting.take(2)] == [["a", "b"], ["c"], []]


def test_what_did_not_get_out_goes_first_within_the_bound() -> None:
    waiting = pending("c", "d")
    waiting.put_back(["a", "b", "c"])
    assert (waiting.dropped, waiting.take()) == (1, ["b", "c", "d"])
