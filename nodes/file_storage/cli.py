"""`python -m nodes.file_storage.cli`, also `waystation files`: files from the command line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from core.access import Principal
from core.cli import JsonFlag, command, make_app, show
from core.container import opened_service
from core.settings import Book
from core.settings.auth import AuthSettings
from nodes.file_storage.attached import AttachedFiles
from nodes.file_storage.errors import FileNotFound, InvalidFile
from nodes.file_storage.filters import Filter
from nodes.file_storage.library import Library
from nodes.file_storage.manager import LIST_MOST, FileManager
from nodes.file_storage.models import CHUNK_BYTES, FileInfo
from nodes.file_storage.module import MODULE
from nodes.file_storage.settings import FileStorageSettings

app = make_app("files", "Files in storage: uploads of people and artifacts of tools.")

# Where `waystation serve` listens unless told otherwise.
SERVICE_URL = "http://127.0.0.1:8000"

UserOption = Annotated[str, typer.Option("--user", help="Whose file it is; default: auth.user.")]
KeyArgument = Annotated[str, typer.Argument(help="The file's key, as `list` shows it.")]


@asynccontextmanager
async def _files(user: str = "") -> AsyncIterator[tuple[FileManager, Book, Principal]]:
    """The files, the settings, and who is meant."""
    async with opened_service(MODULE, FileManager) as (files, container):
        book = await container.get(Book)
        yield files, book, Principal(user or book[AuthSettings].user)


@app.command()
@command
async def upload(
    name: Annotated[str, typer.Argument(help="What the file shall be called.")],
    path: Annotated[Path, typer.Argument(help="The file to read.")],
    user: UserOption = "",
    media_type: Annotated[str, typer.Option(help="Such as text/csv; default: by the name's ending.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Store a file and print its key."""
    with closing(_opened(path)) as handle, _progress() as progress:
        size = os.fstat(handle.fileno()).st_size
        chunks = _read(handle, progress, f"upload {name}", size)
        async with _files(user) as (files, _, owner):
            info = await files.put(owner, name, chunks, media_type=media_type or None)
    lines = {"key": info.key, "name": info.name, "bytes": info.size, "type": info.media_type}
    show(info.as_json() if as_json else lines, as_json=as_json)


