"""The next release, made of this one: another version, and a migration that only adds."""

from __future__ import annotations

import shutil
from pathlib import Path

from graph.db.database import HEAD
from waystation.testing.service import ROOT

NEXT = "0.99.0"
PACKAGES = ("config", "core", "graph", "nodes", "server", "tests", "tools", "waystation")
_MIGRATION = '''"""A column that only the next release knows."""

import sqlalchemy as sa
from alembic import op

revision = "{new}"
down_revision = "{old}"


def upgrade() -> None:
    op.add_column("runs", sa.Column("of_the_next_release", sa.String(32)))
'''


def next_release(folder: Path) -> None:
    """Its program in `folder`; whoever runs a module from there has it."""
    folder.mkdir()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".*", "node_modules"))
    new = f"{int(HEAD) + 1:04}"
    versions = folder / "graph/db/migrations/versions"
    (versions / f"{new}_next.py").write_text(_MIGRATION.format(new=new, old=HEAD))
    opening = folder / "graph/db/database.py"
    opening.write_text(opening.read_text().replace(f'HEAD = "{HEAD}"', f'HEAD = "{new}"'))
    about = folder / f"waystation-{NEXT}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: waystation\nVersion: {NEXT}\n")
