"""Build the image without an engine: every instruction of `deploy/image/Dockerfile`, in a mount namespace.

    python -m tests.campaigns.image [--python /usr/bin/python3]

Needs root and Linux. The file system is this machine's; what the instructions write, /build, /opt,
/srv and /data, are empty folders of this run. A stage's COPY takes what .dockerignore lets
through. The service is then started as the image's user, who can write to /data and /tmp alone,
asked by the image's own health check, given a key and a turn, and stopped by its signal.
Packages come from wherever pip is set up to look.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

from core.installed import ROOT

INSIDE = "WAYSTATION_IMAGE_REPLAY"
WRITTEN = ("/build", "/opt", "/srv", "/data")
READY_SECONDS = 120.0
STOP_SECONDS = 30.0


@dataclass(slots=True)
class State:
    """What instructions have set so far."""

    workdir: str = "/"
    env: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    command: list[str] = field(default_factory=list)
    check: list[str] = field(default_factory=list)
    stop: signal.Signals = signal.SIGTERM


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Word and rest of each instruction, lines that go on joined."""
    lines = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    for line in filter(None, re.sub(r"\\\n\s*", "", lines).split("\n")):
        word, _, rest = line.strip().partition(" ")
        yield word, rest


class Build:
    """Carries instructions out, one after the other."""

    def __init__(self, python: str) -> None:
        self.state = State()
        self._base = {"HOME": "/data", "PATH": f"{_named_python(python)}:/usr/local/bin:/usr/bin:/bin"}
        self._base |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}

    @property
    def environ(self) -> Mapping[str, str]:
        path = (
            f"{self.state.env['PATH']}:{self._base['PATH']}"
            if "PATH" in self.state.env
            else self._base["PATH"]
        )
        return {**self._base, **self.state.env, "PATH": path}

    def run(self, word: str, rest: str) -> None:
        print(f"{word} {rest[:100]}", flush=True)
        getattr(self, f"_{word.lower()}")(rest)

    def as_user(self) -> list[str]:
        user, _, group = self.state.user.partition(":")
        return ["setpriv", f"--reuid={user}", f"--regid={group or user}", "--clear-groups"]

    def _from(self, _: str) -> None:
        self.state = State()

    def _workdir(self, rest: str) -> None:
        Path(rest).mkdir(parents=True, exist_ok=True)
        self.state.workdir = rest

    def _run(self, rest: str) -> None:
        subprocess.run(["sh", "-ec", rest], cwd=self.state.workdir, env=self.environ, check=True)

    def _copy(self, rest: str) -> None:
        words = shlex.split(rest)
        if words[0].startswith("--from="):
            # Both stages write to the same folders here: it is where it belongs.
            assert words[1] == words[2], rest
            assert Path(words[2]).is_dir(), rest
            return
        target = Path(self.state.workdir, words[-1])
        for name in words[:-1]:
            _copied(ROOT / name, target / Path(name).name if name != "." else target)

    def _env(self, rest: str) -> None:
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            self.state.env[name] = value

    def _user(self, rest: str) -> None:
        self.state.user = rest

    def _volume(self, rest: str) -> None:
        assert Path(rest).stat().st_uid == int(self.state.user.split(":")[0]), f"{rest} is not the user's"

    def _expose(self, rest: str) -> None:
        assert rest == "8000"

    def _stopsignal(self, rest: str) -> None:
        self.state.stop = signal.Signals[rest]

    def _healthcheck(self, rest: str) -> None:
        self.state.check = json.loads(rest.partition("CMD ")[2])

    def _cmd(self, rest: str) -> None:
        self.state.command = json.loads(rest)


def _named_python(python: str) -> str:
    """A folder in which `python` is that one."""
    folder = Path("/opt/.python")
    folder.mkdir(exist_ok=True)
    (folder / "python").symlink_to(python)
    return str(folder)


def _copied(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copy2(source, target)
        return
    patterns = [
        line for line in (ROOT / ".dockerignore").read_text().split("\n") if line and not line.startswith("#")
    ]

    def left_out(folder: str, names: list[str]) -> list[str]:
        place = Path(folder).relative_to(ROOT)
        return [name for name in names if _ignored(str(place / name), patterns)]

    shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)


def _ignored(path: str, patterns: list[str]) -> bool:
    """As Docker reads the file: the last pattern that fits decides."""
    found = False
    for pattern in patterns:
        bare = pattern.removeprefix("!").removeprefix("**/")
        fits = fnmatch.fnmatch(path, bare) or (
            pattern.startswith("**/") and fnmatch.fnmatch(Path(path).name, bare)
        )
        found = not pattern.startswith("!") if fits else found
    return found


def mount_namespace() -> None:
    """Within the namespace: everything read-only but the folders of this run."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for folder in WRITTEN:
        # What stands in /opt of this machine may hold wheels that pip is pointed to: it stays readable.
        kept = f"/run/image{folder}"
        Path(kept).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", folder, kept], check=True) if folder == "/opt" else None
        Path(folder).mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    for found in Path("/run/image/opt").iterdir():
        Path("/opt", found.name).symlink_to(found)


def proved(build: Build) -> None:
    """Start what was built, and use it."""
    for folder in ("/opt", "/srv"):
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    state, user, env = build.state, build.as_user(), dict(build.environ)
    service = subprocess.Popen([*user, *state.command], cwd=state.workdir, env=env)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while subprocess.run([*user, *state.check], env=env, capture_output=True, check=False).returncode:
            assert service.poll() is None, "the service ended"
            assert time.monotonic() < deadline, "the health check never passed"
            time.sleep(0.5)
        print("healthy", flush=True)
        words = [*user, "waystation", "keys", "create", "--user", "ada@example.com", "--json"]
        made = subprocess.run(words, cwd=state.workdir, env=env, capture_output=True, text=True, check=True)
        print(answered(json.loads(made.stdout)["key"]), flush=True)
    finally:
        service.send_signal(state.stop)
        print(f"ended with {service.wait(timeout=STOP_SECONDS)}", flush=True)


def answered(key: str) -> str:
    """The answer to a turn that asks with a key."""
    body = json.dumps({"input": {"message": "What is 5 + 3?"}}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    asked = Request("http://127.0.0.1:8000/agent/invoke", body, headers)
    with urlopen(asked, timeout=60) as answer:  # noqa: S310 - on loopback
        found = json.load(answer)["output"]["answer"]
    assert "8" in found, found
    return str(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument(
        "--python", default="/usr/bin/python3", help="the base image's, readable by everybody"
    )
    given = parser.parse_args()
    if os.environ.get(INSIDE) is None:
        words = ["unshare", "--mount", sys.executable, "-m", "tests.campaigns.image", *sys.argv[1:]]
        sys.exit(subprocess.run(words, cwd=ROOT, env={**os.environ, INSIDE: "1"}, check=False).returncode)
    mount_namespace()
    build = Build(given.python)
    for word, rest in instructions((ROOT / "deploy/image/Dockerfile").read_text()):
        build.run(word, rest)
    proved(build)


if __name__ == "__main__":
    main()
