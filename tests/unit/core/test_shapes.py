"""Values held to JSON schemas of somebody else's."""

from __future__ import annotations

from typing import Any

import pytest

from core.shapes import Unjudged, fault_of, judged, mismatch


def doubling(depth: int) -> dict[str, Any]:
    """Each definition looks at the next one twice."""
    defs: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    defs[f"d{depth}"] = {"type": "string"}
    return {"$ref": "#/$defs/d0", "$defs": defs}


def test_a_schema_that_doubles_with_each_definition_is_not_gone_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.shapes.MOST_STEPS", 2_000)
    assert judged("x", doubling(3)) == ("", "")
    with pytest.raises(Unjudged, match="more than 2000 steps"):
        judged("x", doubling(40))
    assert mismatch("x", doubling(40)) == ("", "")
    assert "steps" in fault_of(doubling(40))


@pytest.mark.parametrize("given", [5, [1], None, "x", {"a": "b"}])
def test_any_value_is_held_to_a_schema(given: Any) -> None:
    place, why = judged(given, {"type": "object", "properties": {"a": {"type": "integer"}}})
    assert why
    assert place == ("a" if isinstance(given, dict) else "")


def test_a_schema_that_is_one_has_no_fault() -> None:
    assert fault_of({"type": "object", "properties": {"day": {"pattern": r"^\d+$"}}}) == ""
    assert (
        fault_of({"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "number"}}}) == ""
    )
    assert fault_of({"properties": 5})
    assert fault_of({"$schema": 5})
