"""The notebooks run, from their own folder and from the root, and show what they promise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
TOUR = ROOT / "notebooks" / "01-tour.ipynb"


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
    return run(TOUR, folder=TOUR.parent)


def run(path: Path, *, folder: Path, code_cells: int | None = None) -> dict[str, str]:
    """Execute the first `code_cells` of a notebook in `folder`, or all of them."""
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is half typed
    code = [cell for cell in notebook.cells if cell.cell_type == "code"][:code_cells]
    notebook.cells = code
    client = NotebookClient(
        notebook, timeout=100, kernel_name="this", resources={"metadata": {"path": str(folder)}}
    )
    client.create_kernel_manager().kernel_spec_manager = ThisPython()
    client.execute()
    return {cell.source.splitlines()[0]: shown(cell) for cell in code}


def shown(cell: Any) -> str:
    """The text of a cell's outputs."""
    return "\n".join(o.get("text") or str(o.get("data", {}).get("text/markdown", "")) for o in cell.outputs)


def cell(shown_by_cell: dict[str, str], beginning: str) -> str:
    """The output of the one cell whose first line begins so."""
    [found] = [text for first, text in shown_by_cell.items() if first.startswith(beginning)]
    return found


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
    for edge in ("lookup_config --> retrieve", "retrieve --> call_model", "call_model -.-> execute_tools"):
        assert edge in picture


def test_the_tour_looks_at_the_state_and_the_history(tour: dict[str, str]) -> None:
    state = cell(tour, "thread = ").splitlines()
    assert [line.split()[0] for line in state[:-1]] == ["human", "ai", "tool", "ai"] * 2
    assert "documents" not in state[-1]
    history = cell(tour, "from core.access").splitlines()
    assert history[0].endswith("next: -")
    assert history[-1].endswith("next: __start__")


def test_the_tour_goes_back_and_runs_from_there(tour: dict[str, str]) -> None:
    past = cell(tour, "ended = ").splitlines()
    assert past[-1].split(maxsplit=1) == ["ai", "5 + 3 = 8"]
    answer, asked = cell(tour, "from core.context").splitlines()
    assert answer == "7 * 6 = 42"
    assert asked == "['What is 5 + 3?', 'What is 7 * 6?']"
    assert cell(tour, "transcript = ").strip() == "['What is 5 + 3?', 'And what is 12 * 12?']"


def test_the_tour_finds_the_checkout_from_the_root_too() -> None:
    run(TOUR, folder=ROOT, code_cells=1)


@pytest.mark.parametrize("path", sorted(TOUR.parent.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [
        c["outputs"] or c["execution_count"] for c in cells if c["cell_type"] == "code" and c["outputs"]
    ] == []
