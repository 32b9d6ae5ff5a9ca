"""Make a recording of a run that has ended, from what is stored of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from core.access import Principal, RunContext
from core.choices import Choices
from core.errors import WaystationError
from core.settings.platform import LimitSettings
from graph.agent import Agent
from graph.flow.state import call_record
from graph.flow.steps import Steps
from graph.replay.alone import run_node
from graph.replay.recording import (
    Before,
    Expected,
    RecordedAnswer,
    RecordedCall,
    RecordedRun,
    RecordedStep,
    Recording,
    Retrieval,
    message_json,
    without_secrets,
    written_json,
)
from graph.replay.stored_turn import StoredTurn, stored_turn
from nodes.config import ConfigLookup

_USAGE = ("input_tokens", "output_tokens", "model", "cost")
_FILE = ("key", "name", "media_type", "size")


async def record(agent: Agent, principal: Principal, run_id: str) -> Recording:
    """The recording of a run of the principal; nothing in it can be told to be a secret.

    The texts of passages are not stored with a run: they are looked up again
    now, with what the principal may read now.

    Raises:
        NotFound: No such run, somebody else's, or its checkpoints are no longer kept.
        Conflict: It has not ended.
    """
    turn = await stored_turn(agent, principal, run_id)
    wished = Choices.of(turn.request)
    config = await _config(agent, principal, wished, turn)
    steps = await agent.container.get(Steps)
    offered = [str(name) for event in turn.told("config")[-1:] for name in event.get("tools", [])]
    made = [_fields(event, _FILE) for event in turn.told("file")]
    recording = Recording(
        recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        run=_run(turn),
        wished=wished,
        before=_before(turn, {file["key"] for file in made}),
        message=message_json(turn.question),
        files=[file for file in turn.files if file.get("key") in turn.uploads],
        config=config,
        offered=offered,
        retrieval=await _retrieval(agent, principal, config, turn),
        answers=_answers(turn, steps),
        outcomes=[_outcome(message, turn.answers) for message in turn.results],
        stored=made,
        further=_further(turn, steps),
        expected=_expected(turn),
    )
    return Recording.model_validate(without_secrets(recording.model_dump()))


def _run(turn: StoredTurn) -> RecordedRun:
    created = datetime.fromtimestamp(turn.row["created_at"], UTC)
    return RecordedRun(
        id=turn.row["id"],
        thread_id=turn.row["thread_id"],
        attempts=turn.row["attempts"],
        created_at=created.isoformat(timespec="seconds"),
    )


def _before(turn: StoredTurn, made: set[Any]) -> Before:
    files = [file for file in turn.files if file.get("key") not in made | set(turn.uploads)]
    return Before(
        messages=[message_json(message) for message in turn.before], files=files, summary=turn.summary
    )


async def _config(agent: Agent, principal: Principal, wished: Choices, turn: StoredTurn) -> dict[str, Any]:
    """The `config` channel as the turn had it: told by its event, and looked up where that says nothing."""
    lookup = await agent.container.get(ConfigLookup)
    servers = {call_record(message)["server"] for message in turn.results}
    config: dict[str, Any] = {"model": "", "sources": [], "servers": sorted(servers - {""}), "tools": None}
    try:
        config |= lookup.resolve(principal, wished).as_state()
    except WaystationError:  # what the run used is no longer there, or no longer theirs
        limits = agent.editions.now().book[LimitSettings]
        used = {"model": config["model"], "sources": config["sources"]}
        config |= wished.as_json() | used | {"max_steps": wished.max_steps or limits.steps}
    for event in turn.told("config")[-1:]:
        config |= {"model": event["model"], "sources": list(event["sources"])}
    return config


async def _retrieval(
    agent: Agent, principal: Principal, config: Mapping[str, Any], turn: StoredTurn
) -> Retrieval:
    told = turn.told("documents")
    if not told:
        return Retrieval()
    again = await _searched(agent, principal, config, turn)
    documents = [_passage(item, again) for item in told[-1]["items"]]
    missing = [document["n"] for document in documents if not document["text"]]
    return Retrieval(
        origin="searched_again", documents=documents, failed=list(told[-1]["failed"]), missing=missing
    )


async def _searched(
    agent: Agent, principal: Principal, config: Mapping[str, Any], turn: StoredTurn
) -> list[dict[str, Any]]:
    context = RunContext(user=principal.id, groups=sorted(principal.groups), levels=sorted(principal.levels))
    state = {"messages": [turn.question], "config": {"sources": config["sources"]}}
    try:
        steps = await agent.container.get(Steps)
        found = await run_node(steps, steps.main("passages").name, state, context)
    except WaystationError:  # a source that is gone, or is no longer theirs: its texts stay out
        return []
    return list(found.writes.get("documents", []))


def _passage(item: Mapping[str, Any], again: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The passage that was told, with the text of the one that is found now."""
    same = [
        found
        for found in again
        if all(found[key] == item[key] for key in ("source", "document", "title", "score"))
    ]
    near = [found for found in same if found["n"] == item["n"]] or same
    empty = {"text": "", "uri": "", "start": 0, "end": 0}
    return {**empty, **(near[0] if near else {}), **item}


