"""`waystation threads`: sessions listed, read, searched, forked, compared, taken out and brought in."""

# ruff: noqa: PLC0415 - slow imports stay inside the commands, as in server.cli
from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer

from core.cli import JsonFlag, cell, command, make_app, print_fields, short, show
from core.errors import InvalidInput
from server.cli.quick_list import quick_threads
from server.cli.sessions import UserOption, opened

threads = make_app("threads")

Limit = Annotated[int, typer.Option(min=1, max=200)]
CHUNK_BYTES = 1 << 18
SHOWN = 120


@threads.command("list")
@command
async def list_command(
    *,
    status: Annotated[str | None, typer.Option(help="idle, running, interrupted or failed.")] = None,
    query: Annotated[str | None, typer.Option("--query", "-q", help="Only titles that contain this.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    limit: Limit = 50,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Sessions, the last used first."""
    found = quick_threads(user, status=status, q=query, tag=tag, limit=limit)
    if found is None:
        async with opened(user, idle=True) as (agent, who):
            found = await agent.threads.list(who, status=status, q=query, tag=tag, limit=limit)
    columns = ("id", "title", "status", "turns", "tags", "updated_at")
    show(found, as_json=as_json, table=columns, empty="no threads")


@threads.command("waiting")
@command
async def waiting_command(*, limit: Limit = 50, user: UserOption = "", as_json: JsonFlag = False) -> None:
    """Sessions that wait for a person, and what they ask."""
    from server.questions import line_of

    async with opened(user, idle=True) as (agent, who):
        found = await agent.threads.list(who, status="interrupted", limit=limit)
    rows = [
        [item["id"], item["title"], question.get("kind"), question.get("id"), line_of(question)]
        for item in found
        for question in item["waiting"]
    ]
    columns = ("id", "title", "kind", "interrupt", "question")
    show(found, as_json=as_json, table=columns, rows=rows, empty="nothing waits")


@threads.command("show")
@command
async def show_command(
    thread_id: str,
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Messages, from the newest.")] = 50,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """What was said in a session."""
    async with opened(user, idle=True) as (agent, who):
        thread = await agent.threads.get(who, thread_id)
        page = await agent.threads.transcript(who, thread_id, limit=limit)
    fields = {name: value for name, value in thread.items() if name != "waiting"}
    show({**thread, **page}, as_json=as_json, people=lambda: _print_messages(page, fields))


@threads.command("history")
@command
async def history_command(
    thread_id: str, *, limit: Limit = 10, user: UserOption = "", as_json: JsonFlag = False
) -> None:
    """The checkpoints of a session, newest first."""
    async with opened(user, idle=True) as (agent, who):
        page = await agent.threads.history(who, thread_id, limit=limit)
    columns = ("checkpoint_id", "created_at", "step", "next", "messages")
    rows = [[cell(item.get(name)) for name in columns] for item in page["checkpoints"]]
    show(page, as_json=as_json, table=columns, rows=rows, empty="no checkpoints")


@threads.command("state")
@command
async def state_command(
    thread_id: str,
    *,
    checkpoint: Annotated[str | None, typer.Option(help="By default the newest.")] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """What a checkpoint of a session holds."""
    async with opened(user, idle=True) as (agent, who):
        found = await agent.threads.state(who, thread_id, checkpoint_id=checkpoint)
    files = [file["name"] for file in found["files"]]
    fields = {"checkpoint": found["checkpoint_id"], "files": files, "next": found["next"]}
    show(found, as_json=as_json, people=lambda: _print_messages(found, fields))


@threads.command("diff")
@command
async def diff_command(
    thread_id: str,
    *,
    from_id: Annotated[
        str | None, typer.Option("--from", help="Checkpoint; by default the one before --to.")
    ] = None,
    to_id: Annotated[str | None, typer.Option("--to", help="Checkpoint; by default the newest.")] = None,
    other: Annotated[
        str | None, typer.Option(help="Another session that --to belongs to, such as a fork.")
    ] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """What differs between two checkpoints."""
    async with opened(user, idle=True) as (agent, who):
        found = await agent.threads.diff(who, thread_id, from_id=from_id, to_id=to_id, other=other)
    show(found, as_json=as_json, text="\n".join(difference_lines(found)))


@threads.command("fork")
@command
async def fork_command(
    thread_id: str,
    *,
    checkpoint: Annotated[
        str | None, typer.Option(help="Where it begins; by default where the session is now.")
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="Id of a message of the user: end just before it.")
    ] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """A new session that goes on from a moment of this one, which stays as it is."""
    if checkpoint and before:
        raise InvalidInput("give --checkpoint or --before, not both")
    async with opened(user, idle=True) as (agent, who):
        made = (
            await agent.threads.fork_before(who, thread_id, before)
            if before
            else await agent.threads.fork(who, thread_id, checkpoint_id=checkpoint)
        )
    show(made, as_json=as_json, text=made["id"])


@threads.command("search")
@command
async def search_command(
    text: Annotated[str, typer.Argument(help='Words; "words together" in quotes, word* for every ending.')],
    *,
    limit: Limit = 20,
    after: Annotated[int | None, typer.Option(help="`seq` of the last hit of the page before.")] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Messages that have every word, the newest first."""
    async with opened(user, idle=True) as (agent, who):
        found = await agent.threads.search(who, text, limit=limit, after=after)
    rows = [[hit["thread_id"], hit["title"], hit["role"], hit["message_id"], _marked(hit)] for hit in found]
    columns = ("thread", "title", "role", "message", "text")
    show(found, as_json=as_json, table=columns, rows=rows, empty="nothing found")


@threads.command("tag")
@command
async def tag_command(
    thread_id: str,
    tags: Annotated[list[str] | None, typer.Argument(help="Tags to add.")] = None,
    *,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to take away; may be repeated.")] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Tag a session, or take tags away; without either, show its tags."""
    async with opened(user, idle=True) as (agent, who):
        thread = await agent.threads.get(who, thread_id)
        gone = {tag.strip() for tag in remove or ()}
        wanted = [tag for tag in [*thread["tags"], *(tags or ())] if tag.strip() not in gone]
        if wanted != thread["tags"]:
            thread = await agent.threads.change(who, thread_id, tags=wanted)
    show(thread, as_json=as_json, text=", ".join(thread["tags"]) or "(no tags)")


@threads.command("rename")
@command
async def rename_command(
    thread_id: str, title: str, *, user: UserOption = "", as_json: JsonFlag = False
) -> None:
    """Give a session another title."""
    async with opened(user, idle=True) as (agent, who):
        thread = await agent.threads.change(who, thread_id, title=title)
    show(thread, as_json=as_json, text=thread["title"])


@threads.command("export")
@command
async def export_command(
    thread_id: str,
    *,
    form: Annotated[
        Literal["jsonl", "markdown"],
        typer.Option("--format", help="jsonl: whole, for `import`. markdown: for people."),
    ] = "jsonl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; by default to stdout.")
    ] = None,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Write a session out, with the content of its files."""
    if as_json and output is None:
        raise InvalidInput("--json tells what was written to a file; give --output as well")
    async with opened(user, idle=True) as (agent, who):
        pieces = await agent.threads.export(who, thread_id, form=form)
        size = await _write(pieces, sys.stdout.buffer) if output is None else await _save(pieces, output)
    if output is not None:
        told = {"thread": thread_id, "format": form, "file": str(output), "bytes": size}
        show(told, as_json=as_json, text=f"wrote {size} bytes to {output}")


@threads.command("import")
@command
async def import_command(
    file: Annotated[Path, typer.Argument(help="What `export` wrote; - reads stdin.")],
    *,
    user: UserOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Make a new session of an exported one."""
    from core.settings.platform import LimitSettings

    async with opened(user, idle=True) as (agent, who):
        most = agent.book[LimitSettings].upload_bytes
        made = await agent.threads.import_lines(who, _read(file), most_bytes=most)
    show(made, as_json=as_json, text=made["id"])


@threads.command("delete")
@command
async def delete_command(thread_id: str, *, user: UserOption = "", as_json: JsonFlag = False) -> None:
    """Remove a session with all that belongs to it: messages, checkpoints, runs, files that tools made."""
    async with opened(user, idle=True) as (agent, who):
        await agent.threads.delete(who, thread_id)
    show({"deleted": thread_id}, as_json=as_json, text=f"deleted {thread_id}")


def _print_messages(page: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """A page of messages, behind what is said of it."""
    print_fields({name: cell(value) for name, value in fields.items()})
    for message in page["messages"]:
        print(f"\n{message['role']}: {message['text']}")


def difference_lines(found: Mapping[str, Any]) -> list[str]:
    """A difference for people: + added, - removed, ~ changed."""
    lines = [f"{found['from']['checkpoint_id']} -> {found['to']['checkpoint_id']}"]
    lines += _changes(found["messages"], lambda message: f"{message['role']}: {message['text']}")
    lines += _changes(found["files"], lambda file: f"file {file['name']}")
    lines += [f"~ {name}: {_short(c['from'])} -> {_short(c['to'])}" for name, c in found["channels"].items()]
    for name in ("next", "interrupts"):
        if found[name]["from"] != found[name]["to"]:
            lines.append(f"~ {name}: {_short(found[name]['from'])} -> {_short(found[name]['to'])}")
    return lines


def _changes(part: Mapping[str, Any], told: Any) -> list[str]:
    return [
        *(f"- {_short(told(item))}" for item in part["removed"]),
        *(f"+ {_short(told(item))}" for item in part["added"]),
        *(f"~ {_short(told(item['from']))} -> {_short(told(item['to']))}" for item in part["changed"]),
    ]


def _marked(hit: Mapping[str, Any]) -> str:
    """The snippet with each found word in brackets."""
    text, done, parts = hit["snippet"], 0, []
    for start, end in hit["marks"]:
        parts += [text[done:start], "[", text[start:end], "]"]
        done = end
    return "".join([*parts, text[done:]])


def _short(value: Any) -> str:
    return short(" ".join(str(value).split()), SHOWN)


async def _write(pieces: AsyncIterator[bytes], out: BinaryIO) -> int:
    size = 0
    async for piece in pieces:
        size += out.write(piece)
    out.flush()
    return size


async def _save(pieces: AsyncIterator[bytes], output: Path) -> int:
    """Write the file beside its place and move it there: what was cut off never looks like a whole one."""
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as out:
            size = await _write(pieces, out)
        part.replace(output)
    except OSError as error:
        raise InvalidInput(f"'{output.name}' cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return size


async def _read(file: Path) -> AsyncIterator[bytes]:
    try:
        source = sys.stdin.buffer if str(file) == "-" else file.open("rb")
        with source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise InvalidInput(f"'{file.name}' cannot be read: {error.strerror}") from None
