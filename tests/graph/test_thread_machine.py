"""Everything that can happen to threads, in orders that nobody thought of, with real crashes in between.

A sample of `python -m tests.campaigns.machine`.
"""

from __future__ import annotations

from tests.campaigns.machine import machine_on, run_machine


def test_threads_are_as_they_must_be_after_every_step() -> None:
    with machine_on("") as machine:
        run_machine(machine, runs=2, steps=20, number=7)
    assert machine.counts.total() > 25
