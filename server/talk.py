"""`waystation ask`: one turn, its tokens on stdout as they come, what happens around them on stderr."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import anyio
import typer

from core.access import Principal
from core.cli import print_json
from core.context import Approval
from core.errors import InvalidInput
from graph.agent import Agent
from graph.handle import Handle
from graph.runs import TurnRequest
from nodes.file_storage import FileManager
from server.sessions import opened

CHUNK_BYTES = 1 << 18
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line said."""

    text: str
    thread: str | None = None
    model: str = ""
    sources: list[str] | None = None
    tools: list[str] | None = None
    files: tuple[Path, ...] = ()
    user: str = ""
    groups: tuple[str, ...] = ()
    approve: bool | None = None

    @property
    def approval(self) -> Approval:
        return {None: "ask", True: "auto", False: "deny"}[self.approve]  # type: ignore[return-value]  # the three words

    def request(
        self, who: Principal, files: tuple[str, ...], resume: Mapping[str, Any] | None
    ) -> TurnRequest:
        return TurnRequest(
            principal=who,
            message="" if resume else self.text,
            files=() if resume else files,
            resume=resume,
            thread_id=self.thread,
            model=self.model,
            sources=None if self.sources is None else tuple(self.sources),
            tools=None if self.tools is None else tuple(self.tools),
            approval=self.approval,
        )


async def talk(question: Question, *, as_json: bool) -> None:
    """Run the turn and show it.

    Raises:
        WaystationError: It was refused, or it failed.
    """
    async with opened(question.user, question.groups) as (agent, who):
        keys = tuple([await _upload(agent, who, path) for path in question.files])
        run = await agent.begin(question.request(who, keys, _answer_to_pause(question)))
        reply = await _shown(run, as_json=as_json)
        while reply["interrupts"] and not as_json and sys.stdin.isatty():
            resume = {"approve": typer.confirm(asked(reply["interrupts"]))}
            again = Question(
                question.text, reply["thread_id"], question.model, question.sources, question.tools
            )
            run = await agent.begin(again.request(who, (), resume))
            reply = await _shown(run, as_json=False)
    if as_json:
        print_json(reply)
        return
    after(reply)


def _answer_to_pause(question: Question) -> dict[str, Any] | None:
    if question.text.strip() or question.approve is None:
        return None
    if question.thread is None:
        raise InvalidInput(
            "--approve and --deny without a message answer a pause; name its session with --thread"
        )
    return {"approve": question.approve}


async def _upload(agent: Agent, who: Principal, path: Path) -> str:
    if not await anyio.Path(path).is_file():
        raise InvalidInput(f"there is no file '{path.name}'")
    files = await agent.container.get(FileManager)
    return (await files.put(who, path.name, _chunks(path))).key


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(CHUNK_BYTES):
            yield chunk


async def _shown(run: Handle, *, as_json: bool) -> dict[str, Any]:
    """Follow the run to its end.

    Raises:
        WaystationError: The turn failed.
    """
    screen = Screen(sys.stdout, sys.stderr)
    try:
        async for event in run.events():
            if not as_json:
                screen.show(event)
        return await run.result()
    finally:
        run.leave()


class Screen:
    """Shows events to a person: the answer on `out`, the rest on `aside`."""

    def __init__(self, out: TextIO, aside: TextIO) -> None:
        self._out = out
        self._aside = aside
        self._open_line = False

    def show(self, event: Mapping[str, Any]) -> None:
        kind = event["type"]
        if kind == "token":
            self._out.write(event["text"])
            self._out.flush()
            self._open_line = not event["text"].endswith("\n")
            return
        line = LINES[kind](event) if kind in LINES else ""
        if line or kind in ("done", "error"):
            self._end_line()
        if line:
            print(line, file=self._aside, flush=True)

    def _end_line(self) -> None:
        if self._open_line:
            print(file=self._out, flush=True)
            self._open_line = False


LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "tool_call": lambda e: f"  → {_tool(e)}({_arguments(e['arguments'])})",
    "tool_result": lambda e: f"  ← {e['status']}: {_short(e['text'])}",
    "tool_progress": lambda e: f"  … {e.get('message') or e.get('progress')}",
    "file": lambda e: f"  + file {e['name']} ({e['size']} bytes, key {e['key']})",
    "notice": lambda e: f"  ! {e['text']}",
    "documents": lambda e: "\n".join(f"  ! {item['source']}: {item['reason']}" for item in e["failed"]),
}


def _tool(event: Mapping[str, Any]) -> str:
    return f"{event['server']}.{event['tool']}" if event.get("server") else str(event["tool"])


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, Mapping):
        return _short(", ".join(f"{name}={value!r}" for name, value in arguments.items()))
    return _short(str(arguments))


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"


def asked(interrupts: list[dict[str, Any]]) -> str:
    found = [item["call"] for item in interrupts if "call" in item]
    calls = [f"{_tool(call)}({_arguments(call['arguments'])})" for call in found]
    return f"Allow {', '.join(calls) or 'this'}?"


def after(reply: Mapping[str, Any]) -> None:
    """What a person wants to see behind the answer: where it comes from, what waits, which thread."""
    for place, item in enumerate(reply["citations"]):
        where = f"{item['title'] or item['document']} ({item['source']})"
        print(f"{'' if place else chr(10)}[{item['n']}] {where}: “{_short(item['quote'])}”")
    if reply["interrupts"]:
        print(f"\nwaiting for a person: {asked(reply['interrupts'])}", file=sys.stderr)
        print(
            f"answer with: waystation ask --thread {reply['thread_id']} --approve (or --deny)",
            file=sys.stderr,
        )
    print(f"\nthread {reply['thread_id']}", file=sys.stderr)
