"""Which tests `make test` runs: the cheap ones, and of the dear ones a sample, the same each time.

What is dear is measured: `dear.tsv` says what a case of a test takes of a core, where all its cases take more
than `DEAR_S` together. Of such a test as many cases run as fit into that, one at least, and they meet as many
values of its parameters as they can. Where one case alone takes longer, a draw says whether the test runs at
all: one that takes twice as long has half the chance. The draw is by the test's name and the seed, so that
others may come and go. `make check` leaves out what is dear (`-m "not dear"`).

What a file's tests share (a fixture of a class or a module that takes more than `SHARED_S`) is drawn for as
well, once for all that ask for it, unless one of them runs in any case.

The draws leave these alone:

- a test that is named for a case that was handed to us (`test_st2_...`), which has thrice as many cases;
- `@pytest.mark.always`: a promise that stands nowhere else, or only in dearer tests;
- `@pytest.mark.always(cases=4)`, or `cases="all"`: likewise, and so many of its cases say something new;
- what is asked for as `file::test`, and what has just failed.

Databases are no values to be met: a dear test runs on any of its databases.

`WHOLE_SAMPLES=1` runs all, as `make campaign` does. With it, `pytest --spent FILE` and `python -m
tests.kit.sampled FILE` measure anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

from tests.kit.costs import SHARED, cost_of, shared_name
from tests.kit.samples import WHOLE

SAMPLE_SEED = "waystation"
DEAR_S = 0.2
SHARED_S = 2.0
DATABASES = {"sqlite", "postgres", "postgresql"}
RECORD = Path(__file__).with_name("dear.tsv")
_HANDED = re.compile(r"test_(cl|g|m|rd|st|t)\d+_")
_LEFT = "left to the campaign"
_left = pytest.StashKey[int]()


class Case(NamedTuple):
    """A test as pytest has it: its id, its parameters but for a database, and how many its mark asks for.

    `shared` are the dear fixtures of its file that it asks for.
    """

    id: str
    values: frozenset[tuple[str, int]] = frozenset()
    always: int = 0
    shared: frozenset[str] = frozenset()

    @property
    def test(self) -> str:
        """The test that it is a case of."""
        return self.id.partition("[")[0]

    @property
    def is_promised(self) -> bool:
        """True where it runs whatever it takes."""
        return bool(self.always or _HANDED.match(self.test.rpartition("::")[2]))


def sample(cases: Iterable[Case], record: Mapping[str, float]) -> set[str]:
    """The ids of what runs. `record` says, of dear tests, what a case takes in seconds of a core.

    Of what is shared, it says what setting it up takes.
    """
    tests: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        tests[case.test].append(case)
    some = [case for test, of in tests.items() for case in _of_test(test, of, record.get(test, 0.0))]
    needed = {name for case in some if case.is_promised for name in case.shared}
    return {
        case.id
        for case in some
        if all(name in needed or _draw(name) < SHARED_S / record[name] for name in case.shared)
    }


def _of_test(test: str, cases: list[Case], each_s: float) -> Sequence[Case]:
    if each_s * len(cases) < DEAR_S:
        return cases
    asked = cases[0].always
    if cases[0].is_promised and not asked:
        return _some(cases, most=max(2, int(3 * DEAR_S / each_s)))
    runs = asked or _draw(test) < DEAR_S / each_s
    return _some(cases, most=max(1, asked, int(DEAR_S / each_s))) if runs else ()


def _some(cases: Iterable[Case], most: int) -> list[Case]:
    """As few as meet all values, or as many values as `most` cases can; ties are drawn."""
    drawn = sorted(cases, key=lambda case: _draw(case.id))
    wanted = set[tuple[str, int]]().union(*(case.values for case in drawn))
    some: list[Case] = []
    while wanted and len(some) < most:
        best = max(drawn, key=lambda case: len(wanted & case.values))
        some.append(best)
        wanted -= best.values
    return some or drawn[:1]


def _draw(name: str) -> float:
    """A number from 0 to 1, the same for a name each time."""
    return int.from_bytes(hashlib.sha256(f"{SAMPLE_SEED}\0{name}".encode()).digest()[:8]) / 2**64


def measured(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """What a case of each dear test takes, and what each dear fixture, of the rows that `--spent` writes.

    What is set up for a whole file is the first test's bill: each case pays the file's median.
    """
    own: defaultdict[str, float] = defaultdict(float)
    shared: defaultdict[str, float] = defaultdict(float)
    around: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        if row["when"] == "call":
            own[row["test"]] = cost_of(row)
        elif row["when"] == "shared":
            shared[row["test"]] += cost_of(row)
        else:
            around[_file(row["test"])][row["test"]] += row["own"] + row["children"]
    tests: defaultdict[str, list[float]] = defaultdict(list)
    for case, seconds in own.items():
        tests[case.partition("[")[0]].append(seconds + median(around[_file(case)].values()))
    found = {test: sum(each) / len(each) for test, each in tests.items() if sum(each) >= DEAR_S}
    return found | {name: seconds for name, seconds in shared.items() if seconds >= SHARED_S}


def _file(test: str) -> str:
    return test.partition("::")[0]


def recorded(path: Path = RECORD) -> dict[str, float]:
    """Read what `main` wrote."""
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {test: float(seconds) for seconds, test in lines}


def main(spent: Path, record: Path = RECORD) -> None:
    """Write the record anew."""
    rows = map(json.loads, spent.read_text(encoding="utf-8").splitlines())
    found = sorted(measured(rows).items())
    record.write_text("".join(f"{seconds:.2f}\t{test}\n" for test, seconds in found), encoding="utf-8")


def pytest_report_header() -> str:
    if WHOLE in os.environ:
        return f"all tests, as {WHOLE} says"
    return f"a sample of the dear tests, SAMPLE_SEED {SAMPLE_SEED!r}; {WHOLE}=1 runs all"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before -k and -m choose: what runs of a test does not depend on them."""
    record = recorded()
    for item in items:
        if item.nodeid.partition("[")[0] in record:
            item.add_marker("dear")
    if WHOLE in os.environ or config.getoption("lf", False) or any("::" in word for word in config.args):
        return
    kept = sample((_case(item, record) for item in items), record)
    left = [item for item in items if item.nodeid not in kept]
    items[:] = [item for item in items if item.nodeid in kept]
    config.stash[_left] = len(left)
    config.hook.pytest_deselected(items=left)


