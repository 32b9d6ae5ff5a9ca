"""A state machine over everything that can happen to threads, with real crashes in between.

    python -m tests.campaigns.machine [--runs 200] [--steps 50] [--database sqlite|postgres] [--seed 1]

Hypothesis chooses what comes next: new threads, messages in every way, cut
streams, cancels, answers of a person, forks, deletes, and deaths of the service
in peace and in mid-turn. After each step the threads that it touched are as
the model (`expected`) says; after each death and at the end all of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.campaigns.model import RuleServer
from tests.campaigns.rules import Broken, Threads
from tests.campaigns.talking import Service
from tests.campaigns.victims import Site, Victim, nursery, storage_of


@contextmanager
def machine_on(storage: str) -> Iterator[type[Threads]]:
    """A machine whose every run is on one service, each with threads of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = stack.enter_context(RuleServer())
        parent = stack.enter_context(nursery())
        victim = Victim(parent, Site(folder, model.url, storage, asks=True))
        stack.callback(victim.kill)
        victim.start()
        service_here = Service(victim, model)
        stack.callback(service_here.close)

        class Here(Threads):
            service = service_here
            counts: ClassVar[Counter[str]] = Counter()

        yield Here


# Runs that Hypothesis plans together: it varies those that it has had, and ends some of them early.
BATCH = 25


def run_machine(machine: type[Threads], *, runs: int, steps: int, number: int) -> None:
    """At least so many runs, and as many steps as they have when each is whole.

    Raises:
        AssertionError: With the first thing that is wrong, and what led to it.
    """
    while machine.counts["run"] < runs or steps_of(machine) < runs * (steps - 1):
        _run_batch(machine, runs=min(runs, BATCH), steps=steps, number=number)
        number += 1


def steps_of(machine: type[Threads]) -> int:
    return machine.counts.total() - machine.counts["run"]


def _run_batch(machine: type[Threads], *, runs: int, steps: int, number: int) -> None:
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(number)(machine), settings=chosen)
    except Broken as broken:
        raise AssertionError(str(broken)) from broken


def report(machine: type[Threads], kind: str, seconds: float) -> None:
    """Print what was done."""
    counted = [(name, count) for name, count in machine.counts.most_common() if name != "run"]
    told = ", ".join(f"{name} {count}" for name, count in counted)
    print(f"{kind}: {machine.counts['run']} runs, {steps_of(machine)} steps in {seconds:.0f} s: {told}")
    for fault in machine.service.victim.site.faults():
        print(fault)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started = time.monotonic()
    with storage_of(given.database) as storage, machine_on(storage) as machine:
        try:
            run_machine(machine, runs=given.runs, steps=given.steps, number=given.seed)
        finally:
            report(machine, given.database, time.monotonic() - started)
    print("nothing wrong")


if __name__ == "__main__":
    main()
