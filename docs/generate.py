"""Write `docs/reference` from the code, or check that it is up to date.

python -m docs.generate            writes the pages that changed
python -m docs.generate --check    exit 1 names the pages that are out of date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from docs.writers import cli, errors, events, graph, http, profiles, settings, wires

REFERENCE = Path(__file__).resolve().parent / "reference"

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli.page,
    "settings.md": settings.page,
    "profiles.md": profiles.page,
    "errors.md": errors.page,
    "events.md": events.page,
    "graph.md": graph.page,
    "openapi.json": http.page,
    "wires.md": wires.page,
}


def stale(folder: Path, pages: Mapping[str, Callable[[], str]] = PAGES) -> dict[str, str]:
    """The pages whose file in `folder` is not what the code says now, with the text they should have.

    A file that no writer stands behind has the text "".
    """
    wanted = {name: page() for name, page in pages.items()}
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*") if path.is_file()}
    return {
        name: wanted.get(name, "")
        for name in sorted({*wanted, *there})
        if wanted.get(name) != there.get(name)
    }


def write(folder: Path, pages: Mapping[str, Callable[[], str]] = PAGES) -> list[str]:
    """Bring the pages up to date; gives the names of those that changed."""
    folder.mkdir(exist_ok=True)
    changed = stale(folder, pages)
    for name, text in changed.items():
        if text:
            (folder / name).write_text(text, encoding="utf-8")
        else:
            (folder / name).unlink()
    return list(changed)


def main(
    arguments: Sequence[str] | None = None,
    *,
    folder: Path = REFERENCE,
    pages: Mapping[str, Callable[[], str]] = PAGES,
) -> int:
    """The command; gives its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.generate", description="Write docs/reference from the code."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a page is out of date"
    )
    if parser.parse_args(arguments).check:
        old = list(stale(folder, pages))
        for name in old:
            print(f"out of date: docs/reference/{name}; run `make docs`", file=sys.stderr)
        return 1 if old else 0
    for name in write(folder, pages):
        print(f"wrote docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