def _answers(turn: StoredTurn, steps: Steps) -> list[RecordedAnswer]:
    """Each answer as the model gave it: what a step behind it made of it stands with that step."""
    usages = list(turn.told("usage"))
    changed = {message.id for placed in steps.further for message in _written(turn, placed.name)}
    given = {m.id: m for m in _written(turn, steps.main("model").name) if m.id in changed}
    answers = [given.get(message.id, message) for message in turn.answers]
    return [RecordedAnswer(message=message_json(m), usage=_usage(m, usages)) for m in answers]


def _written(turn: StoredTurn, step: str) -> Iterator[AIMessage]:
    for name, result in turn.made:
        said = result.get("messages") if name == step and isinstance(result, Mapping) else None
        yield from (m for m in (said if isinstance(said, list) else [said]) if isinstance(m, AIMessage))


def _usage(message: AIMessage, usages: list[dict[str, Any]]) -> dict[str, Any]:
    """The usage that was told of this answer: an attempt that died may have told of more."""
    counted: Mapping[str, Any] = message.usage_metadata or {}
    for usage in usages:
        if all(usage[key] == counted.get(key, usage[key]) for key in ("input_tokens", "output_tokens")):
            usages.remove(usage)
            return _fields(usage, _USAGE)
    return {}


def _outcome(message: ToolMessage, answers: Sequence[AIMessage]) -> RecordedCall:
    call = next(c for answer in answers for c in answer.tool_calls if c["id"] == message.tool_call_id)
    record = message.additional_kwargs.get("waystation", {})
    return RecordedCall(
        id=message.tool_call_id,
        name=call["name"],
        arguments=call["args"],
        message=message_json(message),
        files=list(record.get("files", [])),
    )


def _further(turn: StoredTurn, steps: Steps) -> list[RecordedStep]:
    """What steps wrote that are no part of every turn."""
    names = {placed.name for placed in steps.further}
    found = [
        RecordedStep(step=name, writes=written_json(result))
        for name, result in turn.made
        if name in names and isinstance(result, Mapping)
    ]
    # A step that wrote nothing at first writes the rest at its later turns, not at its first one.
    last = {made.step: place for place, made in enumerate(found) if made.writes}
    return [made for place, made in enumerate(found) if place <= last.get(made.step, -1)]


def _expected(turn: StoredTurn) -> Expected:
    row = turn.row
    output: Mapping[str, Any] = row["output"] or {}
    return Expected(
        status=row["status"],
        answer=str(output.get("answer") or turn.partial),
        tool_calls=[call_record(message) for message in turn.results],
        error=row["error"] if row["status"] == "failed" else None,
        partial=turn.partial,
    )


def _fields(event: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: event.get(name) for name in names}
