"""Which tests' coverage is measured."""

from __future__ import annotations

import pytest

from tests.kit.measured import Measured, is_measured


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_of_a_test_on_both_databases_one_is_measured(request: pytest.FixtureRequest, database: str) -> None:
    assert is_measured(request.node) == (database == "sqlite")


class Followed:
    """Stands for what measures: notes when it is told to go on and to pause."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def stop(self) -> None:
        self.told.append("stop")


def test_it_pauses_for_what_is_not_measured_and_not_between_two_that_are() -> None:
    followed = Followed()
    measured = Measured(followed)
    for wanted in (False, True, True, False, False, True):
        measured.only_if(wanted)
    assert followed.told == ["stop", "start", "stop", "start"]