@app.command("list")
@command
async def list_files(
    user: Annotated[str, typer.Argument(help="Whose files.")],
    *,
    thread: Annotated[str, typer.Option(help="Only files of this thread.")] = "",
    query: Annotated[str, typer.Option("--query", "-q", help="Words in the name or the tags.")] = "",
    media_type: Annotated[str, typer.Option("--type", help="Such as text/csv, or image/ for any.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag that it has: name or name=value.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 100,
    after: Annotated[str, typer.Option(help="Go on behind this key or cursor.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """List the files of a user, the latest change first.

    Where nobody logs in, everybody is one user: the files of auth.user are those of whoever is named.
    """
    async with _files() as (files, book, local):
        chosen = Filter(None, thread or None, query, media_type, _tags(tag or []))
        wanted: dict[str, Any] = {"wanted": chosen, "limit": limit, "after": after or None}
        found = await files.list(Principal(user), **wanted)
        if not found and not book[AuthSettings].logins and user != local.id:
            found = await files.list(local, **wanted)
            if found:
                print(
                    f"'{user}' has none; nobody logs in here, so these are of '{local.id}'", file=sys.stderr
                )
    rows = [(i.key, i.name, i.size, i.media_type, i.origin, i.thread, _when(i)) for i in found]
    columns = ("key", "name", "bytes", "type", "from", "thread", "stored")
    show([i.as_json() for i in found], as_json=as_json, table=columns, rows=rows, empty="no files")


@app.command()
@command
async def download(
    key: KeyArgument,
    user: UserOption = "",
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where to write it, - for stdout; default: its name, here.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a stored file to disk or to stdout."""
    async with _files(user) as (files, _, owner):
        info = await files.info(owner, key)
        chunks = files.open(owner, key)
        if output == "-":
            async for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return
        target = _target(output, info, force=force)
        await _save(chunks, target, info)
    show({**info.as_json(), "path": str(target)}, as_json=as_json, text=f"{target} ({info.size} bytes)")


@app.command()
@command
async def delete(key: KeyArgument, user: UserOption = "", as_json: JsonFlag = False) -> None:
    """Delete a file for good."""
    async with _files(user) as (files, _, owner):
        await files.delete(owner, key)
    show({"key": key, "deleted": True}, as_json=as_json, text=f"deleted {key}")


@app.command()
@command
async def url(
    key: KeyArgument,
    user: UserOption = "",
    seconds: Annotated[int, typer.Option(help="How long it works; default: the setting.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Print a signed link to a file.

    It leads to file_storage.link_base_url; where that is empty, to the
    service at its default address, which must be running.
    """
    async with _files(user) as (files, book, owner):
        settings = book[FileStorageSettings]
        base = settings.link_base_url or SERVICE_URL
        link = await files.link(owner, key, seconds=seconds or None, base_url=base)
        lifetime = seconds or settings.link_seconds
    show({"key": key, "url": link, "seconds": lifetime}, as_json=as_json, text=link)


@app.command()
@command
async def stats(
    user: Annotated[str, typer.Option("--user", help="Of this user alone.")] = "", as_json: JsonFlag = False
) -> None:
    """Count files and bytes."""
    async with _files() as (files, book, _):
        settings = book[FileStorageSettings]
        usage = await files.stats(Principal(user) if user else None)
    show({"backend": settings.backend, **usage.as_json(), "max_bytes": settings.max_bytes}, as_json=as_json)


@app.command()
@command
async def copy(
    key: KeyArgument,
    name: Annotated[str, typer.Option(help="What the copy is called; default: the same.")] = "",
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Make a second file with the same content and print its key."""
    async with _files(user) as (files, _, owner):
        info = await files.copy(owner, key, name=name or None)
    show({"key": info.key, "name": info.name} if not as_json else info.as_json(), as_json=as_json)


@app.command()
@command
async def tag(
    key: KeyArgument,
    tags: Annotated[list[str], typer.Argument(help="name=value sets a tag, name= takes it away.")],
    replace: Annotated[bool, typer.Option("--replace", help="These are all its tags then.")] = False,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Set tags of a file."""
    given: dict[str, str | None] = {name: value or None for name, value in _tags(tags).items()}
    async with _files(user) as (files, _, owner):
        info = await files.tag(owner, key, given, replace=replace)
    text = ", ".join(f"{name}={value}" for name, value in info.tags.items()) or "no tags"
    show(info.as_json(), as_json=as_json, text=text)


@app.command()
@command
async def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    user: UserOption = "",
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most this many.")] = 10,
    as_json: JsonFlag = False,
) -> None:
    """Find files by what stands in them, the best first; `list --query` finds them by name."""
    async with opened_service(MODULE, AttachedFiles) as (attached, container):
        owner = Principal(user or (await container.get(Book))[AuthSettings].user)
        found = await attached.find(owner, text, limit=limit)
    rows = [(hit.info.key, hit.info.name, hit.where, " ".join(hit.text.split())[:100]) for hit in found.hits]
    hits = [{**h.info.as_json(), "where": h.where, "text": h.text, "score": h.score} for h in found.hits]
    told = {"hits": hits, "searched": found.searched, "left_out": found.left_out}
    if found.left_out:
        print(f"{found.left_out} files have no text that can be read, or there was no time", file=sys.stderr)
    show(told, as_json=as_json, table=("key", "name", "where", "text"), rows=rows, empty="nothing found")


@app.command()
@command
async def extract(
    name: Annotated[str, typer.Argument(help="The file's key, or its name: the newest of that name.")],
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Print the text of a file as a model is given it: of a PDF each page, of a workbook each sheet."""
    async with opened_service(MODULE, FileManager) as (files, container):
        owner = Principal(user or (await container.get(Book))[AuthSettings].user)
        info = await _named(files, owner, name)
        document = await (await container.get(Library)).document(owner, info)
    if not document.parts:
        raise InvalidFile(f"'{info.name}' has no text that can be read: {document.reason or 'it is empty'}")
    for note in document.notes:
        print(f"not read: {note}", file=sys.stderr)
    parts = [{"where": part.where, "text": part.text} for part in document.parts]
    told = {"key": info.key, "name": info.name, "notes": list(document.notes), "parts": parts}
    show(told, as_json=as_json, text=document.whole())


@app.command()
@command
async def reconcile(
    hours: Annotated[float, typer.Option(min=0, help="Only what was begun longer ago.")] = 24,
    remove: Annotated[bool, typer.Option("--remove", help="Delete it; without it, only count.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find what killed uploads left behind, and records without content; the service does so once a day."""
    async with _files() as (files, _, _):
        left = await files.reconcile(older_s=hours * 3600, remove=remove)
    word = "removed" if remove else "found; --remove deletes them"
    text = f"{left.pieces} pieces of {left.bytes} bytes and {left.records} records without content {word}"
    show({**left.as_json(), "removed": remove}, as_json=as_json, text=text)


async def _named(files: FileManager, owner: Principal, name: str) -> FileInfo:
    with suppress(FileNotFound):
        return await files.info(owner, name)
    found = await files.list(owner, wanted=Filter(q=name), limit=LIST_MOST)
    exact = [info for info in found if info.name == name]
    if not exact:
        near = f"; did you mean '{found[0].name}'?" if found else ""
        raise FileNotFound(f"no file has the key or the name '{name[:200]}'{near}")
    return exact[0]


def _tags(given: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (one.partition("=") for one in given)}


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidFile(f"'{path}' cannot be read: {error.strerror}") from error


def _progress() -> Progress:
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


async def _read(handle: IO[bytes], progress: Progress, text: str, size: int) -> AsyncIterator[bytes]:
    task = progress.add_task(text, total=size)
    while chunk := await asyncio.to_thread(handle.read, CHUNK_BYTES):
        yield chunk
        progress.advance(task, len(chunk))


async def _save(chunks: AsyncIterator[bytes], target: Path, info: FileInfo) -> None:
    part = target.with_name(f".{info.key}.part")
    try:
        with part.open("wb") as handle, _progress() as progress:
            task = progress.add_task(f"download {info.name}", total=info.size)
            async for chunk in chunks:
                handle.write(chunk)
                progress.advance(task, len(chunk))
        part.replace(target)
    except OSError as error:
        raise InvalidFile(f"'{target}' cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _target(output: str, info: FileInfo, *, force: bool) -> Path:
    given = Path(output or ".")
    target = given / info.name if given.is_dir() else given
    if target.exists() and not force:
        raise InvalidFile(f"'{target}' exists; give another --output, or --force")
    return target


def _when(info: FileInfo) -> str:
    return info.created.astimezone().strftime("%Y-%m-%d %H:%M")


if __name__ == "__main__":
    app()
