"""The tool `ask`: a turn of the agent, told as it goes, with its questions put to the client's person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from core.choices import CHOICES
from core.errors import WaystationError
from core.settings import nearest
from graph.errors import error_from
from graph.runs.events import LoggedEvent
from graph.runs.record import TurnRequest
from graph.runs.streams import WAITS, Handle
from server.errors import InvalidRequest
from server.protocols.mcp import people, results, rpc
from server.protocols.mcp.exchange import Exchange, StreamPosition
from server.protocols.mcp.returning import Return
from server.questions import arguments_of, line_of, short, tool_of
from server.repeats import WithoutRepeats
from server.requests import ID_PATTERN, AgentInput, check_options, turn_request, validated

NAME = "ask"
# Approval is no choice here: a model writes these arguments, and it must not answer for a person.
_CHOICES = ("model", "sources", "tools", "instructions")
_OPTIONS = ("thread_id", *_CHOICES, "on_busy", "on_disconnect")
_KINDS: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    list[str]: {"type": "array", "items": {"type": "string"}},
}
_TOLD = ("answer", "status", "thread_id", "run_id", "citations", "files", "tool_calls", "interrupts", "usage")
_LISTS: dict[str, Any] = {"type": "array", "items": {"type": "object"}}

_PROPERTIES: dict[str, Any] = {
    "message": {"type": "string", "description": "What is asked, in words."},
    "thread_id": {
        "type": "string",
        "pattern": ID_PATTERN,
        "description": "The conversation to go on with, as an answer named it; none begins a new one.",
    },
    **{name: {**_KINDS[CHOICES[name].kind], "description": CHOICES[name].description} for name in _CHOICES},
    "files": {**_KINDS[list[str]], "description": "Keys of uploaded files that go with the message."},
    "on_busy": {
        "enum": ["reject", "enqueue", "interrupt"],
        "description": "When the thread is busy or waits: reject (as by default), enqueue, or interrupt.",
    },
    "on_disconnect": {
        "enum": ["cancel", "continue"],
        "description": "What a dropped connection does to the turn; cancel by default.",
    },
}

TOOL: dict[str, Any] = {
    "name": NAME,
    "title": "Ask the agent",
    "description": "Ask the agent of this service. It searches its sources, runs its tools and answers with "
    "citations. Name thread_id to go on with a conversation.",
    "inputSchema": {
        "type": "object",
        "properties": _PROPERTIES,
        "required": ["message"],
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {
            "answer": {"type": "string"},
            "status": {"enum": ["done", "interrupted", "cancelled"]},
            "thread_id": {"type": "string"},
            "run_id": {"type": "string"},
            "citations": {**_LISTS, "description": "{n, source, document, title, quote, uri} each."},
            "files": _LISTS,
            "tool_calls": _LISTS,
            "interrupts": {**_LISTS, "description": "What waits for a person."},
            "usage": {"type": "object"},
        },
        "required": ["answer", "status", "thread_id", "run_id", "citations"],
    },
    "annotations": {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": True},
}


async def ask(x: Exchange, arguments: Mapping[str, Any]) -> rpc.Result:
    """One turn, or what is left of one that has waited for a person.

    Raises:
        WaystationError: It cannot begin, or it failed.
    """
    state = x.given_state()
    run = await _gone_on(x, state) if state else await x.agent.begin(_request(x, arguments))
    waits = x.resumable and "on_disconnect" not in arguments
    if x.resumable:
        x.spot = StreamPosition(run.id, x.message.key or "", x.token)
    return await _Turn(x, run, await Return.to(x, run.id), waits=waits).result()


async def come_back(x: Exchange) -> rpc.Result:
    """The rest of a turn whose stream was lost.

    Raises:
        WaystationError: The run is not the caller's, or it failed.
    """
    spot = x.spot
    assert spot is not None  # noqa: S101 - who comes back says from where
    record = await x.agent.runs.get(x.who, spot.run)
    back = await Return.to(x, spot.run, again=True)
    run = Handle(x.agent.runs, record, mine=True)
    return await _Turn(x, run, back, waits=record.request.on_disconnect == "cancel").result()


def _request(x: Exchange, arguments: Mapping[str, Any]) -> TurnRequest:
    unknown = [name for name in arguments if name not in _PROPERTIES]
    if unknown:
        near = nearest(unknown[0], list(_PROPERTIES))
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(_PROPERTIES)}"
        raise InvalidRequest(f"{unknown[0][:80]}: there is no such argument; {hint}")
    said = {name: arguments[name] for name in ("message", "files") if name in arguments}
    given = validated(AgentInput, said)
    options = check_options({name: arguments[name] for name in _OPTIONS if name in arguments})
    return turn_request(x.who, given, options.model_dump())


async def _gone_on(x: Exchange, state: Mapping[str, Any]) -> Handle:
    """The run, with the answers that the client has sent along."""
    if "run" not in state:
        raise rpc.Refusal(rpc.INVALID_PARAMS, "requestState belongs to a call of another tool")
    given = x.params.get("inputResponses")
    given = given if isinstance(given, Mapping) else {}
    asked: Mapping[str, tuple[str, str]] = state["asked"]
    answers = {
        key: people.answer_to(kind, given[name]) for name, (key, kind) in asked.items() if name in given
    }
    kinds = dict(asked.values())
    run = await people.resume(x.agent, x.who, state["run"], answers, kinds) if answers else None
    return run or await x.agent.runs.handle(x.who, state["run"])


# What a further attempt says again.
_NOTHING: Mapping[str, Any] = {"type": ""}


class _Turn:
    """A run that is followed until nothing of it is left to tell.

    Args:
        back: Tells whether a client that has lost the stream has come back.
        waits: A dropped connection is no wish: who wants to come back has a while for it.
    """

    def __init__(self, x: Exchange, run: Handle, back: Return, *, waits: bool) -> None:
        self._x = x
        self._run = run
        self._after = x.spot.seq if x.spot else 0
        self._back = back
        self._waits = waits
        self._over = False
        self._repeats = WithoutRepeats()

    async def result(self) -> rpc.Result:
        try:
            while True:
                self._over = False
                reply = await self._reply()
                self._over = True  # ended, or it waits: nobody has to hold on to it
                if reply["status"] != "interrupted" or not self._x.session.elicits:
                    return _shown(self._x, reply)
                if self._x.session.modern:
                    return self._forms(reply)
                await self._asked(reply)
        finally:
            if self._x.cancelled:
                await self._cancel()
            elif self._waits and not self._over:
                self._back.wait(self._run.leave)
            else:
                self._back.close()
                if not self._over:
                    self._run.leave()

    async def _reply(self) -> dict[str, Any]:
        if self._x.token is None:
            return await self._run.result()
        last: Mapping[str, Any] = {}
        async for found in self._run.entries(self._after):
            last = found[-1].event
            await _tell(self._x, found, self._repeats)
            self._after = found[-1].seq
            self._x.at(seq=self._after)
        if last.get("type") == "error":
            raise error_from(last)
        return dict(last) if last.get("type") == "done" else await self._run.result()

    def _forms(self, reply: Mapping[str, Any]) -> rpc.Result:
        questions = {f"question-{n}": each for n, each in enumerate(reply["interrupts"], start=1)}
        forms = {
            name: {"method": "elicitation/create", "params": people.form_of(each)}
            for name, each in questions.items()
        }
        asked = {name: [each["id"], people.kind_of(each)] for name, each in questions.items()}
        state = self._x.state({"run": self._run.id, "asked": asked})
        return {"resultType": "input_required", "inputRequests": forms, "requestState": state}

    async def _asked(self, reply: Mapping[str, Any]) -> None:
        """Ask the first of what waits, and wait until the run goes on; the others come up again then."""
        record = await self._x.agent.runs.get(self._x.who, self._run.id)
        put = self._x.spot.asked if self._x.spot else 0
        if record.status == "interrupted" and record.attempts != put:
            self._x.at(asked=record.attempts)
            question = reply["interrupts"][0]
            words = {"run": record.id, "i": question["id"], "k": people.kind_of(question)}
            await self._x.question(words, people.form_of(question))
        runs = self._x.agent.runs
        self._run = await runs.gone_on(self._x.who, record.id, seen=record.attempts)

    async def _cancel(self) -> None:
        with suppress(WaystationError):  # it has ended by itself
            await self._run.cancel()


async def _tell(x: Exchange, found: Sequence[LoggedEvent], repeats: WithoutRepeats) -> None:
    """Progress, in words: what was said since is one step, and so is each thing that was done."""
    said: list[str] = []
    for entry in found:
        event = repeats.of(entry.event) or _NOTHING
        if event["type"] == "token":
            said.append(event["delta"])
        elif line := _line(event):
            await _tell_said(x, said)
            x.at(seq=entry.seq)
            await x.progress(line)
        x.at(seq=entry.seq)
    await _tell_said(x, said)


async def _tell_said(x: Exchange, said: list[str]) -> None:
    if said:
        await x.progress("".join(said))
        said.clear()


def _line(event: Mapping[str, Any]) -> str:
    kind = event["type"]
    if kind == "tool_call":
        return f"calls {tool_of(event)}({arguments_of(event['arguments'])})"
    if kind == "tool_result":
        return f"{event['status']}: {short(event['content'])}"
    if kind == "tool_progress":
        return short(str(event.get("message") or event.get("progress")))
    if kind == "notice":
        return str(event["detail"]) if event["code"] == WAITS else ""
    if kind == "documents":
        return f"found {len(event['items'])} passages" if event["items"] else ""
    return f"made the file {event['name']}" if kind == "file" else ""


def _shown(x: Exchange, reply: Mapping[str, Any]) -> rpc.Result:
    text = "\n\n".join(part for part in (reply["answer"], _waiting(reply)) if part)
    content: list[dict[str, Any]] = [results.text(text)]
    if x.session.links:
        content += [results.link_to(file) for file in reply["files"]]
    told = {name: reply[name] for name in _TOLD}
    return {"content": content, "structuredContent": told, "isError": False}


def _waiting(reply: Mapping[str, Any]) -> str:
    """What waits for a person whom this client cannot ask."""
    if reply["status"] != "interrupted":
        return ""
    lines = [line_of(question) for question in reply["interrupts"]]
    return "\n".join(
        [
            "This waits for a person, whom your client cannot ask:",
            *lines,
            f"They answer in the console, or with: waystation ask --thread {reply['thread_id']} --approve",
        ]
    )
