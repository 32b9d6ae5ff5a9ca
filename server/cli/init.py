"""`waystation init`: what somebody needs to begin with, written into a folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.cli import print_json
from core.errors import InvalidInput
from core.installed import command, shipped

CONFIGURATION = ("waystation.yaml", "models.yaml", "sources.yaml", "mcp.json")
PLUGIN = "plugins/dice"
# The example configuration names folders of plugins as a suggestion; here there is one.
_SUGGESTED = "# mcp:\n#   plugins: [../plugins]\n"
_CHOSEN = "mcp:\n  plugins: [../plugins]\n"

_MANIFEST = '{"name": "dice", "version": "1.0.0", "description": "Roll dice.", "server": "server.py"}\n'
_SERVER = '''"""A tool server: the model sees each function's name, its docstring and its arguments."""

import random

from mcp.server.fastmcp import FastMCP

server = FastMCP("dice")


@server.tool()
def roll(sides: int = 6) -> str:
    """Roll one die and say what it shows."""
    return str(random.randint(1, sides))


if __name__ == "__main__":
    server.run()
'''
_CELLS = (
    """# First turns

The agent runs in this notebook, on `config/` and `.waystation/` beside it. Without a key the
offline model answers.""",
    "from waystation import Agent\n\nopening = Agent.open()\nagent = await opening.__aenter__()",
    'reply = await agent.ask("What is 5 + 3?", thread="first")\nprint(reply["answer"])',
    """async for event in agent.stream("And doubled?", thread="first"):
    print(event["seq"], event["type"])""",
    """reply = await agent.ask("Roll a die with 6 sides", tools=["dice"])
print(reply["answer"])
print([(call["server"], call["tool"]) for call in reply["tool_calls"]])""",
    "await opening.__aexit__(None, None, None)",
)


def init(folder: Path, *, as_json: bool = False) -> None:
    """Write what is not there yet, and say what was written and what was there.

    Raises:
        InvalidInput: A file stands where a folder has to be, or the folder cannot be written.
    """
    written: list[str] = []
    there: list[str] = []
    for name, text in files():
        (written if _write(folder / name, text) else there).append(name)
    if as_json:
        print_json({"folder": str(folder.absolute()), "written": written, "there": there})
        return
    for name in written:
        print(f"wrote {folder / name}")
    for name in there:
        print(f"{folder / name} is there already, and stays as it is")
    if "config/waystation.yaml" in there and f"{PLUGIN}/plugin.json" in written:
        print("to use the plugin, say in config/waystation.yaml:\n" + _CHOSEN, end="")
    print(f"\nNext:{'' if folder == Path() else f' cd {shlex.quote(str(folder))}, and then'}")
    for words in ("check", "ask 'Roll a die with 6 sides'", "serve"):
        print(f"  {command(folder)} {words}")


def files() -> Iterator[tuple[str, str]]:
    """Each file below the folder, and its text."""
    for name in CONFIGURATION:
        text = (shipped() / "config" / name).read_text(encoding="utf-8")
        yield f"config/{name}", text.replace(_SUGGESTED, _CHOSEN)
    yield f"{PLUGIN}/plugin.json", _MANIFEST
    yield f"{PLUGIN}/server.py", _SERVER
    yield "first.ipynb", _notebook()


def _notebook() -> str:
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": f"cell-{n}", "metadata": {}, "source": text}
        if text.startswith("#")
        else {
            "cell_type": "code",
            "id": f"cell-{n}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": text,
        }
        for n, text in enumerate(_CELLS)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1) + "\n"


def _write(path: Path, text: str) -> bool:
    """False where something stands there already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        # Of the file itself, or of something that stands where one of its folders has to be.
        if Path(error.filename) == path:
            return False
        raise InvalidInput(f"'{error.filename}' is no folder; move it, or name another folder") from None
    except NotADirectoryError:
        raise InvalidInput(f"'{path.parent}' cannot be made: part of it is no folder") from None
    except OSError as error:
        why = f"'{path}' cannot be written: {error.strerror}"
        raise InvalidInput(f"{why}; name a folder where you may write") from None
    return True
