"""What of a table is sent in `make test`, and that all of it can be."""

from __future__ import annotations

import pytest

from tests.kit.samples import pairs, tries

ROWS, COLUMNS = "abcdefg", range(10)


@pytest.fixture(autouse=True)
def _sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `make test` runs them, also in a campaign."""
    monkeypatch.delenv("WHOLE_SAMPLES", raising=False)


def test_some_of_a_table_is_the_same_each_time_and_leaves_out_no_row_and_no_column() -> None:
    some = list(pairs(ROWS, COLUMNS, here=3))
    assert some == list(pairs(ROWS, COLUMNS, here=3))
    assert len(set(some)) == len(some) == 21
    assert ({row for row, _ in some}, {column for _, column in some}) == (set(ROWS), set(COLUMNS))


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows with 3 each leave out some of 10 columns"):
        list(pairs("ab", COLUMNS, here=3))


def test_all_of_it_is_sent_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(tries(25, here=8)) == 8
    monkeypatch.setenv("WHOLE_SAMPLES", "1")
    assert len(tries(25, here=8)) == 25
    assert sorted(pairs(ROWS, COLUMNS, here=3)) == [(row, column) for row in ROWS for column in COLUMNS]
