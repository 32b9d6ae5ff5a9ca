"""A package of somebody else's, built and installed into a folder of a test: no network, no dependencies."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

INSTALL_SECONDS = 100.0


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """What stands in `folder`; processes with this environment have it."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder)}


def install(source: Path, folder: Path) -> InstalledPackage:
    """Install the package at `source` into an empty folder: no network, no dependencies."""
    copy = folder / "source"  # building leaves traces beside the source
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"),
            *("--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site"), str(copy)),
        ],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return InstalledPackage(folder / "site")
