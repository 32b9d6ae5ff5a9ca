"""`waystation ask`: one turn, its tokens on stdout as they come, what happens around them on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import orjson

from core.choices import DEFAULT, Approval, Choices
from core.cli import show
from core.errors import InvalidInput
from core.foreign import is_answer
from core.installed import command
from server.cli.prompting import at_a_terminal, parsed, prompted
from server.cli.turns import TurnRun, Turns, opened_turns
from server.cli.wrapping import Wrapping, wrapped
from server.questions import arguments_of, line_of, sample_answer, short, tool_of
from server.repeats import WithoutRepeats

APPROVALS: Mapping[bool | None, Approval] = {None: "ask", True: "auto", False: "deny"}


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line said."""

    text: str
    thread: str | None = None
    choices: Choices = DEFAULT
    files: tuple[Path, ...] = ()
    user: str = ""
    groups: tuple[str, ...] = ()
    approve: bool | None = None
    reason: str = ""
    answer: str = ""

    def words(self, files: tuple[str, ...], resume: Any) -> dict[str, Any]:
        """The request, in the words of `server.owner.request_of`."""
        answers = is_answer(resume)
        return {
            "message": "" if answers else self.text,
            "files": [] if answers else list(files),
            "resume": resume,
            "thread": self.thread,
            "choices": replace(self.choices, approval=APPROVALS[self.approve]).as_json(),
        }


async def talk(question: Question, *, here: bool, as_json: bool) -> None:
    """Run the turn and show it.

    Args:
        here: In this process, also where a service runs.

    Raises:
        WaystationError: It was refused, or it failed.
    """
    async with opened_turns(question.user, question.groups, here=here) as turns:
        keys = tuple([await turns.upload(path) for path in question.files])
        run = await turns.begin(question.words(keys, _answer_to_pause(question)))
        reply = await _to_its_end(turns, run, as_json=as_json)
    show(reply, as_json=as_json, people=lambda: after(reply))


async def go_on(run_id: str, answer: Any, *, user: str, as_json: bool) -> None:
    """Go on with a run, with the answer to what it waits for or (None) where it was stopped, and show it.

    Raises:
        WaystationError: It was refused, or it failed.
    """
    async with opened_turns(user, here=True) as turns:
        run = await turns.resume(run_id, answer)
        reply = await _to_its_end(turns, run, as_json=as_json)
    show(reply, as_json=as_json, people=lambda: after(reply))


async def _to_its_end(turns: Turns, run: TurnRun, *, as_json: bool) -> dict[str, Any]:
    """Follow the run, and ask the person at the terminal whenever it waits for one."""
    reply = await _shown(run, as_json=as_json)
    while reply["interrupts"] and not as_json and at_a_terminal():
        reply = await _answered(turns, reply)
    return reply


async def _answered(turns: Turns, reply: Mapping[str, Any]) -> dict[str, Any]:
    while True:
        answers = prompted(reply["interrupts"])
        words = {"resume": answers, "thread": reply["thread_id"]}
        try:
            return await _shown(await turns.begin(words), as_json=False)
        except InvalidInput as refused:
            print(f"not taken: {refused.detail}", file=sys.stderr)


def answer_of(*, approve: bool | None, reason: str, answer: str) -> Any:
    """The answer that the flags of a command give; None where they give none.

    Raises:
        InvalidInput: They contradict each other.
    """
    if answer:
        if approve is not None or reason:
            raise InvalidInput("--answer says it all; leave out --approve, --deny and --reason")
        return parsed(answer, "--answer")
    if approve is None:
        if reason:
            raise InvalidInput("--reason goes with --deny")
        return None
    return {"approve": approve, **({"reason": reason} if reason else {})}


def _answer_to_pause(question: Question) -> Any:
    if question.text.strip():
        if question.answer or question.reason:
            raise InvalidInput("--answer and --reason answer a pause; leave out the message")
        return None
    answer = answer_of(approve=question.approve, reason=question.reason, answer=question.answer)
    if is_answer(answer) and question.thread is None:
        raise InvalidInput(
            "--approve and --deny, or --answer, without a message answer a pause; "
            "name its session with --thread"
        )
    return answer


async def _shown(run: TurnRun, *, as_json: bool) -> dict[str, Any]:
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
        self._text = Wrapping(out)
        self._aside = aside
        self._open_line = False
        self._repeats = WithoutRepeats()

    def show(self, event: Mapping[str, Any]) -> None:
        """Show what is new of it."""
        if told := self._repeats.of(event):
            self._show(told)

    def _show(self, event: Mapping[str, Any]) -> None:
        kind = event["type"]
        if kind == "token":
            self._text.write(event["delta"])
            self._out.flush()
            self._open_line = not event["delta"].endswith("\n")
            return
        line = LINES[kind](event) if kind in LINES else ""
        if line or kind in ("done", "error"):
            self._end_line()
        if line:
            print(wrapped(line, self._aside), file=self._aside, flush=True)

    def _end_line(self) -> None:
        self._text.end()
        if self._open_line:
            print(file=self._out, flush=True)
            self._open_line = False


LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "tool_call": lambda e: f"  → {tool_of(e)}({arguments_of(e['arguments'])}){_decided(e)}",
    "tool_result": lambda e: f"  ← {e['status']}: {short(e['content'])}",
    "tool_progress": lambda e: f"  … {e.get('message') or e.get('progress')}",
    "file": lambda e: f"  + file {e['name']} ({e['size']} bytes, key {e['key']})",
    "notice": lambda e: f"  ! {e['detail']}",
    "documents": lambda e: "\n".join(f"  ! {item['source']}: {item['reason']}" for item in e["failed"]),
}


def _decided(event: Mapping[str, Any]) -> str:
    decision = event.get("decision")
    return f"  ({decision['type']} by {decision['by']})" if decision else ""


def after(reply: Mapping[str, Any]) -> None:
    """What a person wants to see behind the answer: where it comes from, what waits, which thread."""
    for place, item in enumerate(reply["citations"]):
        where = f"{item['title'] or item['document']} ({item['source']})"
        line = f"{'' if place else chr(10)}[{item['n']}] {where}: “{short(item['quote'])}”"
        print(wrapped(line, sys.stdout))
    for question in reply["interrupts"]:
        print(f"\nwaiting for a person: {line_of(question)}", file=sys.stderr)
    if reply["interrupts"]:
        sample = orjson.dumps(sample_answer(reply["interrupts"])).decode()
        print(
            f"answer with: {command()} ask --thread {reply['thread_id']} --approve (or --deny), "
            f"or with --answer '{sample}'",
            file=sys.stderr,
        )
    print(f"\nthread {reply['thread_id']}", file=sys.stderr)
