"""A database into another of either kind: in portions that outlive a kill, and looked at in the end.

The target says in a table of the copy how far each part has got, in the transaction that wrote the rows. A
copy that goes on first reads again what it had copied: a source that was used meanwhile is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy.engine import URL

from core.database.engine import POSTGRES_MISSING
from core.database.opening import opening_error
from core.database.outage import DatabaseUnavailable, storage_outage
from core.errors import ConfigInvalid, InvalidInput, StorageUnavailable, Unavailable, WaystationError
from graph.db.database import COPYING, HEAD
from graph.moving.comparing import Reader, reader_of
from graph.moving.end import End, Stage
from graph.moving.errors import CopyRefused
from graph.moving.rows import Part, Row, Tally, batches, parts
from graph.moving.sqlite import SqliteEnd

Progress = Callable[[int, int, str], None]
SHOWN = 20
_GOING = (
    "SELECT thread_id FROM runs WHERE status IN ('queued', 'running')"
    " UNION SELECT id FROM threads WHERE run_id IS NOT NULL"
)
_MARKS = (
    "SELECT count(*), max(updated_at) FROM threads",
    "SELECT count(*), max(seq) FROM transcript",
    "SELECT count(*), max(created_at), max(ended_at) FROM runs",
)
_USED = "SELECT id FROM threads WHERE updated_at > ? ORDER BY updated_at DESC"


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy came to: rows by part, and their digest, which is the same on both sides."""

    tallies: dict[str, Tally]
    resumed: bool

    def as_json(self) -> dict[str, Any]:
        found = {name: {"rows": tally.rows, "sum": tally.hex} for name, tally in self.tallies.items()}
        return {
            "rows": sum(tally.rows for tally in self.tallies.values()),
            "resumed": self.resumed,
            "tables": found,
        }


class Stopped(Exception):
    """Somebody wants the copy to end; what is written stays, and it can go on."""


def open_end(url: URL, what: str, *, writing: bool = False) -> End:
    """The database as an end of a copy.

    Raises:
        InvalidInput: It is a folder.
        Unavailable: It is not there or does not answer.
        ConfigInvalid: Its driver is not installed.
    """
    try:
        if url.get_backend_name() == "sqlite":
            return _file(Path(str(url.database)), what, writing=writing)
        from graph.moving.postgres import PostgresEnd  # noqa: PLC0415 - each database loads only its own driver

        return PostgresEnd(url, writing=writing)
    except ModuleNotFoundError:
        raise ConfigInvalid(POSTGRES_MISSING.replace("storage.url", f"the {what}")) from None
    except Exception as error:
        told = opening_error(url, error)
        if told is None:
            raise
        detail = told.detail.replace("storage.url", f"the {what}'s URL")
        if isinstance(told, DatabaseUnavailable):
            raise DatabaseUnavailable(told.reason, detail=detail) from error
        raise ConfigInvalid(detail) from error


def _file(path: Path, what: str, *, writing: bool) -> End:
    if path.is_dir():
        raise InvalidInput(f"the {what} '{path.name}' is a folder; name the database's file")
    if not path.is_file():
        raise Unavailable(f"the {what} '{path.name}' is not there; look at its path")
    end = SqliteEnd(path, writing=writing)
    end.tables()  # a file that is no database says so here
    return end


def going(end: End) -> list[str]:
    """Threads that are in flight: with a run that is queued or running, or held by the service."""
    if not {"runs", "threads"} <= end.tables():
        return []
    return sorted(str(row[0]) for row in end.select(_GOING))


def check_source(source: End, name: str) -> None:
    """Raises CopyRefused where it is not a database of this release."""
    found = source.revision()
    if found == HEAD:
        return
    if found is None:
        raise CopyRefused(f"{name} holds no database of Waystation")
    if found == COPYING:
        raise CopyRefused(f"{name} is itself a copy that has not ended; finish or delete that first")
    if found > HEAD:
        raise CopyRefused(
            f"{name} was written by a newer release ({found}, this one has {HEAD}); use that release"
        )
    raise CopyRefused(
        f"{name} was written by an older release ({found}, this one has {HEAD}): migrate it first, by"
        " `waystation check` of this release with storage.url on it, after a backup"
    )


