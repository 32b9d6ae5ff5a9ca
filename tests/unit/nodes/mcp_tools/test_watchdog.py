"""Tool servers end with the process that started them, also where that is killed and they do not listen."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nodes.mcp_tools.adapters.process import WATCHDOG, child_process
from nodes.mcp_tools.adapters.watchdog import end_groups, left_groups

pytestmark = pytest.mark.slow

DEADLINE_SECONDS = 20
# A server in the middle of a blocking call: it reads nothing, and will not hear of a polite end.
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('up', flush=True); time.sleep(3600)"
)
OWNER = f"""
import asyncio, os, sys
from nodes.mcp_tools.adapters.process import child_process
from nodes.mcp_tools.adapters.process import WATCHDOG

async def main():
    command = [sys.executable, "-c", {DEAF!r}]
    async with child_process(command, env=os.environ, cwd=None) as one:
        if "alone" in sys.argv:
            WATCHDOG._process.kill()
            WATCHDOG._process.wait()
        async with child_process(command, env=os.environ, cwd=None) as two:
            await one.stdout.readline()
            await two.stdout.readline()
            print(one.pid, two.pid, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(params=["watched", "alone"])
def owner(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process with two servers; "alone": somebody has killed its first watchdog."""
    root = Path(__file__).parents[4]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, request.param], stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        yield process
        process.kill()


def is_gone(descriptor: int) -> bool:
    """Wait for the end of a process that is not ours."""
    ready, _, _ = select.select([descriptor], [], [], DEADLINE_SECONDS)
    os.close(descriptor)
    return bool(ready)


def test_servers_that_do_not_listen_are_ended_when_their_owner_is_killed(
    owner: subprocess.Popen[str],
) -> None:
    assert owner.stdout is not None
    servers = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(servers) == 2
    descriptors = [os.pidfd_open(pid) for pid in servers]
    owner.kill()
    try:
        assert [is_gone(descriptor) for descriptor in descriptors] == [True, True]
    finally:
        for pid in servers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def test_who_watches_is_there_only_as_long_as_there_is_something_to_watch() -> None:
    async with child_process([sys.executable, "-c", DEAF], env=os.environ, cwd=None):
        assert WATCHDOG._process is not None
        assert WATCHDOG._process.poll() is None
    assert WATCHDOG._process is None


def test_what_has_begun_and_not_ended_is_left_when_the_owner_is_gone() -> None:
    assert left_groups([b"+12\n", b"+7\n", b"-12\n", b"-99\n"]) == {7}


@pytest.mark.parametrize(("code", "by"), [("input()", 1), (DEAF, -signal.SIGKILL)])
async def test_what_is_left_may_end_by_itself_and_is_ended_where_it_does_not(code: str, by: int) -> None:
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    if code == DEAF:
        await server.stdout.readline()
    server.stdin.close()
    await asyncio.gather(asyncio.to_thread(end_groups, {server.pid}), server.wait())
    assert server.returncode == by
