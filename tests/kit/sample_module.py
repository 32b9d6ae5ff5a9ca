"""The sample third-party module (tests/sample-module) as an installed package, outside of the checkout.

    def test_x(sample_module: InstalledPackage, tmp_path: Path) -> None:
        with Service(tmp_path / "home", env=sample_module.environ) as service:
            ...

pip builds and installs it once for all tests of a process.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from waystation.testing.packages import InstalledPackage, install

SOURCE = Path(__file__).parents[1] / "sample-module"
OPTIONAL = "waystation_greeter.module:MODULE"
REQUIRED = "waystation_greeter.required:MODULE"


def required_at(module: InstalledPackage, folder: Path) -> InstalledPackage:
    """A copy of the sample module in another folder that declares itself required."""
    shutil.copytree(module.folder, folder)
    (points,) = folder.glob("*.dist-info/entry_points.txt")
    points.write_text(points.read_text().replace(OPTIONAL, REQUIRED))
    return InstalledPackage(folder)


@pytest.fixture(scope="session")
def sample_module(tmp_path_factory: pytest.TempPathFactory) -> InstalledPackage:
    """`waystation_greeter`, installed."""
    return install(SOURCE, tmp_path_factory.mktemp("sample-module"))
