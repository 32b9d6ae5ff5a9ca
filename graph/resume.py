"""Match a person's answers to the interrupts that wait for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import InvalidInput
from graph.errors import NothingToResume

_KEYS = {"approve", "reason"}


def answers_for(resume: Mapping[str, Any], waiting: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """One answer per waiting interrupt.

    Args:
        resume: `{"approve": bool, "reason"?: str}` for all, or such an object per interrupt id.
        waiting: The thread's interrupts, each with its `id`.

    Raises:
        NothingToResume: Nothing waits.
        InvalidInput: An id is unknown, one is left out, or an answer has the wrong form.
    """
    if not waiting:
        raise NothingToResume("the thread does not wait for an answer")
    ids = [str(interrupt["id"]) for interrupt in waiting]
    if "approve" in resume:
        answer = _answer(resume)
        return dict.fromkeys(ids, answer)
    unknown = [key for key in resume if key not in ids]
    if unknown:
        raise InvalidInput(f"no interrupt '{unknown[0][:80]}' waits; waiting: {', '.join(ids)}")
    left = [key for key in ids if key not in resume]
    if left:
        raise InvalidInput(f"interrupt '{left[0]}' has no answer; answer all that wait")
    return {key: _answer(resume[key]) for key in ids}


def _answer(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("approve"), bool):
        raise InvalidInput('an answer is {"approve": true or false, "reason": "…"}')
    unknown = sorted(set(value) - _KEYS)
    if unknown:
        raise InvalidInput(f"an answer has no key '{unknown[0][:80]}'; known: approve, reason")
    if not isinstance(value.get("reason", ""), str):
        raise InvalidInput("reason must be text")
    return dict(value)
