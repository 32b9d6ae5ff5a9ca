"""How each protocol's clients are told what is wrong: their own form, with our code and status.

Everything that refuses a request, the gate and the guard too, answers in the form of its path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Problem = Mapping[str, Any]
PROBLEM_JSON = "application/problem+json"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Form:
    """How an error is written.

    Args:
        body: Makes the body of a problem (RFC 9457).
        headers: Makes headers beside it.
        status: Makes the status of ours, where the protocol has others.
    """

    media: str
    body: Callable[[Problem], Mapping[str, Any]]
    headers: Callable[[Problem], Mapping[str, str]] = lambda _: {}
    status: Callable[[int], int] = lambda status: status


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_body(problem: Problem) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}`, of which the SDKs make their errors."""
    status, errors = problem["status"], problem.get("errors") or ()
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    return {
        "error": {
            "message": problem["detail"],
            "type": kind,
            # A parameter's own name: theirs says nothing of where it stands.
            "param": (errors[0]["field"].removeprefix("query.") or None) if errors else None,
            "code": problem["code"],
        }
    }


def _detail(problem: Problem) -> dict[str, Any]:
    """`{"detail"}`, as FastAPI writes it, and our code beside it."""
    return {"detail": problem["detail"], "code": problem["code"]}


_RPC = {400: -32600, 404: -32601, 405: -32601, 413: -32600, 415: -32600, 422: -32602}


def _rpc_body(problem: Problem) -> dict[str, Any]:
    """An error of JSON-RPC whose request nobody has read."""
    code = -32700 if problem["code"] == "bad_json" else _RPC.get(problem["status"], -32000)
    told = {"code": problem["code"], "title": problem["title"]}
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": problem["detail"], "data": told}}


def _message(problem: Problem) -> dict[str, Any]:
    """Ours, with `message` beside it: LangChain's JavaScript shows nothing else of a refused stream."""
    return {**problem, "message": problem["detail"]}


OURS = Form(PROBLEM_JSON, dict)
_LANGSERVE = Form(PROBLEM_JSON, _message)


def _once(problem: Problem) -> dict[str, str]:
    """SDKs try conflicts and faults again by themselves; they are told where that cannot help."""
    helps = problem["status"] in {429, 503} or problem["code"] == "thread_busy"
    return {} if helps else {"X-Should-Retry": "false"}


def _run_error(problem: Problem) -> dict[str, Any]:
    """AG-UI has no form for a run that does not begin; clients read that of one that fails."""
    return {"type": "RUN_ERROR", "message": problem["detail"], "code": problem["code"]}


# By our code; of the rest, by status.
_RPC_CODES = {
    "bad_json": -32700,
    "json_too_deep": -32700,
    "not_json_rpc": -32600,
    "unknown_method": -32601,
    "run_not_found": -32001,
    "run_ended": -32002,
    "push_not_served": -32003,
    "task_not_waiting": -32004,
    "a2a_not_installed": -32004,
    "output_not_served": -32005,
    "version_not_served": -32009,
}
_RPC_REASONS = {
    -32001: "TASK_NOT_FOUND",
    -32002: "TASK_NOT_CANCELABLE",
    -32003: "PUSH_NOTIFICATION_NOT_SUPPORTED",
    -32004: "UNSUPPORTED_OPERATION",
    -32005: "CONTENT_TYPE_NOT_SUPPORTED",
    -32009: "VERSION_NOT_SUPPORTED",
    -32600: "INVALID_REQUEST",
    -32601: "METHOD_NOT_FOUND",
    -32602: "INVALID_PARAMS",
    -32603: "INTERNAL_ERROR",
    -32700: "INVALID_REQUEST",
}


def rpc_error(problem: Problem, rpc_id: Any = None) -> dict[str, Any]:
    """A2A's answer of JSON-RPC, with our code in the details that its SDKs show (google.rpc.ErrorInfo)."""
    status = problem["status"]
    other = -32603 if status >= 500 else -32004 if status == 409 else -32602
    number = _RPC_CODES.get(problem["code"], other)
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": _RPC_REASONS[number],
        "domain": "a2a-protocol.org",
        "metadata": {"code": problem["code"], "status": str(status)},
    }
    error = {"code": number, "message": problem["detail"], "data": [info]}
    return {"jsonrpc": "2.0", "id": rpc_id, "error": error}


_FORMS = {
    # OpenAI's API, and so its clients, have 400 for all that is wrong with a request.
    "/v1": Form(JSON, openai_body, _once, lambda status: 400 if status == 422 else status),
    "/langgraph": Form(JSON, _detail),
    "/mcp": Form(JSON, _rpc_body),
    "/agent": _LANGSERVE,
    "/chat": _LANGSERVE,
    "/ag-ui": Form(JSON, _run_error),
    "/a2a": Form(JSON, rpc_error),
}
# Whose root is a route too.
_ROOTS = frozenset({"/mcp", "/ag-ui", "/a2a"})


def form_at(path: str) -> Form:
    """The form of errors at this path."""
    root, _, rest = path.removeprefix("/").partition("/")
    found = _FORMS.get(f"/{root}")
    return found if found is not None and (rest or f"/{root}" in _ROOTS) else OURS
