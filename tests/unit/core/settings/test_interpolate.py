from __future__ import annotations

from core.settings.interpolate import interpolate


def test_variables_are_replaced_also_inside_a_longer_text() -> None:
    data = {"a": ["${X}", "pre-${X}-${Y:-why}"], "n": 5}
    assert interpolate(data, {"X": "ex"}) == ({"a": ["ex", "pre-ex-why"], "n": 5}, [])


def test_an_unset_variable_is_told_with_its_key() -> None:
    _, missing = interpolate({"a": {"b": ["${NOPE}"]}}, {"EMPTY": ""})
    assert missing == [(("a", "b", 0), "NOPE")]


def test_an_empty_variable_counts_as_unset() -> None:
    assert interpolate("${E:-x}", {"E": ""}) == ("x", [])
    assert interpolate("${E}", {"E": ""})[1] == [((), "E")]


def test_an_entry_that_is_switched_off_asks_for_nothing() -> None:
    data = {"web": {"enabled": False, "url": "${NOPE}"}}
    assert interpolate(data, {}) == (data, [])
