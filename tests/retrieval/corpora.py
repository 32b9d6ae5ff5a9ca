"""What the sets are asked of: Waystation's handbook, and the folder of an invented company."""

from __future__ import annotations

from pathlib import Path

from tests.retrieval.making import make

SETS = ("handbook", "company")
_COMPANY = Path(__file__).parent / "company"
_HANDBOOK = Path(__file__).parents[2] / "config" / "sources.yaml"


def prepare(folder: Path) -> None:
    """Write the company's documents and a configuration with both sources under `folder`."""
    make(_COMPANY, folder / "documents")
    config = folder / "config"
    config.mkdir(parents=True, exist_ok=True)
    shipped = _HANDBOOK.read_text(encoding="utf-8")
    ours = "\ncompany: {type: local, path: ../documents}\n"
    (config / "sources.yaml").write_text(shipped + ours, encoding="utf-8")
