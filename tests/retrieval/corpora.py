"""What the sets are asked of: the handbook, and folders of an invented company, library, ferry line, club."""

from __future__ import annotations

from pathlib import Path

from tests.retrieval.making import make

# `later` and `asked` are of more than one source.
SETS = ("handbook", "company", "library", "ferry", "later", "asked")
# Nothing is fitted on this one.
HELD_OUT = ("hut",)
EVERY_SET = (*SETS, *HELD_OUT)
_MADE = ("company", "library", "ferry", "hut")
SOURCES = ("handbook", *_MADE)
_HERE = Path(__file__).parent
_HANDBOOK = Path(__file__).parents[2] / "config" / "sources.yaml"


def prepare(folder: Path) -> None:
    """Write the invented documents and a configuration with all sources under `folder`."""
    entries = [_HANDBOOK.read_text(encoding="utf-8")]
    for name in _MADE:
        make(_HERE / name, folder / "documents" / name)
        entries.append(f"{name}: {{type: local, path: ../documents/{name}}}")
    config = folder / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "sources.yaml").write_text("\n".join([*entries, ""]), encoding="utf-8")
