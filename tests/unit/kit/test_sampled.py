"""What of the dear tests runs in `make test`, and that nothing is lost by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest

from tests.kit import sampled
from tests.kit.sampled import DEAR_S, SHARED_S, Case, measured, recorded, sample
from waystation.testing.service import ROOT

TEN = [f"tests/test_a.py::test_{number}" for number in range(10)]


def crossed(test: str, rows: int, columns: int, always: int = 0) -> list[Case]:
    """A test with two parameters."""
    return [
        Case(f"{test}[{row}-{column}]", frozenset({("row", row), ("column", column)}), always)
        for row, column in product(range(rows), range(columns))
    ]


def met(cases: list[Case], chosen: set[str]) -> set[tuple[str, int]]:
    return {value for case in cases if case.id in chosen for value in case.values}


def test_what_is_cheap_runs_whole() -> None:
    cases = [*crossed("t.py::test_cheap", 5, 4), Case("t.py::test_new")]
    assert sample(cases, {"t.py::test_cheap": DEAR_S / 21}) == {case.id for case in cases}


def test_of_a_dear_test_as_many_cases_run_as_fit_and_meet_as_much_as_they_can() -> None:
    cases = crossed("t.py::test_dear", 5, 4)
    four = sample(cases, {"t.py::test_dear": DEAR_S / 4})
    assert (len(four), len(met(cases, four))) == (4, 8)
    five = sample(cases, {"t.py::test_dear": DEAR_S / 9})
    assert (len(five), len(met(cases, five))) == (5, 9)  # and no more: each value is met


def test_whether_a_test_runs_whose_every_case_is_dear_is_drawn_for_by_what_it_takes() -> None:
    tests = [f"t.py::test_{number}" for number in range(1000)]
    half, tenth = (sample(map(Case, tests), dict.fromkeys(tests, DEAR_S * more)) for more in (2, 10))
    assert 400 < len(half) < 600
    assert 60 < len(tenth) < 140
    assert tenth < half


def test_the_draw_is_the_same_whatever_else_is_there() -> None:
    record = dict.fromkeys(TEN, 3 * DEAR_S)
    whole = sample(map(Case, TEN), record)
    assert 0 < len(whole) < 10
    assert set().union(*(sample([Case(test)], record) for test in TEN)) == whole


def test_a_handed_case_and_a_marked_one_run_however_dear() -> None:
    handed, alone = "t.py::test_st2_a_form_is_taken", "t.py::TestX::test_g1_2_time_grows"
    marked = crossed("t.py::test_marked", 3, 3, always=2)
    whole = crossed("t.py::test_whole", 3, 1, always=sys.maxsize)
    cases = [*crossed(handed, 7, 2), Case(alone), *marked, *whole]
    record = {handed: DEAR_S / 2, alone: 100.0, "t.py::test_marked": 100.0, "t.py::test_whole": 100.0}
    chosen = sample(cases, record)
    assert len(chosen) == 6 + 1 + 2 + 3
    assert met(crossed(handed, 7, 2), chosen) >= {("column", 0), ("column", 1)}


def test_what_a_file_shares_is_drawn_for_once_for_all_that_ask_for_it() -> None:
    names = [f"t.py::house_{number}" for number in range(1000)]
    cases = [Case(f"{name}_{n}", shared=frozenset({name})) for name in names for n in range(2)]
    chosen = sample(cases, dict.fromkeys(names, SHARED_S * 2))
    both = {name for name in names if {f"{name}_0", f"{name}_1"} <= chosen}
    assert 400 < len(both) < 600
    assert len(chosen) == 2 * len(both)


def test_what_a_marked_or_handed_test_needs_is_there_for_the_others_of_its_file() -> None:
    house = frozenset({"t.py::house"})
    others = [Case("t.py::test_a", shared=house), Case("t.py::test_b", shared=house)]
    assert sample(others, {"t.py::house": 1e9}) == set()
    for promise in (Case("t.py::test_c", always=1, shared=house), Case("t.py::test_st1_c", shared=house)):
        assert len(sample([*others, promise], {"t.py::house": 1e9})) == 3


def test_one_database_is_as_good_as_another() -> None:
    cases = [Case(f"t.py::test_dear[{database}]") for database in ("sqlite", "postgresql")]
    chosen = sample(cases, {"t.py::test_dear": DEAR_S})
    assert len(chosen) == 1


def row(test: str, when: str, own: float, children: float = 0.0, wall: float = 0.0) -> Mapping[str, object]:
    return {"test": test, "when": when, "own": own, "children": children, "wall": wall}


def test_what_is_measured_is_a_case_with_its_share_of_what_is_set_up() -> None:
    rows = [
        *(row(f"t.py::test_a[{n}]", "setup", own=20.0 if n == 0 else 0.1) for n in range(3)),
        *(row(f"t.py::test_a[{n}]", "call", own=0.1, children=0.2) for n in range(3)),
        *(row(f"t.py::test_a[{n}]", "teardown", own=0.0, children=0.1) for n in range(3)),
        row("u.py::test_waits", "call", own=0.0, wall=4.0),
        row("u.py::test_cheap", "call", own=0.1),
        row("u.py::test_cheap", "setup", own=0.0),
        *(row("u.py::house", "shared", own=SHARED_S / 2) for _ in range(2)),
        row("u.py::hut", "shared", own=SHARED_S / 2),
    ]
    found = {"t.py::test_a": 0.5, "u.py::test_waits": 1.0, "u.py::house": SHARED_S}
    assert measured(rows) == pytest.approx(found)


def test_the_record_is_written_and_read(tmp_path: Path) -> None:
    rows = [row("t.py::test_b", "call", own=1.234), row("t.py::test_b", "setup", own=0.0)]
    (tmp_path / "spent").write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    sampled.main(tmp_path / "spent", tmp_path / "record")
    assert recorded(tmp_path / "record") == {"t.py::test_b": 1.23}


def run(folder: Path, *words: str, **environ: str) -> str:
    """Made-up tests, ten of them dear, as pytest runs ours; what it says at its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "WHOLE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "kit", *words],
        cwd=folder,
        env={**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{ROOT}:{folder}", **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.always
def test_what_does_not_run_is_counted_and_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(10))\n"
        "def test_many(n): pass\n"
        "@pytest.mark.always(cases='all')\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_promise(n): pass\n"
        "def test_cheap(): pass\n"
    )
    (tmp_path / "dear.tsv").write_text("0.05\ttest_a.py::test_many\n9\ttest_a.py::test_promise\n")
    (tmp_path / "kit.py").write_text(
        "from pathlib import Path\nfrom tests.kit import sampled\n"
        "pytest_plugins = ('tests.kit.sampled',)\n"
        "sampled.recorded.__defaults__ = (Path(__file__).with_name('dear.tsv'),)\n"
    )
    some = run(tmp_path)
    assert "6 dear tests are left to the campaign by SAMPLE_SEED 'waystation': WHOLE_SAMPLES=1 runs" in some
    assert "8 passed, 6 deselected" in some
    with_workers = run(tmp_path, "-p", "xdist", "-n", "1")
    assert "6 dear tests are left to the campaign" in with_workers
    assert "14 passed" in run(tmp_path, WHOLE_SAMPLES="1")
    assert "10 passed" in run(tmp_path, "test_a.py::test_many")


def test_the_campaign_begins_with_all_tests() -> None:
    campaign = (ROOT / "Makefile").read_text().partition("\ncampaign:")[2].splitlines()
    assert campaign[1] == "\tWHOLE_SAMPLES=1 $(BIN)/python -m pytest -n 2"
