"""Holds every module by itself to its share of covered branches: `python -m tests.kit.coverage_floor`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

FLOOR = 90.0


def groups(root: Path) -> list[str]:
    """The parts that are measured each by itself: layers, and every module and tool."""
    parts = [p for parent in ("nodes", "tools") for p in sorted((root / parent).iterdir()) if p.is_dir()]
    modules = [p.relative_to(root).as_posix() for p in parts if not p.name.startswith("_")]
    return ["core", "graph", "server", "waystation", *modules]


def main() -> int:
    """Print a line per group; 1 when one is under the floor."""
    coverage = Coverage()
    coverage.combine()
    low = []
    for group in groups(Path.cwd()):
        report = io.StringIO()
        try:
            share = coverage.report(include=[f"{group}/*"], file=report)
        except NoDataError:
            share = 0.0
        print(f"{share:6.1f} %  {group}")
        if share < FLOOR:
            low.append(group)
            print(report.getvalue())
    if low:
        print(f"under {FLOOR:g} %: {', '.join(low)}", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
