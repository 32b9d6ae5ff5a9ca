"""A small handbook, like the one that a team would point a source at."""

from __future__ import annotations

from pathlib import Path

HANDBOOK = {
    "index.md": """# Harbour Handbook

Harbour is a small service that keeps files and answers questions about them.

## Starting

Run `harbour serve` to start the service. It listens on port 8400 of this machine only.
Set `HARBOUR_HOME` to say where it keeps its data; the default is the folder `.harbour`.

## Stopping

Send SIGTERM. Running requests drain for thirty seconds, then they are interrupted.
""",
    "limits.md": """# Limits

| what | limit |
|---|---|
| request body | 1 MiB |
| upload | 250 MiB |

Every limit is a setting. Passing one gives status 413 with the code `too_large`.

## Rate limits

A user may have 20 streams at once. The twenty-first is refused with status 429.

```python
# Not a heading: it stands in a fence
limit = 20
```
""",
    "guides/tools.md": """# Tools

The calculator adds, subtracts, multiplies and divides. The clock knows time zones.

## Adding a tool

Put a folder with a `plugin.json` and a `server.py` into `tools/`. Restart the service.
""",
    "faq.txt": """Where are backups kept? Backups are written to the folder backups every night.

Who may read a file? Only its owner, and the groups that the owner names.
""",
}


def write(root: Path, documents: dict[str, str] | None = None) -> Path:
    """Write the handbook (or `documents`) under `root`."""
    for name, text in (documents or HANDBOOK).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root
