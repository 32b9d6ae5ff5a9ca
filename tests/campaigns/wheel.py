"""The wheel in an empty environment of every Python here: in a folder with a space, without a network.

    python -m tests.campaigns.wheel [--python /usr/bin/python3.12 ...] [--extra search ...]

For each Python from 3.11 to 3.14: an environment, the wheel with the packages of the lock, and then with no
way to a registry or anywhere else: init, validate, ask, check, serve and a turn over HTTP, the notebook,
backup and restore. Without `--extra` it is done with none and with those of `make run`. What each
environment takes on the disk is told. Packages come from wherever pip is set up to look.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.installed import ROOT
from tests.e2e.test_wheel import Machine, build, serving_at

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = ("a2a", "embed", "images", "s3", "search")
SECONDS = 600.0
# Whoever would reach out all the same is refused at once.
NOWHERE = "http://127.0.0.1:9"
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
NOTEBOOK = (
    "import ast, asyncio, json, sys\n"
    "names = {'__name__': '__main__'}\n"
    "async def cells():\n"
    "    for cell in json.load(open(sys.argv[1]))['cells']:\n"
    "        if cell['cell_type'] == 'code':\n"
    "            code = compile(''.join(cell['source']), 'cell', 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)\n"
    "            result = eval(code, names)\n"
    "            if result is not None:\n"
    "                await result\n"
    "asyncio.run(cells())\n"
)


@dataclass(frozen=True, slots=True)
class Room(Machine):
    """An environment, and an empty folder to use it in, from where nothing is reached."""

    @property
    def env(self) -> dict[str, str]:
        here = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.folder), "NO_PROXY": "127.0.0.1"}
        return here | dict.fromkeys(PROXIES, NOWHERE)


def pythons() -> list[Path]:
    """Each version once: those on the PATH first, then those of pyenv."""
    found = {}
    places = [Path(place) for place in os.environ["PATH"].split(os.pathsep)]
    places += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    for version in VERSIONS:
        for path in (place / f"python{version}" for place in places):
            if version not in found and path.exists() and _is(path, version):
                found[version] = path
    return list(found.values())


def _is(path: Path, version: str) -> bool:
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


def constraints(folder: Path) -> Path:
    """The versions of the lock, without hashes: which packages are wanted, pip finds out by itself."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    path = folder / "constraints.txt"
    path.write_text("\n".join(re.findall(r"^[a-z0-9._-]+==[^\s;]+", lock, re.MULTILINE)))
    return path


def installed(python: Path, wheel: Path, extras: Sequence[str], folder: Path) -> Room:
    place = folder / "an environment"
    subprocess.run([python, "-m", "venv", place], check=True, timeout=SECONDS)
    wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    pip: list[str | Path] = [
        place / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "-q",
    ]
    subprocess.run(
        [*pip, "-c", constraints(folder), wanted], check=True, timeout=SECONDS, capture_output=True
    )
    room = folder / "a folder"
    room.mkdir()
    return Room(place / "bin", room)


def used(room: Room, extras: Sequence[str]) -> None:
    """What a person does at first; anything that fails ends the program with what was said."""
    mine = room.folder / "my agent"
    room.run("waystation", "init", str(mine))
    room.run("waystation", "config", "validate", folder=mine)
    answer = room.json("ask", "What is 6 * 7?", folder=mine)
    expect("42" in answer["answer"], "an answer")
    health = room.json("check", folder=mine)
    expect(health["ready"], "ready")
    if "search" not in extras:
        expect("waystation[search]" in json.dumps(health), "health names the extra that is missing")
    with serving_at(room.bin, room.env, mine) as url:
        turn = {"input": {"message": "What is 5 + 3?"}}
        reply = httpx.post(f"{url}/agent/invoke", json=turn, timeout=SECONDS).json()
        expect("8" in reply["output"]["answer"], "an answer over HTTP")
        expect(httpx.get(f"{url}/docs", timeout=SECONDS).status_code == 200, "the page of the API")
    room.run("python", "-c", NOTEBOOK, str(mine / "first.ipynb"), folder=mine)
    room.run("waystation", "backup", str(room.folder / "a backup"), folder=mine)
    room.run("waystation", "restore", str(room.folder / "a backup"), "--check", folder=mine)


def expect(holds: object, what: str) -> None:
    if not holds:
        raise SystemExit(f"missing: {what}")


def megabytes(folder: Path) -> float:
    """On the disk as `du -sm` counts: each file once, in MiB."""
    seen = {(about.st_dev, about.st_ino): about.st_blocks for about in map(Path.lstat, folder.rglob("*"))}
    return sum(seen.values()) * 512 / 2**20


def main() -> None:
    """Each Python with each choice of extras; the first failure ends it with exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.wheel", description="The wheel, used.")
    parser.add_argument("--python", action="append", type=Path)
    parser.add_argument("--extra", action="append")
    options = parser.parse_args()
    found = options.python or pythons()
    if not found:
        sys.exit("no Python from 3.11 to 3.14 is here")
    for python in found:
        for extras in [options.extra] if options.extra else [(), EXTRAS]:
            with tempfile.TemporaryDirectory(prefix="a wheel ") as place:
                folder, began = Path(place), time.monotonic()
                room = installed(python, build(folder), extras, folder)
                size = megabytes(room.bin.parent)
                used(room, extras)
                said = ", ".join(extras) or "no extra"
                shutil.rmtree(folder / "source", ignore_errors=True)
                print(f"{python}: {said}: {size:.0f} MiB, good, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
