"""Databases with something in every table, and what stands in them."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Boolean, Float, Integer, Table, select
from sqlalchemy.engine import URL

from core.access import Principal
from core.database.engine import METADATA, database_url
from core.settings import Places
from core.settings.platform import StorageSettings
from graph.db.database import opened_database
from graph.moving.backup import BackupSource
from graph.moving.copying import open_end
from graph.moving.restore import restore
from graph.moving.rows import parts
from nodes.llm.fake import ScriptedModel
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes

# Quotes, a backslash before what looks like a NUL, letters of several alphabets, tabs and ends of lines.
ODD = 'a "quoted" \\u0000 \\N\tword\nünïcödé 漢字 🜚'
TURNS = 3
ADA = Principal("ada")


def url_of(text: str) -> URL:
    return database_url(StorageSettings(url=text), Places(Path("/nowhere"), Path("/nowhere")))


def spelled(url: URL) -> str:
    """As a person types it."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False)


async def talk(folder: Path, url: URL | None = None, *, turns: int = TURNS) -> None:
    """A service with two threads, one a fork of the other."""
    storage = {"url": spelled(url)} if url else {}
    fakes = Fakes(model=ScriptedModel(*(f"Answer {n}. {ODD}" for n in range(turns))))
    async with open_agent(folder, providers=[fakes], storage=storage) as agent:
        for number in range(turns):
            await agent.ask(f"Question {number}? {ODD}", thread="t1", user="ada")
        await agent.threads.fork(ADA, "t1")


async def fill(url: URL) -> None:
    """A row in each table that has none."""
    async with opened_database(url) as engine, engine.begin() as db:
        for table in METADATA.sorted_tables:
            if (await db.execute(select(table).limit(1))).first() is None:
                await db.execute(table.insert().values(_row(table)))


def _row(table: Table) -> dict[str, Any]:
    return {column.name: _value(column.type, column.name) for column in table.columns}


def _value(kind: Any, name: str) -> Any:
    if isinstance(kind, JSON):
        return {"of": name, "odd": ODD, "numbers": [1, 2.5, 1e22, -0.1], "none": None}
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, Float):
        return 1_700_000_000.123456
    if isinstance(kind, Integer):
        return 7
    return "done" if name == "status" else f"{name} {ODD}"[: getattr(kind, "length", None)]


def make_source(folder: Path, url: URL | None = None) -> URL:
    """A database with talks, and something in every table."""
    asyncio.run(talk(folder, url))
    made = url or url_of(f"sqlite:///{folder / 'home' / 'waystation.db'}")
    asyncio.run(fill(made))
    return made


def rows_of(url: URL) -> dict[str, list[bytes]]:
    """Everything in a database, as it is compared."""
    with closing(open_end(url, "source")) as end:
        found = {part.name: [part.packed(row) for row in end.read(part, exact=True)] for part in parts()}
    # Two databases need not agree on the order of letters.
    return {name: sorted(rows) for name, rows in found.items()}


def change(url: URL, *statements: str) -> None:
    """Change rows of a file; each statement at least one."""
    with closing(sqlite3.connect(str(url.database))) as db, db:
        for statement in statements:
            assert db.execute(statement).rowcount != 0


def fill_home(folder: Path) -> None:
    """What stands in a home and its configuration beside the database."""
    texts = {
        "home/files/ada/f_1/meta.json": '{"content": "data-1"}',
        "home/files/ada/f_1/data-1": "content " * 10_000,
        "home/files/.incoming/half": "half",
        "home/index/handbook.lance/data/a": "rows",
        "home/index/handbook.vectors.lock": "",
        "home/plugins/dice/plugin.json": "{}",
        "home/plugins/dice/__pycache__/x.pyc": "x",
        "home/secrets/link.key": "the secret key",
        "home/state/files-id": "1234",
        "config/waystation.yaml": "{}\n",
        "config/.env": "KEY=secret",
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def kept_at(folder: Path, **more: Any) -> BackupSource:
    home = folder / "home"
    return BackupSource(
        Places(folder / "config", home), url_of(f"sqlite:///{home / 'waystation.db'}"), **more
    )


def put_back(backup: Path, folder: Path, database: URL | None = None) -> tuple[Places, URL]:
    places = Places(folder / "new-config", folder / "new")
    url = database or url_of(f"sqlite:///{places.home / 'waystation.db'}")
    restore(backup, places, url)
    return places, url


def texts_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
