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
    """

    media: str
    body: Callable[[Problem], Mapping[str, Any]]
    headers: Callable[[Problem], Mapping[str, str]] = lambda _: {}


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_body(problem: Problem) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}`, of which the SDKs make their errors."""
    status, errors = problem["status"], problem.get("errors") or ()
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    return {
        "error": {
            "message": problem["detail"],
            "type": kind,
            "param": (errors[0]["field"] or None) if errors else None,
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


_FORMS = {
    "/v1": Form(JSON, openai_body, _once),
    "/langgraph": Form(JSON, _detail),
    "/mcp": Form(JSON, _rpc_body),
    "/agent": _LANGSERVE,
    "/chat": _LANGSERVE,
}
# Those whose root is a path of theirs.
_ONE_PATH = frozenset({"/mcp"})


def form_at(path: str) -> Form:
    """The form of errors at this path."""
    root, _, rest = path.removeprefix("/").partition("/")
    found = _FORMS.get(f"/{root}")
    return found if found is not None and (rest or f"/{root}" in _ONE_PATH) else OURS
