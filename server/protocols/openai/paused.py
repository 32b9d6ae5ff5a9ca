"""A run that paused for an answer is several responses: one up to each pause, and one behind the last.

The first has the id of the run; the others that and a number. So an answer makes a response of its own, and
what stood behind `previous_response_id` stays what it was. Nothing is kept for it: where a part begins and
how it paused stands in the events of the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.errors import RunNotFound
from graph.runs.streams import Handle

_MARK = re.compile(r"^(r_[0-9a-f]{32})_([1-9][0-9]{0,3})$")
_COUNTED = ("input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class RunPart:
    """A part of a run.

    Args:
        number: Pauses before it.
        since: The last event before it.
        before: The reply of the pause before it; none for the first.
        reply: How it paused, where somebody has answered since.
    """

    number: int = 0
    since: int = 0
    before: Mapping[str, Any] = field(default_factory=dict)
    reply: Mapping[str, Any] | None = None

    def id_of(self, run_id: str) -> str:
        """Its id as a response."""
        return f"{run_id}_{self.number}" if self.number else run_id

    def own(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        """What of a reply is this part's: not the calls and the tokens of those before."""
        known = {
            call["id"] for call in self.before.get("tool_calls") or () if call.get("status") != "waiting"
        }
        used, spent = dict(reply["usage"]), self.before.get("usage") or {}
        for name in _COUNTED:
            used[name] = max(used[name] - spent.get(name, 0), 0)
        calls = [call for call in reply["tool_calls"] if call["id"] not in known]
        return {**reply, "tool_calls": calls, "usage": used}


FIRST = RunPart()


def named(response_id: str) -> tuple[str, int]:
    """The run that an id means, and the number of its part."""
    found = _MARK.match(response_id)
    return (found[1], int(found[2])) if found else (response_id, 0)


async def part_of(run: Handle, number: int | None = None) -> RunPart:
    """A part of a run; the one that goes on now, or has gone last, where no number is said.

    Raises:
        RunNotFound: It has no such part.
    """
    if not run.record.answered and not number:
        return FIRST
    begun, part = run.record.earlier + 1, FIRST
    # Behind the first: none at all would mean, from this caller's part on.
    async for event in run.events(1):
        if event["type"] == "done" and event["status"] == "interrupted":
            if part.number == number:
                return RunPart(number, part.since, part.before, event)
            part = RunPart(part.number + 1, event["seq"], event)
        elif event["type"] == "run_started" and event["attempt"] == begun:
            if number not in (None, part.number):
                break
            return part
    if number and number != part.number:
        raise RunNotFound(part.id_of(run.id))
    # Events go after some days: what is left is the run as it ended.
    return RunPart(number or part.number, part.since, part.before)
