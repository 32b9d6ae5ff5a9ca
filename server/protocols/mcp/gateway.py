"""The tools of all tool servers, each for those who may use it, under the names that models know.

A tool for which the service wants a person's word asks for it through the client, or does not run. So
does one that asks in the middle of its work (`midcall`); without forms its question is declined.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from core.access import usable
from core.signals import Listener, Signals
from graph.errors import Draining
from nodes.mcp_tools import ExecutionContext, MCPToolManager, ToolExecutor, ToolOutcome
from nodes.mcp_tools.executor import Target
from nodes.mcp_tools.manager import Listed
from nodes.mcp_tools.models import ServerState, ToolInfo
from server.errors import InvalidRequest
from server.protocols.mcp import people, results, rpc
from server.protocols.mcp.exchange import Exchange
from server.protocols.mcp.kept import kept
from server.protocols.mcp.midcall import KIND, Answers, QuestionPending
from server.protocols.mcp.seals import LONGEST
from server.questions import line_of

_RESULT_BYTES = 4_194_304
_WAIT_SECONDS = 30.0
_CANNOT_ASK = (
    "whoever runs this service wants a person asked before this tool runs, and your client cannot ask one"
)


async def tools(x: Exchange) -> list[dict[str, Any]]:
    """Every tool that the caller may use, as far as its server is up."""
    return [_described(listed) for listed in await _listed(x)]


async def has(x: Exchange, name: str) -> bool:
    return any(listed.full == name for listed in await _listed(x))


async def _listed(x: Exchange) -> list[Listed]:
    if not x.agent.has("mcp_tools"):
        return []
    manager = await x.agent.container.get(MCPToolManager)
    names, ready = list(usable(x.who, manager.entries())), set(await manager.ready(x.who, None))
    status = manager.status()
    # Clients ask once for the list, and keep it: what is still starting is waited for.
    late = [name for name in names if name not in ready and status[name].state is not ServerState.DOWN]
    await asyncio.gather(*map(manager.tools, late), return_exceptions=True)
    return list(manager.known(names))


def _described(listed: Listed) -> dict[str, Any]:
    schema = listed.schema["function"]
    return {
        "name": listed.full,
        "description": schema["description"],
        "inputSchema": schema["parameters"],
        "annotations": _hints(listed.tool),
    }


def _hints(tool: ToolInfo) -> dict[str, bool]:
    """What its server says of the tool: a client may ask nobody before it calls one that only reads."""
    said = {"readOnlyHint": tool.read_only, "idempotentHint": tool.repeatable}
    return {name: True for name, holds in said.items() if holds}


async def call(x: Exchange, name: str, arguments: Mapping[str, Any]) -> rpc.Result:
    """Call a tool as a turn does: the same rights, checks and limits."""
    executor = await x.agent.container.get(ToolExecutor)
    call_id = x.seals.digest([name, arguments])[:16]
    made: dict[str, Any] = {"id": call_id, "name": name, "args": dict(arguments)}
    context = ExecutionContext(x.who, call_id=call_id)
    target = await executor.find(name, context)
    state = _state_of(x, call_id)
    if target.approval and not state.get("allowed"):
        allowed = await _allowed(x, made, target, state)
        if isinstance(allowed, Mapping):
            return dict(allowed)
        if allowed:
            return _shown(executor.refuse(made, context, target, allowed))
        executor.reviewed(target, "approve", arguments, arguments)
    answers = Answers(state.get("given"), _said_to(x, state))
    while True:
        try:
            return _shown(await _executed(x, executor, made, context, answers))
        except QuestionPending as asked:
            if x.session.modern:
                return _input_required(x, made, asked, answers)
            answers.hear(asked.mark, await _heard(x, asked))


async def _executed(
    x: Exchange,
    executor: ToolExecutor,
    made: Mapping[str, Any],
    context: ExecutionContext,
    answers: Answers,
) -> ToolOutcome:
    """One attempt. Raises Asked."""
    loop, waiting = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def progress(done: float, total: float | None, message: str) -> None:
        task = loop.create_task(x.progress(message, done=done, total=total))
        waiting.add(task)
        task.add_done_callback(waiting.discard)

    # Without somebody to ask, questions are declined.
    ask = answers if x.session.elicits else None
    try:
        outcome = await executor.execute(made, context, progress=progress, ask=ask)
        await asyncio.gather(*waiting)
    finally:
        for task in waiting:
            task.cancel()
    return outcome


# -- the person ---------------------------------------------------------------------------------------


def _state_of(x: Exchange, call_id: str) -> dict[str, Any]:
    """What came back with the call.

    Raises:
        Refusal: It is another call's.
    """
    state = x.given_state()
    if state is not None and state.get("call") != call_id:
        raise rpc.Refusal(rpc.INVALID_PARAMS, "requestState belongs to another call")
    return state or {}


def _responses(x: Exchange) -> Mapping[str, Any]:
    given = x.params.get("inputResponses")
    return given if isinstance(given, Mapping) else {}


def _said_to(x: Exchange, state: Mapping[str, Any]) -> tuple[str, object] | None:
    given = _responses(x)
    return (state["asked"], given["question"]) if "asked" in state and "question" in given else None


def _input_required(
    x: Exchange, made: Mapping[str, Any], asked: QuestionPending, answers: Answers
) -> rpc.Result:
    """The call is made again with what was filled in, and with what was before."""
    words = {"call": made["id"], "allowed": True, "given": answers.given, "asked": asked.mark}
    state = x.state(words)
    if len(state) > LONGEST:
        return results.failed(InvalidRequest("the answers to this tool are too long together; shorten them"))
    return _forms("question", asked.form, state)


def _forms(name: str, form: Mapping[str, Any], state: str) -> rpc.Result:
    forms = {name: {"method": "elicitation/create", "params": form}}
    return {"resultType": "input_required", "inputRequests": forms, "requestState": state}


async def _allowed(
    x: Exchange, made: Mapping[str, Any], target: Target, state: Mapping[str, Any]
) -> str | rpc.Result:
    """Empty where a person allows the call, and else why it does not run; or the form to be filled in."""
    if not x.session.elicits:
        return _CANNOT_ASK
    shown = {"call": {"server": target.server, "tool": target.name, "arguments": made["args"]}}
    form = people.approval_form(line_of(shown))
    if x.session.modern:
        if not state or "approval" not in _responses(x):
            return _forms("approval", form, x.state({"call": made["id"]}))
        answer = people.answer_to("approval", _responses(x)["approval"])
        return "" if answer.get("approve") is True else str(answer.get("reason"))
    return "" if await _put(x, form, "approval") else "the person did not allow it"


async def _heard(x: Exchange, asked: QuestionPending) -> object:
    """What the person says to a tool's question."""
    call_id = await _put(x, asked.form, KIND)
    return await kept(x.agent, x.who, call_id) if call_id else {"action": "decline"}


