"""The garbage collector keeps out of the way of what loads, and looks no more at what stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from core.collecting import give_back, load, loading, settle


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds, frozen, enabled = gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()
    yield
    if gc.get_freeze_count() > frozen and not frozen:
        gc.unfreeze()
    gc.set_threshold(*thresholds)
    if not enabled:
        gc.disable()


def test_while_a_process_loads_next_to_nothing_is_collected() -> None:
    load()
    before = gc.get_stats()[0]["collections"]
    kept = [[number] for number in range(200_000)]
    assert gc.get_stats()[0]["collections"] - before <= 1
    assert len(kept) == 200_000


def test_a_command_in_somebody_elses_process_leaves_the_collector_as_it_was() -> None:
    gc.set_threshold(1234, 5, 6)
    with loading():
        assert gc.get_threshold()[0] > 100_000
    assert gc.get_threshold() == (1234, 5, 6)
    with pytest.raises(ZeroDivisionError), loading():
        _ = 1 / 0
    assert gc.get_threshold() == (1234, 5, 6)


def test_what_stays_is_not_looked_at_again_and_what_comes_is() -> None:
    load()
    stays = [[number] for number in range(1000)]
    settle()
    assert not any(each is stays for each in gc.get_objects())
    came: list[object] = []
    assert any(each is came for each in gc.get_objects())
    assert gc.isenabled()
    assert gc.get_threshold()[0] < 100_000


@pytest.mark.parametrize("error", [TypeError("on Windows"), OSError("no library"), AttributeError("musl")])
def test_a_c_library_that_gives_nothing_back_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(_: None) -> None:
        raise error

    monkeypatch.setattr("ctypes.CDLL", fails)
    give_back()
