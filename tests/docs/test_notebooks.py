"""The notebooks run, from their own folder and from the root, and show what they promise."""

from __future__ import annotations

import ast
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient

from tests.kit.steps import FIVE

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
TOUR = NOTEBOOKS / "01-tour.ipynb"
every_notebook = pytest.mark.parametrize(
    "path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name
)


class ThisPython(KernelSpecManager):
    """Offers one kernel: the interpreter that runs the tests, whatever else is installed on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3",
            language="python",
        )


@pytest.fixture(scope="module")
def tour() -> dict[str, str]:
    """What each code cell of the tour shows, by the first line of its source; run in its own folder."""
    return run(TOUR, folder=NOTEBOOKS)


@pytest.fixture(scope="module")
def threads() -> dict[str, str]:
    return run(NOTEBOOKS / "02-threads.ipynb", folder=NOTEBOOKS)


@pytest.fixture(scope="module")
def debug() -> dict[str, str]:
    return run(NOTEBOOKS / "03-debug.ipynb", folder=NOTEBOOKS)


def run(path: Path, *, folder: Path, code_cells: int | None = None) -> dict[str, str]:
    """Execute the first `code_cells` of a notebook in `folder`, or all of them."""
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is half typed
    code = [cell for cell in notebook.cells if cell.cell_type == "code"][:code_cells]
    notebook.cells = code
    client = NotebookClient(
        notebook, timeout=100, kernel_name="this", resources={"metadata": {"path": str(folder)}}
    )
    client.create_kernel_manager().kernel_spec_manager = ThisPython()
    # Vectors of the handbook take a core for seconds, in each kernel.
    client.execute(env={**os.environ, "WAYSTATION_RAG__SEARCH": "words"})
    return {cell.source.splitlines()[0]: shown(cell) for cell in code}


def shown(cell: Any) -> str:
    """The text of a cell's outputs."""
    # A slow cell prints in several pieces, each with its own line ends.
    return "".join(o.get("text") or str(o.get("data", {}).get("text/markdown", "")) for o in cell.outputs)


def cell(shown_by_cell: dict[str, str], beginning: str) -> str:
    """The output of the one cell whose first line begins so."""
    [found] = [text for first, text in shown_by_cell.items() if first.startswith(beginning)]
    return found


@pytest.mark.always
def test_the_tour_asks_and_streams(tour: dict[str, str]) -> None:
    asked = cell(tour, 'reply = await agent.ask("What is 5 + 3?"').splitlines()
    assert asked == ["5 + 3 = 8", "done offline", "calculator evaluate {'expression': '5 + 3'} ok"]
    streamed = cell(tour, "async for event")
    assert streamed.lstrip().startswith("1 run_started")
    assert "12 * 12 = 144" in streamed
    assert streamed.rstrip().endswith("done")


def test_the_tour_cites_the_handbook_word_for_word(tour: dict[str, str]) -> None:
    _, *citations = cell(tour, 'reply = await agent.ask("What does the lease').split("\n\n[")
    assert citations
    for citation in citations:
        document, _, quote = citation.partition("] ")[2].partition(": ")
        assert quote.strip() in source_text(document)


def source_text(document: str) -> str:
    """A document of the handbook by the name that a citation has."""
    folders = (ROOT, ROOT / "docs", ROOT / "docs" / "decisions")
    return next(f / document for f in folders if (f / document).is_file()).read_text(encoding="utf-8")


def test_the_tour_shows_the_picture_of_the_graph(tour: dict[str, str]) -> None:
    picture = cell(tour, "from IPython.display")
    assert "```mermaid" in picture
    for step in FIVE:
        assert f"{step}({step})" in picture


def test_the_tour_looks_at_the_state_and_the_history(tour: dict[str, str]) -> None:
    state = cell(tour, "thread = ").splitlines()
    assert [line.split()[0] for line in state[:-1]] == ["human", "ai", "tool", "ai"] * 2
    assert "documents" not in state[-1]
    history = cell(tour, "from waystation import Principal").splitlines()
    assert history[0].endswith("next: -")
    assert history[-1].endswith("next: __start__")


