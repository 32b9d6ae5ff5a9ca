"""What waits for a person, as a form of the client (an elicitation), and its answer as ours.

Up to 2025-11-25 a form is a request of ours on the stream of the call, and its answer a message of its own,
which any process may get: its id says, sealed, what it is for. From 2026-07-28 on the call is
answered with the forms, and made again with what was filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.access import Principal
from core.errors import InvalidInput
from core.signals import Signals
from graph.agent import Agent
from graph.errors import AlreadyAnswered, NothingToResume, RunEnded
from server.protocols.mcp.kept import keep
from server.protocols.mcp.rpc import Message
from server.protocols.mcp.seals import Seals
from server.questions import line_of

_APPROVAL = {
    "type": "object",
    "properties": {
        "approve": {
            "type": "boolean",
            "title": "Allow this",
            "description": "Nothing runs unless this is on.",
        },
        "reason": {"type": "string", "title": "Reason", "description": "Where you do not: why."},
    },
    "required": ["approve"],
}
_CREDENTIAL = {
    "type": "object",
    "properties": {"credential": {"type": "string", "title": "Name of a stored credential"}},
    "required": ["credential"],
}
_ACTIONS = ("accept", "decline", "cancel")
_UNSAID = "the form was sent back without a yes"
_REFUSED = {"decline": "the person declined", "cancel": "the person closed the form"}
_NOT_ASKED = "the client could not ask its person"

Answer = dict[str, Any]


def form_of(question: Mapping[str, Any]) -> dict[str, Any]:
    """The form for a question of a run, as parameters of `elicitation/create`."""
    kind = kind_of(question)
    if kind == "elicitation":
        return _form(str(question.get("detail") or "A tool asks"), _flat(question.get("schema")))
    return _form(line_of(question), _CREDENTIAL if kind == "credential" else _APPROVAL)


def approval_form(text: str) -> dict[str, Any]:
    """The form for a yes or no."""
    return _form(text, _APPROVAL)


def kind_of(question: Mapping[str, Any]) -> str:
    return str(question.get("kind", "approval"))


def _form(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"mode": "form", "message": text, "requestedSchema": schema}


def _flat(schema: object) -> dict[str, Any]:
    found = dict(schema) if isinstance(schema, Mapping) else {}
    return {**found, "type": "object", "properties": found.get("properties") or {}}


def answer_to(kind: str, given: object) -> Answer:
    """What the person said, as the run takes it; whatever is no clear yes is a no."""
    found = given if isinstance(given, Mapping) else {}
    action, content = found.get("action"), found.get("content")
    said: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    if action not in _ACTIONS:
        return no_to(kind, _NOT_ASKED)
    if kind == "elicitation":
        return {"action": action, **({"content": dict(said)} if action == "accept" else {})}
    if action != "accept":
        return no_to(kind, _REFUSED[action])
    if kind == "credential":
        return {"credential": said["credential"]} if said.get("credential") else no_to(kind, "")
    if said.get("approve") is True:
        return {"approve": True}
    reason = said.get("reason")
    return no_to(kind, reason if isinstance(reason, str) and reason.strip() else _UNSAID)


def no_to(kind: str, reason: str) -> Answer:
    """A no, as each kind takes it."""
    if kind == "elicitation":
        return {"action": "decline"}
    return {"decline": True} if kind == "credential" else {"approve": False, "reason": reason}


async def hear(agent: Agent, who: Principal, seals: Seals, message: Message) -> bool:
    """Take the answer to a form of ours to where it is waited for; False where it answers none.

    Raises:
        WaystationError: The run cannot go on now.
    """
    words = seals.open("question", who.id, message.body.get("id"))
    if words is None:
        return False
    said = message.body.get("result")
    answer = answer_to(words["k"], said)
    if "run" in words:
        await resume(agent, who, words["run"], {words["i"]: answer}, {words["i"]: words["k"]})
    else:
        yes = answer.get("approve") is True
        if words["k"] == "elicitation":
            yes = await keep(agent, who, words["call"], answer)
        (await agent.container.get(Signals)).send(word_topic(words["call"], yes=yes))
    return True


def word_topic(call: str, *, yes: bool) -> str:
    """What is sent through all processes when a person has allowed a call, or has not."""
    return f"mcp:{call}:{'yes' if yes else 'no'}"


async def resume(
    agent: Agent, who: Principal, run_id: str, answers: Mapping[str, Answer], kinds: Mapping[str, str]
) -> Any:
    """Go on with a run; gives its handle, or None where others have answered before.

    A form that was filled in wrongly is a no: nobody can be told on this wire.
    """
    try:
        return await agent.resume(who, run_id, dict(answers))
    except (AlreadyAnswered, NothingToResume, RunEnded):
        return None
    except InvalidInput as error:
        why = f"the answer was not taken: {error.detail}"[:500]
        return await agent.resume(who, run_id, {key: no_to(kinds[key], why) for key in answers})
