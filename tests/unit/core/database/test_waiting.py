"""Work that is tried again while the database is away."""

from __future__ import annotations

import pytest

from core.database import outage
from core.database.outage import DatabaseUnavailable, Endurance, endured, enduring

AWAY = DatabaseUnavailable("is locked by another program")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE_S", 0.0)


class Work:
    """Fails so many times."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.tries = 0

    async def __call__(self, answer: str = "done") -> str:
        self.tries += 1
        if self.left:
            self.left -= 1
            raise AWAY
        return answer


async def test_work_is_tried_until_the_database_is_back_and_each_outage_is_told_once() -> None:
    told: list[str] = []
    patient = Endurance(
        60, away=lambda error, took: told.append(error.reason), back=lambda: told.append("back")
    )
    with enduring(patient):
        assert await endured(Work(3), "a") == "a"
        assert await endured(Work(0)) == "done"
        assert await endured(Work(1)) == "done"
    assert told == [AWAY.reason, "back", AWAY.reason, "back"]


async def test_work_that_fails_for_longer_than_is_endured_fails() -> None:
    work = Work(1_000_000)
    with pytest.raises(DatabaseUnavailable):
        await Endurance(0.0).through(work)
    assert work.tries == 1


async def test_where_nobody_endures_work_is_done_once() -> None:
    work = Work(1)
    with pytest.raises(DatabaseUnavailable):
        await endured(work)
    assert work.tries == 1
