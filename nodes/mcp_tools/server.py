"""One tool server: a task of its own opens its session, watches it, closes it and opens it again."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from core.errors import InvalidInput, WaystationError
from nodes.mcp_tools.errors import CallTimedOut, ServerDown, ServerFailed, ServerGone, StatusRefused
from nodes.mcp_tools.models import (
    Ask,
    CallResult,
    Limits,
    Progress,
    ServerState,
    ServerStatus,
    ToolInfo,
    ToolList,
)
from nodes.mcp_tools.ports import Listener, Observer, ToolConnection, ToolConnector
from nodes.mcp_tools.reasons import CLOSED, not_started, reason_of
from nodes.mcp_tools.settings import ServerEntry

log = structlog.get_logger(__name__)

FIRST_DELAY = 0.05
LONGEST_DELAY = 20.0  # with its start, a server that works again is used again within 30 s
LONG_DELAY = 1.0  # a wait longer than this counts as down, so that turns do not wait for it
STEADY_SECONDS = 10.0  # up for this long: the next loss starts from the shortest delay again
PING_SECONDS = 2.0
LOOK_SECONDS = 1.0  # at most this often turns ask what else is known of its tools
SILENT = "it does not answer any more"

Signal = tuple[Literal["changed", "lost", "restart"], str]
"""What has happened to a session, and why."""


class ToolServer:
    """One server: started when first needed, restarted after a loss, closed by `aclose`.

    `tools` are those last known, kept while it restarts; as long as it is not
    `known`, there is nothing to offer before it is up. From `look_at` on, by the
    loop's clock, it is time to ask what others know of its tools.
    """

    def __init__(
        self, name: str, entry: ServerEntry, connector: ToolConnector, limits: Limits, observer: Observer
    ) -> None:
        self.name = name
        self.entry = entry
        self.limits = limits
        self._connector = connector
        self._observer = observer
        self.state = ServerState.IDLE
        self._since = datetime.now(UTC)
        self._reported_down = False
        self.tools: tuple[ToolInfo, ...] = ()
        self.known = False
        self._left_out: tuple[str, ...] = ()
        self.look_at = float("-inf")
        self._restarts = 0
        self._last_error = ""
        self._connection: ToolConnection | None = None
        self._inbox: asyncio.Queue[Signal] = asyncio.Queue()
        self._settled = asyncio.Event()
        self._clocks: set[asyncio.Timeout] = set()
        self._check: asyncio.Task[None] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._entered_at = float("inf")
        self._begun_at = float("-inf")
        self._was_up = False
        self._ends = 0
        self._closed = False

    def status(self) -> ServerStatus:
        pid = self._connection.pid if self._connection else None
        transport = self.entry.transport or "stdio"
        return ServerStatus(
            self.name,
            self.state,
            transport,
            self._since,
            tools=len(self.tools),
            restarts=self._restarts,
            last_error=self._last_error,
            pid=pid,
            left_out=self._left_out,
        )

    def start(self) -> None:
        """Begin in the background; again does nothing."""
        if self._supervisor is None and not self._closed:
            self.state, self._since = ServerState.STARTING, datetime.now(UTC)
            self._begun_at = asyncio.get_running_loop().time()
            self._supervisor = _own_task(self._supervise(), f"mcp {self.name}")

    def assume(self, tools: Sequence[ToolInfo]) -> None:
        """Hear which tools it is known to have: what to offer while it has not said so itself."""
        if not self.known:
            self.tools, self.known = tuple(tools), True
        elif tuple(tools) != self.tools:
            self.look_again()

    def looking(self) -> None:
        """Somebody asks now what others know of its tools; nobody else need for a while."""
        if self.known:
            self.look_at = asyncio.get_running_loop().time() + LOOK_SECONDS

    def look_again(self) -> None:
        """Ask the server for its tools anew, in the background."""
        if self._connection is not None:
            self._inbox.put_nowait(("changed", ""))

    async def listing(self) -> list[ToolInfo]:
        """Its tools: as they are known, while it is asked again; else once it is up.

        A server that takes long to start is waited for once: not by every turn that comes meanwhile.

        Raises:
            ServerDown: It is down, or still starting.
        """
        if not self.known:
            self.start()
            spent = asyncio.get_running_loop().time() - self._begun_at
            await self.ready(self.limits.start_s - spent)
        else:
            self.look_again()
        return list(self.tools)

    async def ready(self, wait_s: float | None = None) -> ToolConnection:
        """Wait until the server is up.

        Args:
            wait_s: Longest wait, in seconds; by default for as long as a start may take.

        Raises:
            ServerDown: It is down, or did not come up in time.
        """
        if self._connection is not None:
            return self._connection
        self.start()
        longest = self._start_s if wait_s is None else min(wait_s, self._start_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._settled.wait()
        if self._connection is None:
            reason = self._last_error or not_started(longest)
            raise ServerDown(f"the tool server '{self.name}' is down: {reason}")
        return self._connection

    @property
    def _start_s(self) -> float:
        """What a start may take now: a server that was never up may have to be fetched first."""
        return self.limits.start_s if self._was_up else self.limits.first_s

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        ask: Ask | None = None,
    ) -> CallResult:
        """Call a tool once the server is up, within the time limit.

        Raises:
            ServerDown: The server is not up.
            CallTimedOut: No answer in time.
            WaystationError: What `ToolConnection.call` raises.
        """
        connection = await self.ready()
        ends, clock = self._ends, asyncio.timeout(self.limits.call_s)
        try:
            async with clock:
                self._clocks.add(clock)
                return await connection.call(tool, arguments, progress=progress, ask=ask)
        except TimeoutError as error:
            if connection is not self._connection:
                gone = ServerGone(f"the tool server '{self.name}' went away: {self._last_error}")
                raise self._once(gone, ends) from error
            self._check_soon(connection)
            raise CallTimedOut(f"'{tool}' did not answer within {self.limits.call_s:g} s") from error
        except (ServerGone, StatusRefused) as error:
            if connection is self._connection:  # one call failed; whether more did, a ping tells
                self._check_soon(connection)
            raise self._once(error, ends) from error.__cause__
        finally:
            self._clocks.discard(clock)

    def _once(self, error: WaystationError, ends: int) -> WaystationError:
        """The error; what went away once under many calls is held against the server once.

        Args:
            ends: How often it had gone away when the call began.
        """
        if isinstance(error, ServerGone) and not isinstance(error, ServerFailed):
            error.counts_as_failure = ends == self._ends
            self._ends += error.counts_as_failure
        return error

    async def restart(self) -> None:
        """Leave the session and open a new one; calls that are going end as gone.

        Raises:
            ServerDown: It did not come up again.
        """
        if self._supervisor is not None:
            self._disconnect(ServerState.RESTARTING)
            self._inbox.put_nowait(("restart", "it was asked to restart"))
        await self.ready()

    async def aclose(self) -> None:
        """End the session and its process. Safe to call twice, and when cancelled."""
        self._closed = True
        tasks = [task for task in (self._supervisor, self._check) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._supervisor = None
        self._disconnect(ServerState.IDLE)

    def _check_soon(self, connection: ToolConnection) -> None:
        """After a call that failed: a server that does not even answer a ping is replaced."""
        if self._check is None or self._check.done():
            self._check = _own_task(self._check_alive(connection), f"mcp {self.name} ping")

    async def _check_alive(self, connection: ToolConnection) -> None:
        answered = False
        with suppress(TimeoutError):
            async with asyncio.timeout(PING_SECONDS):
                answered = await connection.alive()
        # A server that is busy with another caller's long call keeps its chance to finish it.
        if not answered and not self._clocks and connection is self._connection:
            self._lost(SILENT, self._inbox)

    def _lost(self, reason: str, inbox: asyncio.Queue[Signal]) -> None:
        if inbox is self._inbox and self._connection is not None:
            self._last_error = reason
            self._disconnect(ServerState.RESTARTING)  # at once: the next call waits for the new session
            self._report_down(reason)
        inbox.put_nowait(("lost", reason))

    async def _supervise(self) -> None:
        failures = 0
        while True:
            self._entered_at = float("inf")
            signal = await self._session()
            self._report_down(signal[1])
            steady = asyncio.get_running_loop().time() - self._entered_at > STEADY_SECONDS
            failures = 0 if steady else failures + 1
            if await self._wait_to_restart(signal, failures):
                failures = 0
            self._restarts += 1

    async def _session(self) -> Signal:
        """One session from start to end; the last signal says why it ended."""
        inbox: asyncio.Queue[Signal] = asyncio.Queue()
        self._inbox = inbox
        signal: Signal = ("lost", "")
        try:
            async with AsyncExitStack() as stack:
                connection = await self._open(stack, inbox)
                self._went_up(connection)
                try:
                    signal = await self._watch(connection, inbox)
                finally:
                    self._went_down(signal)
        except Exception as error:  # noqa: BLE001  # whatever ends a session, its supervisor lives on and reports it
            if not signal[1]:
                signal = ("lost", self._reason(error, inbox))
        if signal[1] == CLOSED:  # the end of a process is noticed a little later than that of its pipes
            signal = (signal[0], _said_last(inbox) or CLOSED)
        if signal[0] == "lost":
            log.warning("mcp server lost", server=self.name, reason=signal[1])
        return signal

    async def _open(self, stack: AsyncExitStack, inbox: asyncio.Queue[Signal]) -> ToolConnection:
        listener = Listener(
            changed=lambda: inbox.put_nowait(("changed", "")),
            lost=lambda reason: self._lost(reason, inbox),
        )
        self._begun_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(self._start_s):
            opened = self._connector.open(
                self.name, self.entry, listener, max_result_bytes=self.limits.result_bytes
            )
            connection = await stack.enter_async_context(opened)
            self._listed(await connection.tools())
        return connection

    def _listed(self, found: ToolList) -> None:
        if found.left_out and found.left_out != self._left_out:
            log.warning("mcp tools left out", server=self.name, left_out=found.left_out)
        self.tools, self.known, self._left_out = found.tools, True, found.left_out
        self._observer.listed(self.tools)

    def _reason(self, error: Exception, inbox: asyncio.Queue[Signal]) -> str:
        """What the connection said last is better than the exception that followed from it."""
        said = _said_last(inbox)
        if isinstance(error, TimeoutError) or not said:
            return reason_of(error, self.entry, self._start_s)
        return said

    async def _watch(self, connection: ToolConnection, inbox: asyncio.Queue[Signal]) -> Signal:
        while True:
            signal = await inbox.get()
            if signal[0] != "changed":
                return signal
            if not await self._list_again(connection):
                return ("lost", SILENT)

    async def _list_again(self, connection: ToolConnection) -> bool:
        """False when it does not answer, although no call keeps it busy."""
        try:
            async with asyncio.timeout(self.limits.start_s):
                self._listed(await connection.tools())
        except TimeoutError:
            return bool(self._clocks)
        except InvalidInput as error:  # what it said before still holds
            log.warning("mcp server does not list its tools", server=self.name, code=error.code)
        return True

    def _went_up(self, connection: ToolConnection) -> None:
        self._entered_at = asyncio.get_running_loop().time()
        self._connection = connection
        self._was_up = True
        self.state, self._since = ServerState.UP, datetime.now(UTC)
        self._settled.set()
        self._reported_down = False
        self._observer.up()

    def _went_down(self, signal: Signal) -> None:
        """Nobody may use the session any more; calls that wait for it are told now."""
        if signal[0] == "lost":
            self._last_error = signal[1] or self._last_error
        self._disconnect(ServerState.RESTARTING)
        for clock in tuple(self._clocks):
            with suppress(RuntimeError):  # it is ending by itself just now
                clock.reschedule(asyncio.get_running_loop().time())

    def _report_down(self, reason: str) -> None:
        if not self._reported_down:
            self._reported_down, self._since = True, datetime.now(UTC)
            self._observer.down(reason)

    def _disconnect(self, state: ServerState) -> None:
        self._connection = None
        self.state = state
        self._settled.clear()

    async def _wait_to_restart(self, signal: Signal, failures: int) -> bool:
        """Wait before the next start. True when somebody asked for it, which ends the wait."""
        if signal[0] == "restart":
            return True
        self._last_error = signal[1]
        never = self.entry.restart == "never"
        delay = min(LONGEST_DELAY, FIRST_DELAY * 4.0 ** max(0, failures - 1))
        if never or delay > LONG_DELAY or not self.known:
            self.state = ServerState.DOWN
            self._settled.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if never else delay):
                while (await self._inbox.get())[0] != "restart":
                    continue
            return True
        return False


def _said_last(inbox: asyncio.Queue[Signal]) -> str:
    """The last signal that says more than that a connection is closed."""
    said = ""
    while not inbox.empty():
        found = inbox.get_nowait()[1]
        said = said if not found or (said and found == CLOSED) else found
    return said


def _own_task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task that belongs to no turn, whoever happened to be the first to need the server."""
    return asyncio.create_task(work, name=name, context=contextvars.Context())
