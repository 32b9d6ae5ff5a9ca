"""Everything that can happen to threads, in orders that nobody thought of, with real crashes in between.

A sample of `python -m tests.campaigns.machine`.
"""

from __future__ import annotations

import pytest

from tests.campaigns.machine import machine_on, run_machine, steps_of

RUNS, STEPS = 2, 12


@pytest.mark.always
def test_threads_are_as_they_must_be_after_every_step() -> None:
    with machine_on("") as machine:
        run_machine(machine, runs=RUNS, steps=STEPS, number=7)
    assert steps_of(machine) >= RUNS * (STEPS - 1)
