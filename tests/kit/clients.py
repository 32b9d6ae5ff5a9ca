"""Clients of other people, as processes of their own, and the service that they are run against."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from waystation.testing.agents import BUNDLED, write_config
from waystation.testing.service import Service

ENVIRONMENT = Path(sys.prefix) / "foreign" / "clients"
EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = Path(__file__).parents[1] / "clients" / "scripts"
# A client that waits for a service waits for it; this ends one that hangs.
CLIENT_SECONDS = 240


@contextmanager
def service_on(
    folder: Path, model_url: str, *, files: Mapping[str, str] | None = None, **settings: str
) -> Iterator[Service]:
    """A service in a process of its own, with the calculator and the source `harbour`.

    Args:
        settings: Variables of its environment, without their prefix.
    """
    config = write_config(folder, files=files)
    env = {
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "test",
        "WAYSTATION_MCP__DISABLED": json.dumps(sorted(BUNDLED - {"calculator"})),
        **{f"WAYSTATION_{name}": value for name, value in settings.items()},
    }
    with Service(folder / "home", config_dir=config, env=env) as service:
        yield service


def node(script: str, package: str, *words: str, environment: str = "clients") -> Any:
    """What a script of `tests/clients/scripts` prints, run by Node.js with the packages of an environment.

    Skips the test where Node.js or the package is missing.
    """
    folder = ENVIRONMENT.parent / environment
    program, _ = installed(package, environment)
    # Packages are looked for beside the script: so it runs from a copy in their folder.
    copy = folder / f"{os.getpid()}-{script}"
    shutil.copy(SCRIPTS / script, copy)
    try:
        return json.loads(run_in(folder, program, str(copy), *words))
    finally:
        copy.unlink()


def installed(package: str, environment: str) -> tuple[str, Path]:
    """Node.js and the folder of a package; skips the test where either is missing."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node.js is missing: this client needs it")
    folder = ENVIRONMENT.parent / environment / "node_modules" / package
    if not (folder / "package.json").exists():
        target = ".copilot" if environment == "copilot" else ".foreign"
        pytest.skip(f"the client '{package}' is not installed: run `make .venv/{target}` with npm")
    return program, folder


def run_in(folder: Path, *command: str, **variables: str) -> str:
    """What a client prints that ends well."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
        cwd=folder,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def built(example: str) -> Path:
    """The page of `examples/`, built with the packages of its environment; once for what it is made of.

    Skips the test where Node.js or the packages are missing.
    """
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node.js is missing: this page is built with it")
    packages = ENVIRONMENT.parent / example
    vite = packages / "node_modules" / "vite" / "bin" / "vite.js"
    if not vite.exists():
        pytest.skip(
            f"the packages of examples/{example} are not installed: run `make .venv/.foreign` with npm"
        )
    files = sorted(
        path for path in (EXAMPLES / example).rglob("*") if path.is_file() and path.suffix != ".md"
    )
    files = [path for path in files if "node_modules" not in path.parts and "dist" not in path.parts]
    digest = hashlib.sha256(b"\0".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()
    found = packages / f"dist-{digest[:16]}"
    if not found.exists():
        _build([program, str(vite)], packages, EXAMPLES / example, files, found)
    return found


def _build(vite: list[str], packages: Path, source: Path, files: list[Path], found: Path) -> None:
    # Packages are looked for beside the sources, or above: so it is built from a copy in their folder.
    with tempfile.TemporaryDirectory(dir=packages, prefix="build-") as folder:
        for path in files:
            copy = Path(folder) / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        done = subprocess.run(
            [*vite, "build", folder, "--outDir", f"{folder}/dist", "--logLevel", "warn"],
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        # Another process of the tests may have been faster.
        with suppress(OSError):
            (Path(folder) / "dist").rename(found)
