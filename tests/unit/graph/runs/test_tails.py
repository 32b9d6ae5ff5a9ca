"""What a run tells reaches who follows it from another process, by mail that may get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from core.signals import Signals
from core.signals.mail import EVERYBODY, MAIL_BYTES, Mail, pages
from core.signals.signals import NoRelay
from graph.db.database import opened_database
from graph.runs.record import Run
from graph.runs.tails import Mirror, Mirrors, Tails
from tests.unit.graph.run_kit import Desk

SOON_S = 10.0


class Wire(NoRelay):
    """Letters between two processes, at once; some may be lost."""

    def __init__(self) -> None:
        super().__init__("these tests have one process")
        self.mail: Mail = Mail(self._carry)  # type: ignore[assignment]  # a relay without mail has None
        self.other: Wire | None = None
        self.lossy = False
        self.mail_sent: list[str] = []

    def _carry(self, to: str, text: str) -> None:
        assert len(text.encode()) < MAIL_BYTES + 100
        self.mail_sent.append(text)
        if self.other is not None and not self.lossy and to in (EVERYBODY, self.other.mail.address):
            self.other.mail.arrived(text)


class Both:
    """A process that executes, and one that reads."""

    def __init__(self) -> None:
        self.here, self.there = Wire(), Wire()
        self.here.other, self.there.other = self.there, self.here
        self.tails = Tails(self.here.mail)
        self.mirrors = Mirrors(Signals(self.there))

    def say(self, run: Run, *texts: str) -> None:
        for text in texts:
            run.log.add({"type": "token", "delta": text})
            self.tails.news(run.id)


@pytest.fixture
def both() -> Iterator[Both]:
    made = Both()
    with made.tails.sending(), made.mirrors.receiving():
        yield made


async def said(mirror: Mirror, after: int = 0) -> list[str]:
    async with asyncio.timeout(SOON_S):
        while not mirror.keeps(after) or not (found := mirror.ahead(after)):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0)
    return [entry.event.get("delta", entry.kind) for entry in found]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    async with opened_database(make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}")) as engine:
        yield await Desk.at(engine).begun("hello")


async def test_what_is_told_arrives_in_order_whoever_came_first(both: Both, run: Run) -> None:
    with both.mirrors.reading(run.id):
        mirror = both.mirrors.follow(run.id)
        assert mirror is not None
        assert both.tails.begin(run), "its reader was there before it"
        both.say(run, "one ", "two ")
        assert await said(mirror) == ["one ", "two "]
        both.say(run, "three")
        run.log.add({"type": "done", "status": "done"})
        both.tails.end(run)
        assert await said(mirror, 2) == ["three", "done"]
        assert mirror.closed
    assert both.mirrors.get(run.id) is None


async def test_who_comes_later_has_what_was_told_before(both: Both, run: Run) -> None:
    assert not both.tails.begin(run)
    both.say(run, "one ", "two ")
    assert both.here.mail_sent == [], "nobody reads"
    with both.mirrors.reading(run.id):
        mirror = both.mirrors.follow(run.id)
        assert mirror is not None
        assert await said(mirror) == ["one ", "two "]
    assert both.there.mail_sent[-1].startswith("leave")
    sent = len(both.here.mail_sent)
    both.say(run, "three")
    both.tails.end(run)
    assert len(both.here.mail_sent) == sent, "nobody reads any more"


async def test_mail_that_is_lost_sends_readers_to_the_database_until_they_ask_again(
    both: Both, run: Run
) -> None:
    with both.mirrors.reading(run.id):
        mirror = both.mirrors.follow(run.id)
        assert mirror is not None
        both.tails.begin(run)
        both.say(run, "one ")
        assert await said(mirror) == ["one "]
        both.here.lossy = True
        both.say(run, "two ")
        async with asyncio.timeout(SOON_S):
            while "two" not in both.here.mail_sent[-1]:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.001)
        both.here.lossy = False
        both.say(run, "three ")
        async with asyncio.timeout(SOON_S):
            while not mirror.abandoned:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.001)
        again = both.mirrors.follow(run.id)
        assert again is not None
        assert again is not mirror
        assert await said(again) == ["one ", "two ", "three "]
        both.mirrors.give_up()
        assert again.abandoned, "a relay that was cut off may have missed some"


async def test_a_long_event_comes_in_pieces(both: Both, run: Run) -> None:
    with both.mirrors.reading(run.id):
        mirror = both.mirrors.follow(run.id)
        assert mirror is not None
        both.tails.begin(run)
        text = "ä\x00€" * 9_000
        both.say(run, text)
        assert await said(mirror) == [text]
        assert len(both.here.mail_sent) > 3


async def test_numbers_that_are_not_reserved_yet_are_not_told(both: Both, run: Run) -> None:
    with both.mirrors.reading(run.id):
        mirror = both.mirrors.follow(run.id)
        assert mirror is not None
        run.log.limit = 1
        both.tails.begin(run)
        both.say(run, "one ", "two ")
        assert await said(mirror) == ["one "]
        run.log.extend(10)
        both.tails.news(run.id)
        assert await said(mirror, 1) == ["two "]


async def test_another_attempt_begins_above_the_one_before(both: Both, run: Run) -> None:
    with both.mirrors.reading(run.id):
        mirror = both.mirrors.follow(run.id)
        assert mirror is not None
        both.tails.begin(run)
        both.say(run, "one ")
        assert await said(mirror) == ["one "]
        next_one = Run(run.record, run.hold, floor=1_000)
        next_one.log.limit = 2_000
        both.tails.begin(next_one)
        both.tails.end(run)
        both.say(next_one, "again")
        assert await said(mirror, 1_000) == ["again"]
        assert (mirror.sure, mirror.keeps(1)) == (1_000, False)


async def test_a_run_that_was_taken_over_sends_nothing_more(both: Both, run: Run) -> None:
    with both.mirrors.reading(run.id):
        both.mirrors.follow(run.id)
        both.tails.begin(run)
        run.log.add({"type": "token", "delta": "one"})
        run.log.abandon()
        both.tails.end(run)
        assert not any("one" in text for text in both.here.mail_sent)


async def test_a_reader_that_hears_nothing_looks_less_and_less_often() -> None:
    mirror = Mirror("r")
    assert [mirror.patience() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    mirror.take(0, [])
    assert mirror.patience() == 0.5


def test_without_mail_nothing_is_sent_and_nobody_followed() -> None:
    mirrors, tails = Mirrors(Signals(NoRelay("alone"))), Tails(None)
    with mirrors.receiving(), tails.sending(), mirrors.reading("r"):
        assert mirrors.follow("r") is None
        mirrors.handed_over("r")
        assert not mirrors.is_fresh("r")
    tails.news("r")


def test_a_run_that_was_handed_over_is_fresh_once() -> None:
    mirrors = Mirrors(Signals(Wire()))
    mirrors.handed_over("r")
    assert [mirrors.is_fresh("r"), mirrors.is_fresh("r"), mirrors.is_fresh("other")] == [True, False, False]


@pytest.mark.parametrize("text", ["", "a" * 20_000, "€" * 9_000])
def test_pages_are_the_text_and_fit_into_mail(text: str) -> None:
    found = list(pages(text))
    assert "".join(found) == text
    assert all(len(page.encode()) <= MAIL_BYTES for page in found)