def _case(item: pytest.Item, record: Mapping[str, float]) -> Case:
    spec = getattr(item, "callspec", None)
    given = [(name, n, spec.params[name]) for name, n in spec.indices.items()] if spec else []
    values = frozenset((name, n) for name, n, value in given if not _database(value))
    mark = item.get_closest_marker("always")
    asked = mark.kwargs.get("cases", 1) if mark else 0
    shared = frozenset(_shared_by(item) & record.keys())
    return Case(item.nodeid, values, sys.maxsize if asked == "all" else asked, shared)


def _shared_by(item: pytest.Item) -> set[str]:
    """What it asks for of its file's fixtures."""
    info = getattr(item, "_fixtureinfo", None)
    asked = info.name2fixturedefs.values() if info else ()
    return {shared_name(each[-1]) for each in asked if each[-1].scope in SHARED}


def _database(value: object) -> bool:
    return isinstance(value, str) and value in DATABASES


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker's number travels to the process that started it."""
    left = session.config.stash.get(_left, None)
    if left is not None and hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_LEFT] = left


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_left] = getattr(node, "workeroutput", {}).get(_LEFT, 0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if left := terminalreporter.config.stash.get(_left, 0):
        told = f"{left} dear tests are left to the campaign by SAMPLE_SEED {SAMPLE_SEED!r}"
        terminalreporter.write_line(f"{told}: {WHOLE}=1 runs them")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
