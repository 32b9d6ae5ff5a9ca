"""Connect to the one of several servers of PostgreSQL that takes it, without waiting for a silent one.

psycopg asks them one after the other, each for at least two seconds: behind a cut line the first would take
all the patience of a request. So the one that answered last is asked first, and a silent one gets company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

A = TypeVar("A", bound=psycopg.AsyncConnection[Any])
C = TypeVar("C", bound=psycopg.Connection[Any])

COMPANY_S = 0.3

# Which of several answered last, by all their names.
_found: dict[str, int] = {}


async def connected(connect: Callable[..., Awaitable[A]], conninfo: str, **options: Any) -> A:
    """A connection to one of the servers that `conninfo` or the options name.

    Args:
        connect: As `psycopg.AsyncConnection.connect`.

    Raises:
        psycopg.OperationalError: None of them takes it; with what each said.
    """
    servers, name = _servers(conninfo, options)
    if not servers:
        return await connect(conninfo, **options)

    def opening(place: int) -> asyncio.Task[A]:
        return asyncio.ensure_future(connect(conninfo, **{**options, **servers[place]}))

    place, connection = await _first(opening, _order(servers, name))
    _found[name] = place
    return connection


def connected_now(connect: Callable[..., C], conninfo: str, **options: Any) -> C:
    """The same in a thread, where one is asked after the other."""
    servers, name = _servers(conninfo, options)
    if not servers:
        return connect(conninfo, **options)
    said: list[Exception] = []
    for place in _order(servers, name):
        try:
            connection = connect(conninfo, **{**options, **servers[place]})
        except psycopg.OperationalError as error:
            said.append(error)
        else:
            _found[name] = place
            return connection
    raise _none(said)


def _servers(conninfo: str, options: Mapping[str, Any]) -> tuple[list[dict[str, str]], str]:
    """Host and port of each, and a name for all; none where there are not several."""
    given = options if "host" in options else conninfo_to_dict(conninfo)
    hosts, ports = (str(given.get(name) or "").split(",") for name in ("host", "port"))
    if len(ports) == 1:
        ports *= len(hosts)
    if len(hosts) < 2 or len(ports) != len(hosts) or "hostaddr" in given:
        return [], ""  # one, or what the driver has a word to say about
    servers = [{"host": host, "port": port} for host, port in zip(hosts, ports, strict=True)]
    return servers, f"{hosts} {ports}"


def _order(servers: Sequence[Any], name: str) -> list[int]:
    best = _found.get(name, 0)
    return sorted(range(len(servers)), key=lambda place: place != best)


async def _first(opening: Callable[[int], asyncio.Task[A]], order: Sequence[int]) -> tuple[int, A]:
    """The first that opens, and its place. Others have begun where it was silent, and are let go."""
    left, going, said = list(order), dict[asyncio.Task[A], int](), list[Exception]()
    try:
        while left or going:
            if left:
                place = left.pop(0)
                going[opening(place)] = place
            done, _ = await asyncio.wait(
                going, timeout=COMPANY_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                place = going.pop(task)
                error = task.exception()
                if error is None:
                    return place, task.result()
                if not isinstance(error, psycopg.OperationalError):
                    raise error
                said.append(error)
        raise _none(said)
    finally:
        await _let_go(list(going))


async def _let_go(tasks: Sequence[asyncio.Task[A]]) -> None:
    for task in tasks:
        task.cancel()
    for late in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(late, psycopg.AsyncConnection):
            late.pgconn.finish()


def _none(said: Sequence[Exception]) -> psycopg.OperationalError:
    return psycopg.OperationalError("; ".join(str(error).strip() for error in said))
