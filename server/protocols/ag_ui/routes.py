"""The route of AG-UI: `POST /ag-ui` runs the agent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fastapi import Request, Response

from core.access import Principal
from core.settings.platform import ServerSettings
from core.steps import PARTS, Part
from graph.agent import Agent
from graph.errors import Draining, NothingToResume
from graph.runs.events import LoggedEvent
from graph.runs.record import RunRecord
from graph.runs.streams import Handle
from server.conversations import begin
from server.middleware.auth import Caller
from server.protocols.ag_ui.reading import PageRequest, read
from server.protocols.ag_ui.translating import Translator
from server.protocols.ag_ui.words import call_of
from server.protocols.switch import wire_router
from server.requests import json_body
from server.routes.common import OpenAgent
from server.sse import RunResponse

PATH = "/ag-ui"
# Runs that wait for their answer; a person has few of them.
_MOST_WAITING = 200

router = wire_router("ag-ui")


@router.post(PATH)
async def run_agent(request: Request, agent: OpenAgent, who: Caller) -> Response:
    """One turn, or the answer to what a turn waits for, as events."""
    asked = read(await json_body(request, '{"threadId": "…", "runId": "…", "messages": […]}'))
    told: Collection[str] = ()
    if asked.resume:
        waiting = await _waiting(agent, who, asked)
        told = _asked_about(waiting)
        run = await agent.resume(who, waiting.id, _answers(asked, waiting))
    else:
        run = await begin(agent, who, await asked.turn(agent, who))
        if asked.results:
            told = _asked_about(run.record) | {call for one in asked.said for call, *_ in one.calls}
    return AgUiStream(run, asked, steps=await _steps(agent), told=told, stall=_stall(agent))


class AgUiStream(RunResponse):
    """The events of a run.

    Args:
        steps: Names of the steps, by their part of a turn.
        told: Ids of calls that the client knows.
    """

    def __init__(
        self,
        run: Handle,
        asked: PageRequest,
        *,
        steps: Mapping[Part, str],
        told: Collection[str],
        stall: float,
    ) -> None:
        super().__init__(run, stall=stall)
        ours: dict[str, Any] = {"thread_id": run.thread_id, "run_id": run.id, "status": "running"}
        ours |= {"model": "", "tools": [], "sources": [], "citations": [], "files": []}
        self._translator = Translator(
            asked.thread_id,
            asked.run_id,
            ours=ours,
            state=asked.state,
            steps=steps,
            told=told,
            names_calls=asked.names_calls,
        )
        self._begun = False

    def encoded(self, found: Sequence[LoggedEvent]) -> Iterable[bytes]:
        yield from self._beginning()
        for entry in found:
            yield from self._translator.events(entry.event)

    def ending(self) -> Iterable[bytes]:
        if self._translator.ended:
            return
        yield from self._beginning()
        detail = f"the service stops; run '{self._run.id}' goes on when it is back"
        yield from self._translator.cut(Draining.code, detail)

    def _beginning(self) -> Iterable[bytes]:
        if self._begun:
            return
        self._begun = True
        yield from self._translator.begin()


async def _waiting(agent: Agent, who: Principal, asked: PageRequest) -> RunRecord:
    """The caller's run that waits for one of the answers.

    Raises:
        NothingToResume: None does.
    """
    ids = {key for key, *_ in asked.resume}
    here = await agent.runs.interrupted_on(who, asked.thread_id)
    for run in [here] if here else []:
        if ids & _questions(run):
            return run
    for run in await agent.runs.list(who, status="interrupted", limit=_MOST_WAITING):
        if ids & _questions(run):
            return run
    first = asked.resume[0][0][:80]
    raise NothingToResume(f"resume: no run of yours waits for an answer to '{first}'")


def _questions(run: RunRecord) -> set[str]:
    return {str(each["id"]) for each in (run.output or {}).get("interrupts") or ()}


def _asked_about(run: RunRecord) -> set[str]:
    asked = (run.output or {}).get("interrupts") or ()
    return {str(call["id"]) for each in asked if (call := call_of(each))}


def _answers(asked: PageRequest, run: RunRecord) -> dict[str, Any]:
    kinds = {str(each["id"]): each.get("kind", "approval") for each in (run.output or {})["interrupts"]}
    return {
        key: _payload(payload) if resolved else _given_up(kinds.get(key))
        for key, resolved, payload in asked.resume
    }


def _payload(payload: Any) -> Any:
    """Many pages say `approved`, as the protocol's own examples do."""
    if isinstance(payload, Mapping) and isinstance(payload.get("approved"), bool):
        return {"approve": payload["approved"], **{k: v for k, v in payload.items() if k != "approved"}}
    return payload


def _given_up(kind: Any) -> dict[str, Any]:
    """What it means for each kind of question that nobody answers it."""
    if kind == "elicitation":
        return {"action": "cancel"}
    return {"decline": True} if kind == "credential" else {"approve": False}


async def _steps(agent: Agent) -> Mapping[Part, str]:
    return {part: await agent.step(part) for part in PARTS}


def _stall(agent: Agent) -> float:
    return agent.book[ServerSettings].stream_stall_seconds
