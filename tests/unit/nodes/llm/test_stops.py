"""Texts that end an answer, wherever its pieces are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.llm.stops import StopTexts

ABC = st.text("ab.", max_size=30)


@given(ABC, st.lists(st.text("ab.", min_size=1, max_size=4), min_size=1, max_size=4), st.data())
def test_an_answer_ends_before_the_first_stop_however_it_comes(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    found, rest, cut = "", text, StopTexts(stops)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += cut.feed(rest[:size])
        rest = rest[size:]
    found += cut.end()
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    # A piece may be too early to know of a longer stop that begins before a shorter one.
    assert found in {text[:place] for place in places} if places else found == text
    assert cut.met is bool(places)
    if places:
        assert not any(stop in found for stop in stops)
