"""The sample third-party module (tests/sample-module) as an installed package, outside of the checkout.

    def test_x(sample_module: SampleModule, tmp_path: Path) -> None:
        with Service(tmp_path / "home", env=sample_module.environ) as service:
            ...

pip builds and installs it once for all tests of a process.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "sample-module"
INSTALL_SECONDS = 100.0
OPTIONAL = "waystation_greeter.module:MODULE"
REQUIRED = "waystation_greeter.required:MODULE"


@dataclass(frozen=True, slots=True)
class SampleModule:
    """An installed module; processes with this environment have it."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder)}

    def required_at(self, folder: Path) -> SampleModule:
        """A copy in another folder that declares itself required."""
        shutil.copytree(self.folder, folder)
        (points,) = folder.glob("*.dist-info/entry_points.txt")
        points.write_text(points.read_text().replace(OPTIONAL, REQUIRED))
        return SampleModule(folder)


def install(source: Path, folder: Path) -> SampleModule:
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
    return SampleModule(folder / "site")


@pytest.fixture(scope="session")
def sample_module(tmp_path_factory: pytest.TempPathFactory) -> SampleModule:
    """`waystation_greeter`, installed."""
    return install(SOURCE, tmp_path_factory.mktemp("sample-module"))