async def _put(x: Exchange, form: Mapping[str, Any], kind: str) -> str:
    """Put the form to the person; under which name the answer was taken, "" where it is a no."""
    signals = await x.agent.container.get(Signals)
    # Another one each time: an answer to one call must not let the next one run.
    call_id = secrets.token_hex(16)
    yes, no = (people.word_topic(call_id, yes=each) for each in (True, False))
    with signals.listen(yes) as allowed, signals.listen(no) as refused:
        await x.question({"call": call_id, "k": kind}, form)
        return call_id if await _said(x, allowed, refused) else ""


async def _said(x: Exchange, allowed: Listener, refused: Listener) -> bool:
    """Wait for the person's word; it may come in at any process."""
    words = [asyncio.ensure_future(each.heard()) for each in (allowed, refused)]
    try:
        while not any(word.done() for word in words):
            await asyncio.wait(words, timeout=_WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if x.agent.draining:
                raise Draining("the service stops; the tool was not called")
        return words[0].done()
    finally:
        for word in words:
            word.cancel()


def _shown(outcome: ToolOutcome) -> rpc.Result:
    content, left = [results.text(outcome.text)], _RESULT_BYTES
    for made in outcome.artifacts:
        left -= len(made.data)
        fits = left >= 0
        note = f"(the file {made.name} of {len(made.data)} bytes is too large to be sent)"
        content.append(results.blob(made.name, made.media_type, made.data) if fits else results.text(note))
    failed = outcome.status != "ok"
    told = {"_meta": {"waystation/status": outcome.status}} if failed else {}
    return {"content": content, "isError": failed, **told}
