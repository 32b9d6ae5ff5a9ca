"""What a start costs, of the service and of commands: CPU of the process tree, and memory at rest.

    python -m bench.start [--rounds 5] [--also ../before] [--commands] [--rest 20]

Each round starts the service as it ships, of each checkout in turn, in a home that is new (it indexes its
handbook) and then in the same home again: CPU until it answers that it is ready, CPU of the first turn behind
it (what is left to load by then counts for that turn), and of the second. Medians. A round takes some 20
seconds for each checkout, and `--rest` seconds more where memory is looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from bench.processes import HERE, Checkout, cpu_of, running, tree, wait_until_ready

# Each in a home that a service has been in.
COMMANDS = (
    "--help",
    "threads list",
    "files list ada@example.com",
    "rag query ada@example.com handbook backup",
    "check",
    "ask --here hello",
    "config validate",
    "runs list",
)
# Vectors are worked out behind a start, for a quarter of a minute, by a model of 130 MB: a command would wait
# for what is left, and what rests would not rest.
BY_WORDS = {"WAYSTATION_RAG__SEARCH": "words"}
TURN_S = 60
QUIET_S = 1.0  # behind the first turn: what it woke is not the second one's

Figures = dict[str, list[float]]


def main() -> None:
    """Measure, and print the table."""
    given = arguments()
    checkouts = (HERE, *([Checkout("before", given.also.resolve())] if given.also else ()))
    figures: dict[str, Figures] = {each.name: defaultdict(list) for each in checkouts}
    for number in range(given.rounds):
        for each in checkouts if number % 2 else reversed(checkouts):
            one_round(each, figures[each.name], rest=given.rest, commands=given.commands)
    print(table(figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a start costs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--also", type=Path, help="Another checkout, with an environment of its own.")
    parser.add_argument("--commands", action="store_true", help="Commands too.")
    parser.add_argument("--rest", type=float, default=0.0, help="Seconds at rest before memory is looked at.")
    return parser.parse_args()


def one_round(checkout: Checkout, figures: Figures, *, rest: float, commands: bool) -> None:
    """A start in a new home, one in the same home again, and commands there."""
    with tempfile.TemporaryDirectory() as folder:
        env = {"WAYSTATION_HOME": f"{folder}/home"}
        with service(checkout, env, Path(folder) / "log") as (pid, _):
            figures["new home, CPU s until ready"].append(cpu_of(pid))
        with service(checkout, env, Path(folder) / "log") as (pid, url):
            ready = cpu_of(pid)
            figures["CPU s until ready"].append(ready)
            asked(url)
            first = cpu_of(pid)
            figures["CPU s of the first turn"].append(first - ready)
            figures["CPU s until the first answer"].append(first)
            time.sleep(QUIET_S)
            before = cpu_of(pid)
            asked(url)
            figures["CPU s of the second turn"].append(cpu_of(pid) - before)
        if rest:
            with service(checkout, env | BY_WORDS, Path(folder) / "log") as (pid, _):
                time.sleep(rest)
                figures["MB at rest, without the model (PSS)"].append(shared_out(pid) / 1e6)
        for words in COMMANDS if commands else ():
            figures[f"CPU s: {words}"].append(command(checkout, words.split(), env | BY_WORDS))


@contextmanager
def service(checkout: Checkout, env: Mapping[str, str], log: Path) -> Iterator[tuple[int, str]]:
    """The process id and the address of a service that is ready."""
    port = free_port()
    words = ("-m", "waystation", "serve", "--port", str(port))
    with running(words, checkout, log, env) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/health/ready", process, log)
        yield process.pid, f"http://127.0.0.1:{port}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def asked(url: str) -> None:
    """One turn with a tool.

    Raises:
        AssertionError: The answer is wrong.
    """
    body = json.dumps({"input": {"message": "What is 5 + 3?"}}).encode()
    request = Request(f"{url}/agent/invoke", body, {"content-type": "application/json"})  # noqa: S310 - loopback
    with urlopen(request, timeout=TURN_S) as answer:  # noqa: S310 - likewise
        said = json.load(answer)["output"]["answer"]
    assert "8" in said, said


def shared_out(pid: int) -> int:
    """Bytes of a tree; of a page that several processes have, each counts its share."""
    return sum(_pss(each) for each in tree(pid))


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def command(checkout: Checkout, words: Sequence[str], env: Mapping[str, str]) -> float:
    """CPU seconds of a command, with the processes that it started.

    Raises:
        AssertionError: It failed.
    """
    process = subprocess.Popen(
        [checkout.python, "-m", "waystation", *words],
        cwd=checkout.root,
        env=checkout.environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return used.ru_utime + used.ru_stime


def table(figures: Mapping[str, Figures]) -> str:
    """A row for each figure: the median of each checkout, least and most, and the ratio of the two."""
    names = list(figures)
    lines = [f"{'':<46}" + "".join(f"{name:>24}" for name in names)]
    for what in figures[names[0]]:
        told = [figures[name][what] for name in names]
        middles = [statistics.median(values) for values in told]
        cells = [
            f"{middle:.3f} ({min(values):.2f}-{max(values):.2f})"
            for middle, values in zip(middles, told, strict=True)
        ]
        ratio = f"  x{middles[0] / middles[1]:.2f}" if len(names) > 1 and middles[1] else ""
        lines.append(f"{what:<46}" + "".join(f"{cell:>24}" for cell in cells) + ratio)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
