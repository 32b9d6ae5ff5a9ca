"""JSON-RPC 2.0 as MCP uses it: one message each time, no batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import orjson

from core.errors import NotFound, WaystationError
from core.foreign import as_bytes

PARSE = -32700
INVALID_REQUEST = -32600
NO_METHOD = -32601
INVALID_PARAMS = -32602
INTERNAL = -32603
OURS = -32000
NO_RESOURCE = -32002
"""No such resource; up to 2025-11-25. Later it is INVALID_PARAMS."""
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022
CANCELLED = -32800

# Our codes for what only this protocol refuses.
_CODES = {
    PARSE: "bad_json",
    NO_METHOD: "unknown_method",
    UNSUPPORTED_VERSION: "unsupported_parameter",
    CANCELLED: "run_ended",
}

RequestId = str | int
Result = dict[str, Any]
_LONGEST_ID = 1000


class Refusal(Exception):
    """A request is answered with an error of JSON-RPC.

    Args:
        status: Of HTTP, where the protocol says one.
    """

    def __init__(
        self, code: int, message: str, *, data: Mapping[str, Any] | None = None, status: int = 200
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = status


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the client.

    Args:
        kind: A response answers a question of ours.
        key: Its id; None of a notification.
        body: All of it.
    """

    kind: Literal["request", "notification", "response"]
    key: RequestId | None
    method: str
    params: Mapping[str, Any]
    body: Mapping[str, Any]

    @property
    def meta(self) -> Mapping[str, Any]:
        """What is said beside the parameters."""
        found = self.params.get("_meta")
        return found if isinstance(found, Mapping) else {}


def read(data: bytes) -> Message:
    """The message.

    Raises:
        Refusal: It is none.
    """
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Refusal(PARSE, f"this is not JSON: {error.msg}", status=400) from None
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
        raise Refusal(INVALID_REQUEST, 'send one JSON-RPC object with "jsonrpc": "2.0"', status=400)
    key, method, params = body.get("id"), body.get("method"), body.get("params")
    if "id" in body and not is_id(key):
        raise Refusal(INVALID_REQUEST, "id must be a text or a whole number", status=400)
    if method is None and ("result" in body or "error" in body):
        return Message("response", key, "", {}, body)
    if not isinstance(method, str):
        raise Refusal(INVALID_REQUEST, "method must be a text", status=400)
    if params is not None and not isinstance(params, dict):
        raise Refusal(INVALID_PARAMS, "params must be an object", status=400)
    return Message("notification" if key is None else "request", key, method, params or {}, body)


def is_id(key: object) -> TypeGuard[RequestId]:
    """Whether it may be the id of a request."""
    if isinstance(key, str):
        return len(key) <= _LONGEST_ID
    return isinstance(key, int) and not isinstance(key, bool)


def answer(key: RequestId | None, result: Mapping[str, Any]) -> bytes:
    return as_bytes({"jsonrpc": "2.0", "id": key, "result": result})


def failure(key: RequestId | None, refusal: Refusal) -> bytes:
    code = _CODES.get(refusal.code, "invalid_request")
    error = {
        "code": refusal.code,
        "message": refusal.message,
        "data": {"code": code, **(refusal.data or {})},
    }
    return as_bytes({"jsonrpc": "2.0", "id": key, "error": error})


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    return as_bytes({"jsonrpc": "2.0", "method": method, "params": params})


def request(key: str, method: str, params: Mapping[str, Any]) -> bytes:
    return as_bytes({"jsonrpc": "2.0", "id": key, "method": method, "params": params})


def refusal_of(error: WaystationError) -> Refusal:
    """An error of ours where nothing but an error of JSON-RPC can tell it."""
    code = INVALID_PARAMS if isinstance(error, NotFound) else OURS
    return Refusal(code, error.detail, data={"code": error.code, "title": error.title})
