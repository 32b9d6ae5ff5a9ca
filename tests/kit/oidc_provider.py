"""A real OpenID Connect provider as a process of its own: the package `oidc-provider`, with its own pages."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kit.clients import ENVIRONMENT, SCRIPTS

SCRIPT = "oidc_provider.mjs"


@contextmanager
def oidc_provider(client_id: str, client_secret: str, path: str) -> Iterator[str]:
    """Its address, while it runs.

    Skips the test where Node.js or the package is missing.

    Args:
        path: Where it sends browsers back to, on any port of 127.0.0.1.
    """
    program = shutil.which("node")
    if program is None or not (ENVIRONMENT / "node_modules" / "oidc-provider").exists():
        pytest.skip("oidc-provider is not installed: run `make .venv/.foreign` with Node.js and npm")
    # Packages are looked for beside the script: so it runs from a copy in their folder.
    copy = ENVIRONMENT / f"{os.getpid()}-{SCRIPT}"
    shutil.copy(SCRIPTS / SCRIPT, copy)
    command = [program, str(copy), client_id, client_secret, path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        with subprocess.Popen(command, cwd=ENVIRONMENT, text=True, **pipes) as process:  # type: ignore[call-overload]
            address = process.stdout.readline().strip()
            assert address, "oidc-provider did not start"
            yield address
            process.stdin.close()
            process.wait(timeout=30)
    finally:
        copy.unlink()
