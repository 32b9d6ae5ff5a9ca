"""One database copied into another, from the two URLs to the comparison at the end."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import URL

from core import sockets
from core.database.engine import database_url
from core.database.outage import DatabaseUnavailable
from core.database.servers import servers_of
from core.errors import ConfigInvalid, InvalidInput
from core.settings import Places
from core.settings.platform import StorageSettings
from graph.checkpoints.saver import opened_saver
from graph.db.database import COPYING, HEAD, open_database
from graph.moving.copying import Copy, CopyResult, Progress, check_source, ends, going, open_end
from graph.moving.errors import CopyRefused
from graph.runs.lease import LEASE_SECONDS
from graph.service.fleet import WORKERS

T = TypeVar("T")
ASK_AGAIN_S = 0.5
USED = (
    "a service runs on the source, and what is said behind the copy would not be in it: stop the service (one"
    " that was killed is forgotten after a quarter of a minute), or copy what there is with --running"
)
_SEEN = "SELECT 1 FROM workers WHERE seen_at >= date_part('epoch', clock_timestamp()) - ? LIMIT 1"


def given_url(text: str, what: str, places: Places) -> URL:
    """The database that a person named.

    Raises:
        ConfigInvalid: It is no URL of a database that this service can use.
    """
    if not text.strip():
        raise ConfigInvalid(f"the {what} is empty; use sqlite:///PATH or postgresql://USER@HOST/NAME")
    try:
        return database_url(StorageSettings(url=text), places)
    except ConfigInvalid as error:
        raise ConfigInvalid(error.detail.replace("storage.url", f"the {what}")) from None


def is_same(one: URL, other: URL) -> bool:
    """Whether two URLs name one database, as far as they say it themselves."""
    if one.get_backend_name() != other.get_backend_name():
        return False
    if one.get_backend_name() == "sqlite":
        return Path(str(one.database)).resolve() == Path(str(other.database)).resolve()
    return one.database == other.database and not set(servers_of(one)).isdisjoint(servers_of(other))


async def copy_database(
    source: URL,
    target: URL,
    *,
    again: bool = False,
    wait: bool = False,
    running: bool = False,
    told: Progress = lambda done, total, name: None,
    waiting: Callable[[list[str]], None] = lambda threads: None,
) -> CopyResult:
    """Copy everything that stands in `source` into the empty `target`, or go on with such a copy.

    Args:
        again: Begin anew where an earlier copy into the target has not ended.
        wait: Wait for threads in flight and for the service to stop, in place of refusing them.
        running: Copy although a service runs on the source: what is said behind the copy is not in it.
        told: Hears how many rows of how many are done, and of which table.
        waiting: Hears which threads are waited for, whenever that changes; none for the service alone.

    Raises:
        CopyRefused: The databases are not as they have to be; the sentence says what to do.
        StorageUnavailable: One of them went away; the same call goes on later.
    """
    if is_same(source, target):
        raise InvalidInput("source and target are the same database")
    with closing(open_end(source, "source")) as end:
        check_source(end, "the source")
    if wait:
        await _nobody_going(source, waiting, running=running)
    elif not running and is_used(source):
        raise CopyRefused(USED)
    await make_ready(target)
    return await in_thread(lambda stopping: _copied(source, target, again, told, stopping))


def _copied(
    source: URL, target: URL, again: bool, told: Progress, stopping: Callable[[], bool]
) -> CopyResult:
    with ends(source, target) as (one, other):
        return Copy(one, other, told=told, stopping=stopping).run(name_of(source), again=again)


def name_of(url: URL) -> str:
    """The same for the same database; tells nothing of it."""
    place = Path(str(url.database)).resolve() if url.get_backend_name() == "sqlite" else url.database
    host, port = url.host or url.query.get("host"), url.port or url.query.get("port")
    return hashlib.sha256(f"{url.get_backend_name()} {host} {port} {place}".encode()).hexdigest()[:32]


async def make_ready(target: URL) -> None:
    """Make or migrate the tables of an empty database; one that a copy goes into already stays as it is.

    Raises:
        CopyRefused: It is not empty: nothing in it is touched.
    """
    if _may_be_there(target):
        with closing(open_end(target, "target")) as end:
            found = end.revision()
        if found == COPYING:
            return
        if found not in {None, HEAD}:
            raise CopyRefused(
                f"the target is a database of another release ({found}, this one has {HEAD}); name an empty"
                " one"
            )
    try:
        engine = await open_database(target)
        await engine.dispose()
        async with opened_saver(target):
            pass  # LangGraph's tables
    except DatabaseUnavailable as error:
        # Whose words are those of a start, where this setting names the database.
        detail = error.detail.replace("storage.url", "the target's URL")
        raise DatabaseUnavailable(error.reason, detail=detail) from error


def _may_be_there(url: URL) -> bool:
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).exists()


async def _nobody_going(source: URL, waiting: Callable[[list[str]], None], *, running: bool) -> None:
    before: list[str] | None = None
    with closing(open_end(source, "source")) as end:
        while (threads := going(end)) or (not running and is_used(source)):
            if threads != before:
                waiting(threads)
            before = threads
            await asyncio.sleep(ASK_AGAIN_S)


def is_used(url: URL) -> bool:
    """Whether a service is known to run on the database, also one that has nothing to do just now."""
    if url.get_backend_name() == "sqlite":
        return is_served(Path(str(url.database)).resolve().parent)
    with closing(open_end(url, "source")) as end:
        return WORKERS in end.tables() and bool(end.select(_SEEN, LEASE_SECONDS))


def is_served(home: Path) -> bool:
    """Whether a service runs on this home."""
    lock = home / "state" / "service.lock"
    if not lock.exists():
        return False
    with sockets.alone(lock) as free:
        return not free


async def in_thread(work: Callable[[Callable[[], bool]], T]) -> T:
    """The result of `work`, which is given what to ask whether to end: when its caller is cancelled.

    Work that was done before it heard of that is done: its result is told all the same.
    """
    stop = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, stop.is_set))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        if task.exception() is None:
            return task.result()
        raise
