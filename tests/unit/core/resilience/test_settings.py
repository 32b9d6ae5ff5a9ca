from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from core.resilience import Policies, ResilienceSettings
from core.resilience.settings import SECTION


def settings(**data: Any) -> ResilienceSettings:
    return ResilienceSettings.model_validate(data)


def test_a_target_has_its_kinds_numbers_then_its_entrys_then_its_own() -> None:
    read = settings(model={"open_s": 3}, targets={"model:fast": {"timeout_s": 9}})
    assert SECTION.model is ResilienceSettings
    other = read.of("model", "slow", timeout_s=60, attempts=1)
    assert (other.timeout_s, other.attempts, other.open_s, other.at_once) == (60, 1, 3, 256)
    fast = read.of("model", "fast", timeout_s=60, attempts=1)
    assert (fast.timeout_s, fast.attempts, fast.open_s, fast.at_once) == (9, 1, 3, 256)


def test_equal_numbers_give_the_same_policy_however_they_came_about() -> None:
    policies = Policies(ResilienceSettings())
    assert policies.of("source", "wiki", timeout_s=15) is policies.of("source", "wiki")
    assert policies.of("source", "wiki") is not policies.of("source", "handbook")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"model": {"min_calls": 17}}, r"model: min_calls \(17\) is more than window \(16\)"),
        (
            {"targets": {"source:wiki": {"window": 9}}},
            r"source:wiki: min_calls \(10\) is more than window \(9\)",
        ),
        ({"other": {"backoff_s": 9}}, r"other: backoff_s \(9\) is more than longest_backoff_s \(8\)"),
        ({"targets": {"modle:fast": {}}}, r"'modle:fast' begins with no kind; write one of model, server"),
        ({"targets": {"fast": {}}}, "String should match pattern"),
        ({"model": {"failure_rate": 0}}, "greater than 0"),
        ({"model": {"retries": 0}}, "Extra inputs are not permitted"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**data)