def test_the_tour_goes_back_and_runs_from_there(tour: dict[str, str]) -> None:
    past = cell(tour, "ended = ").splitlines()
    assert past[-1].split(maxsplit=1) == ["ai", "5 + 3 = 8"]
    answer, branch, trunk = cell(tour, "branch = ").splitlines()
    assert answer == "7 * 6 = 42"
    assert branch == "['What is 5 + 3?', 'What is 7 * 6?']"
    assert trunk == "['What is 5 + 3?', 'And what is 12 * 12?']"


def test_the_tour_runs_from_the_root_too() -> None:
    run(TOUR, folder=ROOT, code_cells=1)


def test_the_threads_notebook_pages_the_history_and_reads_a_checkpoint(threads: dict[str, str]) -> None:
    paged = cell(threads, "checkpoints, before").splitlines()
    pages = [line for line in paged if line.startswith("a page")]
    assert len(pages) >= 3
    assert pages[:-1] == ["a page of 6"] * (len(pages) - 1)
    assert len([line for line in paged if line.endswith("next: -")]) == 3
    assert paged[-1].split()[0] == "-1"
    then = cell(threads, "ends = ").splitlines()
    assert [line.split()[0] for line in then] == ["user", "assistant", "tool", "assistant"]
    assert then[-1].endswith("5 + 3 = 8")


def test_the_threads_notebook_goes_back_forks_and_compares(threads: dict[str, str]) -> None:
    added = cell(threads, 'change = await agent.threads.diff(me, "sums", from_id=first').splitlines()
    assert added[0].split(maxsplit=2) == ["+", "user", "And doubled?"]
    assert added[-1] == "removed: []"
    answer, here, there = cell(threads, "fork = ").splitlines()
    assert answer == "8 * 3 = 24"
    assert here == "['What is 5 + 3?', 'And doubled?', 'What is 12 * 12?']"
    assert there == "['What is 5 + 3?', 'And tripled?']"
    assert cell(threads, "page = ").strip() == "8 - 1 = 7"
    compared = cell(threads, 'change = await agent.threads.diff(me, "sums", from_id=second')
    assert "- assistant  8 * 2 = 16" in compared
    assert "+ assistant  8 * 3 = 24" in compared


def test_the_threads_notebook_searches_and_takes_a_thread_along(threads: dict[str, str]) -> None:
    assert "And doubled?" in cell(threads, "for hit in")
    text = cell(threads, "from IPython.display")
    assert text.startswith("# What is 5 + 3?")
    assert "8 * 2 = 16" in text
    assert cell(threads, "copy = ").strip() == "What is 5 + 3? -> 144 * 2 = 288"


def test_the_debug_notebook_runs_single_nodes_on_a_saved_state(debug: dict[str, str]) -> None:
    assert cell(debug, "thread = ").splitlines()[-1].split(maxsplit=1) == ["human", "And doubled?"]
    assert cell(debug, "from waystation import run_node").splitlines()[1] == "{'expression': '8 * 2'}"
    assert cell(debug, "from langchain_core").strip() == "{'expression': '8 - 1'}"
    assert cell(debug, "call = ").strip() == "7 ['tool_call', 'tool_result']"


def test_the_debug_notebook_replays_a_run_and_swaps_a_node(debug: dict[str, str]) -> None:
    recorded = cell(debug, "from waystation import record").splitlines()
    assert recorded[2].endswith("calculator_evaluate {'expression': '8 * 2'} -> 16")
    assert cell(debug, "from waystation import replay").splitlines()[-1] == "as recorded: True"
    answer, difference = cell(debug, "work = ").splitlines()
    assert answer == "That makes 16."
    assert difference.startswith("step 5, call_model: text: recorded")
    assert cell(debug, "class Curious").startswith("no recorded answer for calculator_evaluate")
    assert cell(debug, "from waystation import Steps").strip() == "8 * 2 = 16 - as recorded: True"


def test_the_debug_notebook_writes_a_test_that_passes(debug: dict[str, str]) -> None:
    assert "def test_doubled" in cell(debug, "from waystation import as_pytest")
    assert cell(debug, "import subprocess").startswith("1 passed")


@every_notebook
def test_what_a_notebook_imports_is_there(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    ours = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "waystation"
    ]
    assert ours
    for node in ours:
        module = importlib.import_module(str(node.module))
        assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@every_notebook
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [
        c["outputs"] or c["execution_count"] for c in cells if c["cell_type"] == "code" and c["outputs"]
    ] == []
