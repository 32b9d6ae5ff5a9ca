"""A tool call on its way: from what a model is told of a tool to what is told of the call.

Models know tools by names in the alphabet of their APIs and by function schemas. What one wrote
becomes what a server gets; what came of it goes to stream, thread and reply, and into a receipt.

A step of a graph runs again after a crash. A tool that changes things must not: a receipt is written
before a call and completed after it, and a call that has an open one is not made again.
"""

from __future__ import annotations

import base64
import contextvars
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import ToolMessage

from core.shapes import mismatch, short, validator_of
from nodes.mcp_tools.models import Artifact, ExecutionContext, Progress, Receipt, ToolInfo, ToolOutcome
from nodes.mcp_tools.ports import FileLinks
from nodes.mcp_tools.settings import FILLED_IN

_LIMIT = 64
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def safe(name: str) -> str:
    """`name` with every character outside A-Z, a-z, 0-9, _ and - replaced."""
    return _FOREIGN.sub("_", name)


def file_stem(server: str) -> str:
    """A file name part for a server, different for different servers."""
    return server if safe(server) == server else f"{safe(server)}-{_digest(server)}"


def full_name(server: str, tool: str, servers: Iterable[str]) -> str:
    """The function name of a tool, the same whichever servers happen to be up.

    Two pairs can only meet where a name had to be changed, or where another
    server's name begins what would be the tool's part ("a" with "b_c", and
    "a_b" with "c"). Such a name ends in a digest of the pair.

    Args:
        servers: The names of all configured servers.
    """
    plain = f"{server}_{tool}"
    readable = safe(plain)
    taken = any(len(other) > len(server) and plain.startswith(f"{other}_") for other in servers)
    if readable == plain and len(plain) <= _LIMIT and not taken:
        return plain
    digest = _digest(f"{server}\0{tool}")
    return f"{readable[: _LIMIT - len(digest) - 1]}_{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def function_schema(name: str, tool: ToolInfo, *, hidden: Sequence[str] = FILLED_IN) -> dict[str, Any]:
    """The tool as an OpenAI function, without the parameters `hidden`."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": tool.description,
            "parameters": _visible(tool.parameters, hidden),
        },
    }


def _visible(schema: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    shown = {key: value for key, value in schema.items() if key not in ("$schema", "title")}
    shown["type"] = "object"
    shown["properties"] = {k: v for k, v in properties_of(schema).items() if k not in hidden}
    if "required" in schema:
        shown["required"] = [k for k in required_of(schema) if k not in hidden]
    return shown


MALFORMED = "__malformed__"  # under this key the llm module hands on text that is no JSON object
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|file:", re.IGNORECASE)
FILE_PARAMETERS = ("filename", "file_names")


def problem_with(
    arguments: Mapping[str, Any], schema: Mapping[str, Any], *, hidden: Sequence[str] = FILLED_IN
) -> str:
    """What is wrong with the arguments, in words for the model; empty when nothing is."""
    if MALFORMED in arguments:
        return (
            f"the arguments are not a JSON object: {short(arguments[MALFORMED])}. "
            f"Call the tool again with a JSON object. {_expected(schema, hidden)}"
        )
    place, why = mismatch(dict(arguments), schema, validator_for_it=_kept_validator)
    if not why:
        return ""
    return f"{f'argument {place!r}: ' if place else ''}{why}. {_expected(schema, hidden)}"


# By identity, with the schema so that its place is not taken: a tool's is read once and stays as it is.
_VALIDATORS: OrderedDict[int, tuple[Mapping[str, Any], Any]] = OrderedDict()
_MOST_VALIDATORS = 512


def _kept_validator(schema: Mapping[str, Any]) -> Any:
    """Made once for a tool: it takes many times as long as to look at a call."""
    known = _VALIDATORS.get(id(schema))
    if known is not None:
        return known[1]
    validator = validator_of(schema)
    _VALIDATORS[id(schema)] = schema, validator
    if len(_VALIDATORS) > _MOST_VALIDATORS:
        _VALIDATORS.popitem(last=False)
    return validator


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a tool; none where the schema has something else in their place."""
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def required_of(schema: Mapping[str, Any]) -> list[str]:
    """Names of the parameters that must be given."""
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _expected(schema: Mapping[str, Any], hidden: Sequence[str]) -> str:
    required = set(required_of(schema))
    shown = [
        f"{name} ({_type(part)}{'' if name in required else ', optional'})"
        for name, part in properties_of(schema).items()
        if name not in hidden
    ]
    return f"Parameters: {', '.join(shown)}." if shown else "The tool takes no parameters."


