"""Ask the person at the terminal what a run waits for; the answers are those of every other way in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import typer

from core.errors import InvalidInput
from server.questions import Questions, line_of

_APPROVALS = {"y": "approve", "n": "reject", "e": "edit", "r": "respond"}
_FORMS = {"y": "accept", "n": "decline", "c": "cancel"}


def at_a_terminal() -> bool:
    """Whether there is a person who can be asked."""
    return sys.stdin.isatty()


def parsed(text: str, what: str) -> Any:
    """JSON that a person wrote.

    Raises:
        InvalidInput: It is none.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{what}: '{text[:80]}' is not JSON ({error})") from None


def prompted(questions: Questions) -> dict[str, Any]:
    """An answer for each, by its id."""
    return {
        str(question["id"]): _ASK.get(str(question.get("kind")), _yes_or_no)(question)
        for question in questions
    }


def _yes_or_no(question: Mapping[str, Any]) -> dict[str, Any]:
    return {"approve": typer.confirm(line_of(question))}


def _approval(question: Mapping[str, Any]) -> dict[str, Any]:
    chosen = _choice(question, "approve (y), reject (n), edit (e) or respond (r)", _APPROVALS)
    if chosen == "approve":
        return {"approve": True}
    if chosen == "reject":
        reason = typer.prompt("Why? (may be empty)", default="", show_default=False, err=True)
        return {"approve": False, **({"reason": reason} if reason else {})}
    if chosen == "respond":
        return {"respond": typer.prompt("The tool's result", err=True)}
    before = orjson.dumps((question.get("call") or {}).get("arguments") or {}).decode()
    return {"approve": True, "arguments": _json("Arguments as JSON", before)}


def _elicitation(question: Mapping[str, Any]) -> dict[str, Any]:
    chosen = _choice(question, "accept (y), decline (n) or cancel (c)", _FORMS)
    if chosen != "accept":
        return {"action": chosen}
    schema = question.get("schema") or {}
    required = schema.get("required") or []
    content = {
        name: value
        for name, part in (schema.get("properties") or {}).items()
        if (value := _field(name, part, optional=name not in required)) is not None
    }
    return {"action": "accept", "content": content}


def _field(name: str, part: Mapping[str, Any], *, optional: bool) -> Any:
    """One field of the form; what does not fit it is for the grammar to refuse, with the reason."""
    kind = str(part.get("type", "string"))
    choices = f", one of {', '.join(map(str, part['enum']))}" if part.get("enum") else ""
    label = f"{part.get('title') or name} ({kind}{choices}{', optional' if optional else ''})"
    text = str(typer.prompt(label, default="", show_default=False, err=True))
    if optional and not text:
        return None
    if kind == "string":
        return text
    if kind == "array":
        return [item.strip() for item in text.split(",")]
    try:
        return orjson.loads({"yes": "true", "no": "false"}.get(text.lower(), text))
    except orjson.JSONDecodeError:
        return text


def _choice(question: Mapping[str, Any], offered: str, known: Mapping[str, str]) -> str:
    typer.echo(line_of(question), err=True)
    while True:
        said = str(typer.prompt(offered, err=True)).strip().lower()
        if said in known or said in known.values():
            return known.get(said, said)


def _json(label: str, default: str) -> Any:
    while True:
        try:
            return parsed(typer.prompt(label, default=default, err=True), label)
        except InvalidInput as error:
            typer.echo(error.detail, err=True)


_ASK: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "approval": _approval,
    "elicitation": _elicitation,
}
