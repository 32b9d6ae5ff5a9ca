"""A tool server that notes each execution in a file, as a tool leaves its traces in the world."""

from __future__ import annotations

import json
from pathlib import Path

_SERVER = """
import sys
from pathlib import Path
from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations

app = FastMCP("counted")
LOG = Path({log!r})


def note(line):
    with LOG.open("a") as file:
        file.write(line + "\\n")


@app.tool(description="Add two numbers: the sum of a plus b.")
def add(a: float, b: float) -> str:
    note(f"add {{a:g}} {{b:g}}")
    return f"{{a + b:g}}"


@app.tool(description="Multiply two numbers: the product of a times b.")
def times(a: float, b: float) -> str:
    note(f"times {{a:g}} {{b:g}}")
    return f"{{a * b:g}}"


@app.tool(description="Book a berth.")
def book(boat: str) -> str:
    note(f"book {{boat}}")
    return f"booked for {{boat}}"


@app.tool(description="Look at the berths.", annotations=ToolAnnotations(readOnlyHint=True))
def look() -> str:
    note("look")
    return "all free"


app.run()
"""


class CountedTools:
    """The plugin `counted` in a home: `add` and `times` need approval, `book` and `look` do not.

    Args:
        home: A WAYSTATION_HOME that no agent has opened yet.
    """

    def __init__(self, home: Path) -> None:
        plugin = home / "plugins" / "counted"
        plugin.mkdir(parents=True)
        self._log = plugin / "executions.log"
        manifest = {
            "name": "counted",
            "version": "1",
            "description": "Adds, multiplies and books.",
            "server": "server.py",
            "require_approval": ["add", "times"],
        }
        (plugin / "plugin.json").write_text(json.dumps(manifest))
        (plugin / "server.py").write_text(_SERVER.format(log=str(self._log)))

    @property
    def made(self) -> list[str]:
        """Every execution so far: the tool and its arguments."""
        return self._log.read_text().splitlines() if self._log.exists() else []
