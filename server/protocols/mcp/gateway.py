"""The tools of all tool servers, each for those who may use it, under the names that models know.

A tool for which the service wants a person's word asks for it through the client, or does not run.
What a tool itself asks in the middle of its work is declined: whom it would ask is not here.
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
from nodes.mcp_tools.models import ServerState
from server.protocols.mcp import people, results, rpc
from server.protocols.mcp.exchange import Exchange
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
        "annotations": {"readOnlyHint": listed.tool.repeatable} if listed.tool.repeatable else {},
    }


async def call(x: Exchange, name: str, arguments: Mapping[str, Any]) -> rpc.Result:
    """Call a tool as a turn does: the same rights, checks and limits."""
    executor = await x.agent.container.get(ToolExecutor)
    call_id = x.seals.digest([name, arguments])[:16]
    made: dict[str, Any] = {"id": call_id, "name": name, "args": dict(arguments)}
    context = ExecutionContext(x.who, call_id=call_id)
    target = await executor.find(name, context)
    if target.approval:
        allowed = await _allowed(x, made, target)
        if isinstance(allowed, Mapping):
            return dict(allowed)
        if allowed:
            return _shown(executor.refuse(made, context, target, allowed))
        executor.reviewed(target, "approve", arguments, arguments)
    loop, waiting = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def progress(done: float, total: float | None, message: str) -> None:
        task = loop.create_task(x.progress(message, done=done, total=total))
        waiting.add(task)
        task.add_done_callback(waiting.discard)

    try:
        outcome = await executor.execute(made, context, progress=progress)
        await asyncio.gather(*waiting)
    finally:
        for task in waiting:
            task.cancel()
    return _shown(outcome)


async def _allowed(x: Exchange, made: Mapping[str, Any], target: Target) -> str | rpc.Result:
    """Empty where a person allows the call, and else why it does not run; or the form to be filled in."""
    if not x.session.elicits:
        return _CANNOT_ASK
    shown = {"call": {"server": target.server, "tool": target.name, "arguments": made["args"]}}
    form = people.approval_form(line_of(shown))
    if x.session.modern:
        return _asked_before(x, made, form)
    signals = await x.agent.container.get(Signals)
    # Another one each time: an answer to one call must not let the next one run.
    call_id = secrets.token_hex(16)
    yes, no = (people.word_topic(call_id, yes=each) for each in (True, False))
    with signals.listen(yes) as allowed, signals.listen(no) as refused:
        await x.question({"call": call_id, "k": "approval"}, form)
        return "" if await _said(x, allowed, refused) else "the person did not allow it"


def _asked_before(x: Exchange, made: Mapping[str, Any], form: dict[str, Any]) -> str | rpc.Result:
    """The person's word came with the call; or the call is answered with the form."""
    state, given = x.given_state(), x.params.get("inputResponses")
    if state is None or not isinstance(given, Mapping) or "approval" not in given:
        state_of = x.state({"call": made["id"]})
        forms = {"approval": {"method": "elicitation/create", "params": form}}
        return {"resultType": "input_required", "inputRequests": forms, "requestState": state_of}
    if state.get("call") != made["id"]:
        raise rpc.Refusal(rpc.INVALID_PARAMS, "requestState belongs to another call")
    answer = people.answer_to("approval", given["approval"])
    return "" if answer.get("approve") is True else str(answer.get("reason"))


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
