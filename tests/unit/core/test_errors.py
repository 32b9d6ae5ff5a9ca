from __future__ import annotations

from core.errors import InvalidInput, NotFound, TimedOut, Unavailable, WaystationError, known_errors


def test_an_error_without_a_detail_says_its_title() -> None:
    assert NotFound().detail == "Not found"
    assert str(NotFound("no file 'a'")) == "no file 'a'"


def test_the_tree_is_found_by_code() -> None:
    found = known_errors()
    assert found["timed_out"] is TimedOut
    assert found["error"] is WaystationError
    assert list(found) == sorted(found)


def test_a_subclass_without_a_code_does_not_hide_its_parent() -> None:
    class Sharper(InvalidInput):
        pass

    assert known_errors()["invalid_input"] is InvalidInput
    assert Sharper("x").code == "invalid_input"


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    assert Unavailable.retryable
    assert TimedOut.retryable
    assert not InvalidInput.retryable
