"""`python -m tests.retrieval`: judge retrieval with the sets of this folder.

Options are those of `waystation rag eval`; `--set NAME` takes one set alone (`--set forms`: the questions in
their other forms, whose halves are told by `fitting` alone), and `--folder PATH` keeps documents and index
there, so that the next time starts at once. `--floors` holds each set to its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from tests.retrieval.corpora import EVERY_SET, prepare
from tests.retrieval.floors import FLOORS
from tests.retrieval.forms import distinct

HERE = Path(__file__).parent
OTHERWISE = "forms"


def main() -> int:
    """Ask the questions of each set; 1 where one is below its floor."""
    options = argparse.ArgumentParser(prog="python -m tests.retrieval", description=__doc__)
    options.add_argument("--set", choices=(*EVERY_SET, OTHERWISE), action="append")
    options.add_argument("--folder", type=Path)
    options.add_argument("--floors", action="store_true")
    chosen, others = options.parse_known_args()
    if chosen.folder:
        return _asked(chosen.folder, chosen.set or EVERY_SET, others, floors=chosen.floors)
    with tempfile.TemporaryDirectory() as folder:
        return _asked(Path(folder), chosen.set or EVERY_SET, others, floors=chosen.floors)


def _asked(folder: Path, sets: list[str] | tuple[str, ...], options: list[str], *, floors: bool) -> int:
    from typer.testing import CliRunner

    from nodes.rag.cli import app

    prepare(folder)
    os.environ["WAYSTATION_CONFIG_DIR"] = str(folder / "config")
    os.environ["WAYSTATION_HOME"] = str(folder / "home")
    worst = 0
    for name in sets:
        print(f"== {name}", flush=True)
        held = [f"--floor={floor}" for floor in FLOORS["both", name].split()] if floors else []
        found = CliRunner().invoke(app, ["eval", str(_file(name, folder)), *options, *held])
        print(found.output)
        worst = max(worst, found.exit_code)
    return worst


def _file(name: str, folder: Path) -> Path:
    if name != OTHERWISE:
        return HERE / f"{name}.yaml"
    made = folder / "forms.json"
    made.write_text(json.dumps({"questions": [form.question.model_dump() for form in distinct()]}))
    return made


if __name__ == "__main__":
    raise SystemExit(main())
