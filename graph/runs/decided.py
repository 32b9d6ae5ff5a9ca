"""What people decided in a run: of which question, who, when and how; never what they filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graph.runs.events import renewed_question

# Of a run; a question of a tool that asks again and again is one entry each time.
MOST = 200
DETAIL_CHARACTERS = 500
APPROVAL = "approval"


def noted(
    waiting: Iterable[dict[str, Any]] | None, answers: Mapping[str, Any] | None, *, by: str, at: float
) -> list[dict[str, Any]]:
    """An entry for each answer, in the order of the questions.

    Values stay out: a form may have asked for anything. The names of its fields say what was given.

    Args:
        waiting: The thread's questions.
        answers: By their ids, in the short form of `nodes.mcp_tools.answers`.
        at: Seconds since 1970.
    """
    given = answers or {}
    asked = [renewed_question(each) for each in waiting or () if str(each.get("id")) in given]
    return [_entry(question, given[str(question["id"])], by, at) for question in asked]


def _entry(question: Mapping[str, Any], answer: Any, by: str, at: float) -> dict[str, Any]:
    kind = str(question.get("kind", APPROVAL))
    said: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    entry = {"id": question["id"], "kind": kind, "type": _type(kind, said), "by": by, "at": at}
    if call := question.get("call"):
        entry["call"] = {name: call.get(name) for name in ("id", "server", "tool")}
    if kind != APPROVAL:
        entry["detail"] = str(question.get("detail") or "")[:DETAIL_CHARACTERS]
        entry["fields"] = sorted(str(name) for name in _filled(kind, said))
    return entry


def _type(kind: str, said: Mapping[str, Any]) -> str:
    if kind == "elicitation":
        return str(said.get("action"))
    if kind == "credential":
        return "decline" if said.get("decline") else "accept"
    if kind not in (APPROVAL, "budget"):
        return "answer"
    if "respond" in said:
        return "respond"
    if not said.get("approve"):
        return "reject"
    return "edit" if "arguments" in said else "approve"


def _filled(kind: str, said: Mapping[str, Any]) -> Iterable[Any]:
    if kind == "elicitation":
        return (said.get("content") or {}) if said.get("action") == "accept" else ()
    return () if kind in ("budget", "credential") else said
