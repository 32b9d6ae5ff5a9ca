"""`waystation rag`: see, search and index sources."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from core.access import EVERY, Principal
from core.cli import JsonFlag, command, make_app, print_json, progress_bar, show
from core.container import opened_service
from core.observability import configure_logging
from nodes.rag.client import RAGClient
from nodes.rag.errors import QuestionsInvalid, SourceUnavailable
from nodes.rag.evaluation.command import Evaluation, print_runs, raise_below
from nodes.rag.evaluation.questions import schema
from nodes.rag.models import IngestReport, RAGResponse
from nodes.rag.module import MODULE

app = make_app("rag", "Search sources and keep their index.")

# A question waits for so many vectors, some 20 seconds; with more missing it is answered by words alone.
MOST_VECTORS = 1500
# Files left out that are named.
_SHOWN = 20

Groups = Annotated[
    list[str] | None, typer.Option("--group", "-g", help="A group of the user; may be repeated.")
]
User = Annotated[str, typer.Argument(help="In whose name, e.g. ada@example.com.")]


@app.command("discover-sources")
@command
async def discover_sources(user: User, groups: Groups = None, as_json: JsonFlag = False) -> None:
    """List the sources that USER may search."""
    async with _client() as rag:
        found = await rag.discover(_principal(user, groups))
    rows = [
        (i.name, i.type, i.description, ", ".join(c.id for c in i.collections), i.problem or "ok")
        for i in found
    ]
    columns = ("SOURCE", "TYPE", "DESCRIPTION", "COLLECTIONS", "STATE")
    value = [info.as_json() for info in found]
    show(value, as_json=as_json, table=columns, rows=rows, empty="no sources for this user")


@app.command()
@command
async def query(  # noqa: PLR0917  # typer reads the arguments, nobody calls it by position
    user: User,
    source: Annotated[str, typer.Argument(help="Name of the source.")],
    text: Annotated[str, typer.Argument(help="What to look for.")],
    groups: Groups = None,
    limit: Annotated[int | None, typer.Option(min=1, max=50, help="Passages at most.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Search SOURCE for TEXT in the name of USER. A local source is indexed first where its files changed."""
    async with _client() as rag:
        entry = rag.entries().get(source)
        if entry is not None and entry.type == "local" and await rag.sharing.of(source):
            with progress_bar("indexing") as progress:
                await rag.ingest(source, progress=progress, most_vectors=MOST_VECTORS)
        found = await rag.query(text, sources=[source], principal=_principal(user, groups), limit=limit)
    for _, reason in found.failed:
        raise SourceUnavailable(f"source '{source}' failed: {reason}")
    value = [passage.as_state(n) for n, passage in enumerate(found.passages, start=1)]
    show(value, as_json=as_json, people=lambda: _print_passages(found))
    for name, why in found.nothing:
        print(f"'{name}' shows nothing: {why}.", file=sys.stderr)