def refuse_going(threads: Sequence[str]) -> None:
    """Raises CopyRefused where threads are in flight, with their ids."""
    if not threads:
        return
    ids = ", ".join(threads[:SHOWN]) + (f" and {len(threads) - SHOWN} more" if len(threads) > SHOWN else "")
    raise CopyRefused(
        f"threads in flight: {ids}. Wait for them with --wait, or cancel their runs; where the service was"
        " killed, start it once more, so that it ends or finishes them, and stop it"
    )


class Copy:
    """One copy.

    Args:
        told: Hears how many rows of how many are done, and of which part.
        stopping: Asked between two portions whether to end.
        in_flight: Copy threads in flight too, as a killed service leaves them.
    """

    def __init__(
        self,
        source: End,
        target: End,
        *,
        told: Progress = lambda done, total, name: None,
        stopping: Callable[[], bool] = lambda: False,
        in_flight: bool = False,
    ) -> None:
        self._source = source
        self._target = target
        self._told = told
        self._stopping = stopping
        self._in_flight = in_flight
        self._done = 0
        self._total = 1
        self._name = ""
        self._telling = Lock()
        self._copying, self._given_up = True, False

    def run(self, name: str, *, again: bool = False) -> CopyResult:
        """Copy everything, and compare.

        Args:
            name: Names the source; a copy goes on only from the same.
            again: Begin from the start, where a copy into the target has not ended.

        Raises:
            CopyRefused: The two are not as they have to be.
        """
        with self._source.snapshot():
            check_source(self._source, "the source")
            if not self._in_flight:
                refuse_going(going(self._source))
            stages = self._stages(name, again=again)
            chosen = [part for part in parts() if self._source.has(part)]
            # Everything is read twice, and written once.
            self._total = 2 * sum(self._source.count(part) for part in chosen) or 1
            marks = _marks(self._source)
            tallies = self._all_copied(chosen, stages)
        self._unchanged(marks)
        # Who hears it may end the copy, which then can go on: nothing may be said behind the end.
        self._told(self._total, self._total, "")
        self._target.end_journal(HEAD)
        return CopyResult(tallies, bool(stages))

    def _stages(self, name: str, *, again: bool) -> dict[str, Stage]:
        found = self._target.revision()
        if found == COPYING:
            return self._going_on(name, again=again)
        if found != HEAD:
            raise CopyRefused("the target is no database of this release")
        full = [part.name for part in parts() if self._target.has(part) and self._target.count(part)]
        if full:
            raise CopyRefused(
                f"the target is not empty: it has rows in {', '.join(full)}; name an empty database"
            )
        self._target.begin_journal(name)
        return {}

    def _going_on(self, name: str, *, again: bool) -> dict[str, Stage]:
        source, stages = self._target.journal()
        if again:
            with self._target.transaction():
                for part in parts():
                    self._target.clear(part)
                self._target.run("DELETE FROM waystation_copy WHERE part <> ':source'")
                self._target.run("UPDATE waystation_copy SET after = ?", name)
            return {}
        if source != name:
            raise CopyRefused(
                "the target holds a copy of another source that has not ended; name an empty database, or"
                " begin anew with --again, which removes what was copied"
            )
        return dict(stages)

    def _all_copied(self, chosen: Sequence[Part], stages: Mapping[str, Stage]) -> dict[str, Tally]:
        """Copy one part after the other; what is there is compared, meanwhile where that costs nothing."""
        tallies: dict[str, Tally] = {}
        with closing(reader_of(self._target, self._total // 2)) as reader, ThreadPoolExecutor(1) as comparer:
            comparing: list[Future[None]] = []
            try:
                for part in chosen:
                    tallies[part.name] = self._copied(part, stages.get(part.name, Stage()))
                    if self._target.reads_beside:
                        comparing.append(comparer.submit(self._compare, reader, part, tallies[part.name]))
                        _raise_early(comparing)
                self._copying = False
                comparing += [
                    comparer.submit(self._compare, reader, part, tallies[part.name])
                    for part in chosen[len(comparing) :]
                ]
                for one in comparing:
                    one.result()
                for part in chosen:
                    _same(part, tallies[part.name], Tally(self._target.count(part), tallies[part.name].sum))
            except BaseException:
                self._given_up = True
                raise
        return tallies

    def _copied(self, part: Part, stage: Stage) -> Tally:
        with closing(self._source.read(part)) as rows:
            tally = self._known(part, rows, stage)
            if stage.done:
                if next(rows, None) is not None:
                    raise _changed(part)
                return tally
            last = stage.after
            # The next portion is read while the one before is written: those are two machines, or two cores.
            with ThreadPoolExecutor(1) as writer:
                writing: Future[None] | None = None
                for batch, more in batches(part, rows):
                    self._heed()
                    tally, last = tally + more, part.key_of(batch[-1])
                    if writing is not None:
                        writing.result()
                    writing = writer.submit(self._write, part, batch, Stage(last, tally))
                    self._tell(len(batch), part.name)
                if writing is not None:
                    writing.result()
        self._write(part, (), Stage(last, tally, done=True))
        return tally

    def _write(self, part: Part, batch: Sequence[Row], stage: Stage) -> None:
        with self._target.transaction():
            if batch:
                self._target.store(part, batch)
            self._target.note(part, stage)

    def _known(self, part: Part, rows: Iterator[Row], stage: Stage) -> Tally:
        """Read over what is there already, which has to be what it was."""
        tally = Tally()
        for batch, more in batches(part, _first(rows, stage.tally.rows)):
            self._heed()
            tally += more
            self._tell(len(batch), part.name)
            if tally.rows == stage.tally.rows and part.key_of(batch[-1]) != stage.after:
                raise _changed(part)
        if tally != stage.tally:
            raise _changed(part)
        return tally

    def _compare(self, reader: Reader, part: Part, wanted: Tally) -> None:
        found = Tally()
        with closing(reader.portions(part, self._heed)) as portions:
            for more in portions:
                found += more
                self._tell(more.rows, "" if self._copying else f"comparing {part.name}")
        _same(part, wanted, found)

    def _unchanged(self, marks: Sequence[Row]) -> None:
        if self._in_flight or _marks(self._source) == marks:
            return
        used = [str(row[0]) for row in self._source.select(_USED, marks[0][1] or 0)]
        raise CopyRefused(
            f"the source was used while it was copied (threads: {', '.join(used[:SHOWN]) or 'deleted'}): stop"
            " the service, and copy once more with --again"
        )

    def _tell(self, rows: int, name: str) -> None:
        with self._telling:
            self._done += rows
            self._name = name or self._name
            # The end is told when it is reached.
            self._told(min(self._done, self._total - 1), self._total, self._name)

    def _heed(self) -> None:
        if self._given_up or self._stopping():
            raise Stopped


def _same(part: Part, wanted: Tally, found: Tally) -> None:
    if found != wanted:
        raise CopyRefused(
            f"the target differs from the source in {part.name}: {found.rows} rows ({found.hex})"
            f" and {wanted.rows} ({wanted.hex}); somebody else wrote to it: begin anew with --again"
        )


def _raise_early(comparing: Sequence[Future[None]]) -> None:
    """A part that is not the same ends the copy before more is copied."""
    for one in comparing:
        if one.done():
            one.result()


def _changed(part: Part) -> CopyRefused:
    return CopyRefused(
        f"the source has changed since the copy began (in {part.name}): begin anew with --again, which"
        " removes what was copied"
    )


def _marks(end: End) -> list[Row]:
    return [end.select(sql)[0] for sql in _MARKS]


def _first(rows: Iterator[Row], count: int) -> Iterator[Row]:
    for _ in range(count):
        row = next(rows, None)
        if row is None:
            return
        yield row


@contextmanager
def ends(source: URL, target: URL) -> Iterator[tuple[End, End]]:
    """Both databases, closed at the end of the block.

    Raises:
        StorageUnavailable: From the block, where one of the two goes away or has no room left.
    """
    with (
        closing(open_end(source, "source")) as one,
        closing(open_end(target, "target", writing=True)) as other,
    ):
        try:
            yield one, other
        except WaystationError:
            raise
        except Exception as error:
            away = storage_outage(error)
            if away is None:
                raise
            reason = getattr(away, "reason", away.detail)
            raise StorageUnavailable(
                f"a database {reason}; when that is mended, the same command goes on where it was"
            ) from error
