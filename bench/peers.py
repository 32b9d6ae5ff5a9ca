"""The yardstick: Waystation beside what people would build without it, in one run on the same model.

    python -m bench.peers [--slices N] [--only c8,c32] [--also PATH] [--json FILE]

A turn is a model call, a tool call, a model call and 50 streamed tokens, on a
thread with checkpoints. The systems take turns in slices; each ratio is of two
slices of the same round, and the median of the rounds is shown. `--also` has
another checkout of Waystation measured beside this one, as `before`.
docs/benchmarks.md says what the figures are and how to read them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.fleet import CAPS
from bench.processes import HERE, Checkout
from bench.report import Report
from bench.rig import Bench
from bench.sections import SECTIONS
from waystation.testing.process import ServerProcess

LONGEST_SECONDS = 3600.0


async def measure(bench: Bench, only: list[str], report: Report) -> None:
    """Each section in its order, with systems that are started for it and ended behind it."""
    async with asyncio.timeout(LONGEST_SECONDS):
        for name in only:
            begun = time.monotonic()
            bench.pace()
            bench.caps = CAPS
            with ExitStack() as stack:
                rows = await SECTIONS[name](bench, stack)
            report.add(f"{name} (took {time.monotonic() - begun:.0f} s)", rows)


def machine() -> str:
    """What the figures belong to."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}"


def wanted(words: str) -> list[str]:
    """Names of sections, in their order.

    Raises:
        ArgumentTypeError: There is no such section.
    """
    names = words.split(",")
    if unknown := sorted(set(names) - set(SECTIONS)):
        raise argparse.ArgumentTypeError(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return [name for name in SECTIONS if name in names]


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--slices", type=int, default=5, help="rounds of each section")
    parser.add_argument("--only", type=wanted, default=list(SECTIONS), help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--also", type=Path, help="another checkout, with its own .venv")
    parser.add_argument(
        "--turns", type=float, default=1.0, help="times the turns of a slice; less is quicker"
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    given = arguments(words)
    also = (Checkout("before", given.also.resolve()),) if given.also else ()
    report = Report()
    print(machine())
    with tempfile.TemporaryDirectory() as folder, ServerProcess("bench.systems.model", path="/v1") as model:
        bench = Bench(Path(folder), model, (HERE, *also), given.slices, given.turns)
        asyncio.run(measure(bench, given.only, report))
    print(f"\n{machine()}")
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": report.as_json()}, indent=1))


if __name__ == "__main__":
    main()
