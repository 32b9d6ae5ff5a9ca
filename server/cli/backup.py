"""`waystation backup` and `waystation restore`: everything that a service keeps, in one folder."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli import JsonFlag, command, print_fields, progress_bar, show, stop_message

if TYPE_CHECKING:
    from core.settings import Book, Places
    from graph.moving.copying import Progress
    from graph.moving.manifest import Manifest

SECRETS = (
    "the backup holds SECRETS as plain text: keys that sign links and logins, and dot files of the "
    "configuration"
)

NOT_RESTORED = "nothing was put back; the same command begins anew"
GOES_ON = ", but for rows that are in the database already: with those it goes on"


@command
async def backup_command(
    target: Annotated[Path, typer.Argument(help="A new folder; it gets this name when all is in it.")],
    *,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Also keys that sign, and dot files, as plain text.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Everything that the service keeps, in one folder; also while it serves."""
    from core.database.engine import database_url
    from core.installed import CARRIED
    from core.settings import Places
    from core.settings.platform import StorageSettings
    from graph.moving.backup import BackupSource, back_up
    from nodes.file_storage.settings import FileStorageSettings

    places = Places.from_environ()
    book = _book(places)
    files = book[FileStorageSettings]
    kept = BackupSource(
        places,
        database_url(book[StorageSettings], places),
        bucket=files.elsewhere,
        own_config=not places.config_dir.is_relative_to(CARRIED) and places.config_dir.is_dir(),
    )
    with stop_message(lambda: "there is no backup, and nothing is left of it"):
        manifest = await _worked(lambda told: back_up(kept, target, with_secrets=with_secrets, told=told))
    show(manifest.as_json(), as_json=as_json, people=lambda: _told(manifest))
    if manifest.bucket:
        print(
            f"files are in the bucket '{manifest.bucket}' and NOT in the backup: back it up by its own "
            "means, such as versioning or replication",
            file=sys.stderr,
        )
    if with_secrets:
        print(SECRETS, file=sys.stderr)


@command
async def restore_command(
    folder: Annotated[Path, typer.Argument(help="A backup.")],
    *,
    database: Annotated[
        str, typer.Option(help="Where its database goes; default: where the configuration says.")
    ] = "",
    only_check: Annotated[
        bool, typer.Option("--check", help="Only read it, and say whether it is whole.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Put a backup back, into a home that is not there or empty."""
    from core.settings import Places
    from graph.moving.restore import check, restore

    if only_check:
        with stop_message(lambda: "the backup was not read to its end"):
            manifest = await _worked(lambda told: check(folder, told))
        show(manifest.as_json(), as_json=as_json, people=lambda: _told(manifest))
        return
    places = Places.from_environ()
    url = _database(places, folder, database)
    with stop_message(lambda: NOT_RESTORED if url.get_backend_name() == "sqlite" else NOT_RESTORED + GOES_ON):
        done = await _worked(lambda told: restore(folder, places, url, told))
    show(done.as_json(), as_json=as_json, people=lambda: _told(done.manifest))
    if not as_json:
        print("the configuration was put back" if done.config else "the configuration stays as it is")
        where = "set storage.url to that database, and then " if database else ""
        print(f"next: {where}waystation check")


def _database(places: Places, folder: Path, given: str) -> Any:
    """Where the database goes: as named here, or in the configuration that will be used."""
    from core.database.engine import database_url
    from core.settings import Places as Folders
    from core.settings.platform import StorageSettings
    from graph.moving.database import given_url

    if given:
        return given_url(given, "database", places)
    own = places.config_dir.is_dir() and any(places.config_dir.iterdir())
    config = places.config_dir if own else folder / "config"
    return database_url(_book(Folders(config, places.home))[StorageSettings], places)


def _book(places: Places) -> Book:
    """Only what says where things stand: a backup also helps where the rest is not valid."""
    from core.settings import Context, read_book
    from core.settings.platform import SECTIONS
    from nodes.file_storage.module import MODULE

    return read_book((*SECTIONS, *MODULE.sections), (), Context.current(places), partial=True)


async def _worked(work: Callable[[Progress], Any]) -> Any:
    """The result of work in a thread, which ends when it tells something after a Ctrl-C."""
    from graph.moving.copying import Stopped
    from graph.moving.database import in_thread

    with progress_bar("KiB") as bar:

        def run(stopping: Callable[[], bool]) -> Any:
            def told(done: int, total: int, name: str) -> None:
                if stopping():
                    raise Stopped
                bar(done, total, name)

            return work(told)

        return await in_thread(run)


def _told(manifest: Manifest) -> None:
    about = manifest.as_json()
    about["left_out"] = "; ".join(f"{name}: {why}" for name, why in manifest.left_out.items()) or "nothing"
    print_fields(about)
