"""Write a recording out as a test: a short file for pytest, and the recording's JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from pprint import pformat
from typing import Any

from core.errors import InvalidInput
from graph.replay.recording import Recording
from graph.replay.replay import Replayed

_WIDTH = 100
_TEMPLATE = '''"""{about}

Recorded from run {run}. It needs no model, no tool server and no network.
"""

import asyncio
from pathlib import Path

from waystation import Recording, replay

RECORDING = Path(__file__).with_suffix(".json")
{constants}

def test_{name}() -> None:
    replayed = asyncio.run(replay(Recording.load(RECORDING){swap}))
    assert replayed.status == {status}{error}
    assert replayed.answer == ANSWER
    assert [(call["tool"], call["arguments"], call["status"]) for call in replayed.tool_calls] == TOOL_CALLS
'''


def as_pytest(
    recording: Recording,
    path: Path,
    *,
    swap: Mapping[str, str] | None = None,
    replayed: Replayed | None = None,
) -> Path:
    """Write the test to `path`, and the recording to the same name with `.json`. Gives `path` back.

    Args:
        swap: Nodes that the test really runs, each as `module:attribute`.
        replayed: What the test asserts; without it, what was recorded.

    Raises:
        InvalidInput: pytest would not find a file of that name, or a node of `swap` has none.
    """
    if path.suffix != ".py" or not (path.stem.startswith("test_") and path.stem.isidentifier()):
        raise InvalidInput(f"pytest does not look into '{path.name}'; name it test_<what it is about>.py")
    for step, node in (swap or {}).items():
        if not isinstance(node, str):
            raise InvalidInput(f"a test cannot name the node for '{step}'; give it as module:attribute")
    path.write_text(_text(recording, path.stem, dict(swap or {}), replayed), encoding="utf-8")
    recording.save(path.with_suffix(".json"))
    return path


def _text(recording: Recording, stem: str, swap: dict[str, str], replayed: Replayed | None) -> str:
    found: Any = replayed or recording.expected
    calls = [(call["tool"], call["arguments"], call["status"]) for call in found.tool_calls]
    constants = {"ANSWER": found.answer, "TOOL_CALLS": calls}
    return _TEMPLATE.format(
        about=_line(recording.question),
        run=_line(recording.run.id),
        name=stem.removeprefix("test_"),
        constants="".join(f"{name} = {_literal(value)}\n" for name, value in constants.items()),
        status=_literal(found.status),
        error=_error(found.error),
        swap=f", swap={json.dumps(swap)}" if swap else "",
    )


def _error(error: Mapping[str, Any] | None) -> str:
    return f'\n    assert replayed.error["code"] == {_literal(error["code"])}' if error else ""


def _line(text: str) -> str:
    """The question as the first line of a docstring: nothing of it may end the docstring."""
    line = " ".join(text.split())
    shown = line if len(line) <= 80 else f"{line[:79]}…"
    return shown.replace("\\", "/").replace('"', "'")


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if _plain(value) else ascii(value)
    return pformat(value, width=_WIDTH, sort_dicts=False)


def _plain(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)