@app.command()
@command
async def ingest(
    source: Annotated[str, typer.Argument(help="Name of a local source.")],
    path: Annotated[
        str | None, typer.Argument(help="File or folder to add; none: what is configured.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Add PATH to the index of SOURCE, and bring the rest of it up to date."""
    async with _client() as rag:
        with progress_bar("indexing") as progress:
            report = await rag.ingest(source, path=path, progress=progress)
    show(report.as_json(), as_json=as_json, people=lambda: _print_report(report))


@app.command()
@command
async def rebuild(
    source: Annotated[str, typer.Argument(help="Name of a local source.")], as_json: JsonFlag = False
) -> None:
    """Read every file of SOURCE again, changed or not. Searches go on, also those of a running service."""
    async with _client() as rag:
        with progress_bar("indexing") as progress:
            report = await rag.ingest(source, progress=progress, anew=True)
    show(report.as_json(), as_json=as_json, people=lambda: _print_report(report))


@app.command()
@command
async def stats(as_json: JsonFlag = False) -> None:
    """Show what the index holds."""
    async with _client() as rag:
        await rag.sharing.once()
        found = await rag.stats()
    rows = [
        (s.source, s.type, *((s.files, s.chunks, s.skipped, s.size_bytes) if s.type == "local" else "----"))
        for s in found
    ]
    columns = ("SOURCE", "TYPE", "FILES", "CHUNKS", "SKIPPED", "BYTES")
    value = [item.as_json() for item in found]
    show(value, as_json=as_json, table=columns, rows=rows, empty="no sources configured")
    if as_json:
        return
    for item in found:
        if item.problem:
            print(f"{item.source}: {item.problem}")
        if item.index is not None:
            print(f"{item.source}: {_shared(item.index)}")
        for path in item.idle_rules:
            print(f"{item.source}: no document is under the rule of access '{path}'")
        _print_left_out(item.reasons, item.skipped, f"{item.source}: ")


@app.command("eval")
@command
async def evaluate(  # noqa: PLR0917  # typer reads the arguments, nobody calls it by position
    file: Annotated[
        Path | None, typer.Argument(help="YAML or JSON file of questions; see docs/rag-eval.md.")
    ] = None,
    user: Annotated[str, typer.Option("--user", help="In whose name.")] = "local",
    groups: Groups = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="Search this one instead of the file's; repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Questions of this group alone; repeatable.")
    ] = None,
    half: Annotated[
        str, typer.Option("--half", help="odd or even: tune with one half, report the other.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, max=50, help="Passages at most, as in a turn by default.")
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option("--variant", help="Settings of rag to compare, as min_score=0.5,limit=6; repeatable."),
    ] = None,
    floor: Annotated[
        list[str] | None,
        typer.Option("--floor", help="Exit 1 below it: hit@4=0.8, or german.hit@4=0.7; repeatable."),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Figures for each group, language or source.")] = "group",
    misses: Annotated[bool, typer.Option("--misses", help="List what was missed, and what came.")] = False,
    print_schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of FILE for editors, and end.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask the questions of FILE and count how often a document that answers is shown."""
    if print_schema:
        print_json(schema())
        return
    if file is None:
        raise QuestionsInvalid("name a file of questions; docs/rag-eval.md says how it is written")
    evaluation = Evaluation(
        file=file,
        principal=_principal(user, groups),
        sources=tuple(source or ()),
        only=tuple(only or ()),
        half=half,
        limit=limit,
        variants=tuple(variant or ()),
        floors=tuple(floor or ()),
        by=by,
    )
    runs = await evaluation.runs()
    value = [run.as_json() for run in runs]
    show(value, as_json=as_json, people=lambda: print_runs(runs, misses=misses))
    raise_below(runs)


@asynccontextmanager
async def _client() -> AsyncIterator[RAGClient]:
    async with opened_service(MODULE, RAGClient) as (client, _):
        yield client


def _print_passages(found: RAGResponse) -> None:
    for n, passage in enumerate(found.passages, start=1):
        print(f"[{n}] {passage.title} ({passage.uri}, score {passage.score:.2f})")
        print(f"{passage.text}\n")
    if not found.passages:
        print("(nothing found)")


def _print_report(report: IngestReport) -> None:
    print(
        f"{report.source}: {report.files} documents, {report.chunks} chunks "
        f"({report.changed} indexed now, {report.removed} removed)"
    )
    for name, reason in report.skipped.items():
        print(f"skipped {name}: {reason}")
    if report.ignored:
        print(f"passed over {report.ignored} files of other kinds")
        _print_left_out(report.unread, report.ignored, "")
    for problem in report.problems:
        print(f"problem: {problem}")


def _shared(index: Mapping[str, Any]) -> str:
    """How the index of a source is shared, in a line."""
    which = "no generation yet" if index["generation"] is None else f"generation {index['generation']}"
    age = "" if index["age_s"] is None else f", published {index['age_s']:g} s ago by {index['published_by']}"
    by = f"; written by {index['writer']}" if index["writer"] and index["role"] == "reads" else ""
    wrong = f"; {index['problem']}" if index["problem"] else ""
    return f"{index['role']} the index in the bucket, {which}{age}{by}{wrong}"


def _print_left_out(reasons: Mapping[str, str], count: int, before: str) -> None:
    shown = list(reasons.items())[:_SHOWN]
    for name, reason in shown:
        print(f"{before}skipped {name}: {reason}")
    if count > len(shown):
        print(f"{before}and {count - len(shown)} more")


def _principal(user: str, groups: list[str] | None) -> Principal:
    # Whoever runs a command may read the files anyway: no level hides a source here.
    return Principal(user, frozenset(groups or ()), frozenset({EVERY}))


if __name__ == "__main__":
    # Warnings about a source are part of the output already; logs would mix with it.
    configure_logging(level="error", as_json=False)
    app()