def _type(part: Any) -> str:
    kind = part.get("type", "any") if isinstance(part, Mapping) else "any"
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are one in JSON, where true is not 1, and 5.0 is 5."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def foreign_address(arguments: Mapping[str, Any]) -> str:
    """An address that the model wrote where a file's name belongs; empty when there is none.

    Only we put addresses there: a tool that fetches what a model wrote could
    be led to any host that this machine reaches.
    """
    for name in FILE_PARAMETERS:
        value = arguments.get(name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and _ADDRESS.match(item.strip()):
                return short(item, 80)
    return ""


def cleaned(value: Any) -> Any:
    """`value` without lone surrogates, which JSON for a server cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {cleaned(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return value


def with_user(
    arguments: Mapping[str, Any],
    schema: Mapping[str, Any],
    user: str,
    *,
    hidden: Sequence[str] = FILLED_IN,
) -> dict[str, Any]:
    """The user's name where the tool asks for it, whatever the model wrote there."""
    asked = [name for name in hidden if name in properties_of(schema)]
    own = {key: value for key, value in arguments.items() if key not in hidden}
    return {**own, **dict.fromkeys(asked, user)}


async def with_links(
    arguments: Mapping[str, Any], context: ExecutionContext, links: FileLinks
) -> dict[str, Any]:
    """Signed addresses in place of the names of the thread's files."""

    async def address(value: Any) -> Any:
        key = context.files.get(value) if isinstance(value, str) else None
        return value if key is None else await links.link(key, principal=context.principal)

    given = dict(arguments)
    for name in FILE_PARAMETERS:
        value = given.get(name)
        if isinstance(value, list):
            given[name] = [await address(item) for item in value]
        elif value is not None:
            given[name] = await address(value)
    return given


Writer = Callable[[Any], None]
PROGRESS_SECONDS = 0.1  # a server may report thousands of steps; nobody reads more than ten a second
_SHOWN = 2000


def call_event(
    outcome_id: str,
    server: str,
    tool: str,
    arguments: Mapping[str, Any],
    decision: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    shown = {"id": outcome_id, "server": server, "tool": tool, "arguments": dict(arguments)}
    return {"type": "tool_call", **shown, **_decided(decision)}


def _decided(decision: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"decision": dict(decision)} if decision else {}


def result_event(outcome: ToolOutcome) -> dict[str, Any]:
    event = {
        "type": "tool_result",
        "id": outcome.call_id,
        "status": outcome.status,
        "content": outcome.text,
        "duration_ms": outcome.duration_ms,
        "files": [artifact.name for artifact in outcome.artifacts],
    }
    return {**event, "display": dict(outcome.display)} if outcome.display else event


def progress_to(write: Writer, call_id: str) -> Progress:
    """A progress callback that writes events, the last of a burst may be left out."""
    last = float("-inf")
    # It is called from the session's task, which has no turn; the writer finds its stream by the context.
    turn = contextvars.copy_context()

    def report(progress: float, total: float | None, message: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PROGRESS_SECONDS and (total is None or progress < total):
            return
        last = now
        shown = {"id": call_id, "progress": progress, "total": total, "message": message}
        turn.run(write, {"type": "tool_progress", **shown})

    return report


def tool_message(outcome: ToolOutcome, name: str) -> ToolMessage:
    """The answer for the model. Its id comes from the call's: a repeated call replaces its message."""
    record = {
        "server": outcome.server,
        "tool": outcome.tool,
        "status": outcome.status,
        "duration_ms": outcome.duration_ms,
        "arguments": dict(outcome.arguments),
        "files": [artifact.name for artifact in outcome.artifacts],
        **_decided(outcome.decision),
    }
    return ToolMessage(
        content=_for_the_model(outcome),
        tool_call_id=outcome.call_id,
        name=name,
        id=f"tool-{outcome.call_id}",
        status="success" if outcome.status in ("ok", "answered") else "error",
        additional_kwargs={"waystation": record},
    )


def _for_the_model(outcome: ToolOutcome) -> str:
    """The result. A model that is not told of an edit takes its own arguments for those that ran."""
    if not outcome.decision or outcome.decision.get("type") != "edit":
        return outcome.text
    ran = json.dumps(outcome.arguments, ensure_ascii=False, default=str)
    shown = ran if len(ran) <= _SHOWN else f"{ran[: _SHOWN - 1]}…"
    return f"A person changed this call on purpose. It was made with {shown}.\n\n{outcome.text}"


def artifacts_of(outcome: ToolOutcome) -> list[dict[str, Any]]:
    return [
        {
            "id": artifact.id,
            "name": artifact.name,
            "media_type": artifact.media_type,
            "b64": base64.b64encode(artifact.data).decode(),
        }
        for artifact in outcome.artifacts
    ]


UNKNOWN = "interrupted, result unknown"


class NoReceipts:
    """Keeps none, where nothing else keeps runs either: every call is made."""

    async def begin(self, context: ExecutionContext) -> Receipt:
        return Receipt()

    async def end(self, context: ExecutionContext, outcome: ToolOutcome) -> None:
        return None

    async def forget(self, context: ExecutionContext) -> None:
        return None


def outcome_as_json(outcome: ToolOutcome) -> dict[str, Any]:
    """An outcome as a receipt keeps it, artifacts in base64."""
    return {
        "call_id": outcome.call_id,
        "server": outcome.server,
        "tool": outcome.tool,
        "arguments": dict(outcome.arguments),
        "status": outcome.status,
        "text": outcome.text,
        "duration_ms": outcome.duration_ms,
        "display": dict(outcome.display) if outcome.display else None,
        "artifacts": artifacts_of(outcome),
        # Left out where nobody decided: a process of the release before could not read it.
        **({"decision": dict(outcome.decision)} if outcome.decision else {}),
    }


def outcome_from_json(stored: Mapping[str, Any]) -> ToolOutcome:
    """The outcome again."""
    artifacts = tuple(
        Artifact(a["id"], a["name"], a["media_type"], base64.b64decode(a["b64"])) for a in stored["artifacts"]
    )
    return ToolOutcome(**{**stored, "artifacts": artifacts})
