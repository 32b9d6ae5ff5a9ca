"""Names of this wire, and the pieces that its events are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.foreign import as_bytes

# Where our events keep what was said and what a tool gave.
SAID, GIVEN = "delta", "content"
VERSION = "1.0"
# Below this name a front end finds our state, beside whatever it keeps itself.
OURS = "waystation"
# A question's reason, by its kind; others have the kind itself.
REASONS = {"approval": "tool_call", "elicitation": "input_required"}
_BESIDE = frozenset({"seq", "type", "run_id"})
_APPROVAL = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "description": "Whether it may be done."},
        "reason": {"type": "string", "description": "Why not."},
        "arguments": {"type": "object", "description": "Other arguments for the call."},
    },
    "required": ["approve"],
}
_ELICITATION = {
    "type": "object",
    "properties": {"action": {"type": "string", "enum": ["accept", "decline", "cancel"]}},
    "required": ["action"],
}


def event(kind: str, **fields: Any) -> bytes:
    """An event of the wire. Fields without a value are left out by whoever calls: null is refused."""
    return b"data: " + as_bytes({"type": kind, **fields}) + b"\n\n"


def custom(found: Mapping[str, Any]) -> bytes:
    """An event of ours that AG-UI has no word for."""
    value = {name: value for name, value in found.items() if name not in _BESIDE}
    return event("CUSTOM", name=found["type"], value=value)


def change(**fields: Any) -> bytes:
    """Fields of our state that have another value now."""
    delta = [{"op": "replace", "path": f"/{OURS}/{name}", "value": value} for name, value in fields.items()]
    return event("STATE_DELTA", delta=delta)


def snapshot(state: Any, **fields: Any) -> bytes:
    """The state of the front end, with ours in it."""
    kept = state if isinstance(state, Mapping) else {}
    return event("STATE_SNAPSHOT", snapshot={**kept, OURS: fields})


def interrupt(question: Mapping[str, Any]) -> dict[str, Any]:
    """What waits for a person."""
    kind = str(question.get("kind", "approval"))
    call = call_of(question)
    found: dict[str, Any] = {"id": question["id"], "reason": REASONS.get(kind, kind)}
    if message := question.get("detail"):
        found["message"] = str(message)
    if call:
        found["toolCallId"] = str(call["id"])
    if schema := _schema(kind, question):
        found["responseSchema"] = schema
    shown = {name: value for name, value in question.items() if name not in _BESIDE}
    return {**found, "metadata": {OURS: shown}}


def _schema(kind: str, question: Mapping[str, Any]) -> dict[str, Any] | None:
    if kind == "elicitation":
        content = question.get("schema")
        properties = {**_ELICITATION["properties"], **({"content": content} if content else {})}  # type: ignore[dict-item]
        return {**_ELICITATION, "properties": properties}
    return _APPROVAL if kind in ("approval", "budget") else None


def call_of(question: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The call that a question is about."""
    call = question.get("call")
    return call if isinstance(call, Mapping) and call.get("id") else None


def tool_name(call: Mapping[str, Any]) -> str:
    """The tool as the model knows it."""
    return "_".join(str(call[part]) for part in ("server", "tool") if call.get(part)) or "tool"


def usage_of(used: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tokens by model."""
    found: dict[str, dict[str, Any]] = {}
    for one in used:
        model = str(one.get("model") or "")
        entry = found.setdefault(model, {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0})
        asked, said = int(one.get("input_tokens") or 0), int(one.get("output_tokens") or 0)
        entry["inputTokens"] += asked
        entry["outputTokens"] += said
        entry["totalTokens"] += asked + said
    return [{**({"model": model} if model else {}), **entry} for model, entry in found.items()]
