"""The only table of code -> HTTP status, and the body of every error answer (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from core.errors import Internal, InvalidInput, NotAllowed, NotFound, TooLarge, Unavailable, WaystationError
from server.protocols.refusals import form_at

CLIENT_WENT_AWAY = 499  # for our log alone
UNKNOWN_FIELD = "there is no such field; /docs shows those that there are"


class BadJson(InvalidInput):
    """The body is not JSON, or JSON of a kind that is not accepted."""

    code = "bad_json"
    title = "The body is not acceptable JSON"


class TooDeep(BadJson):
    """The JSON body nests deeper than the limit."""

    code = "json_too_deep"
    title = "The JSON body nests too deep"


class BodyTooLarge(TooLarge):
    """The request body is over its limit."""

    code = "body_too_large"
    title = "The request body is too large"


class BadHttp(InvalidInput):
    """What came is no HTTP request."""

    code = "bad_http"
    title = "This is no HTTP request"


class HeadTooLarge(TooLarge):
    """The request line and headers are over their limit, or have no end."""

    code = "headers_too_large"
    title = "The request's headers are too large"


class RequestTooSlow(InvalidInput):
    """Headers or body of the request did not come in time."""

    code = "request_too_slow"
    title = "The request came too slowly"


class WrongMediaType(InvalidInput):
    """The body's content type is not one that this route reads."""

    code = "unsupported_media_type"
    title = "The content type is not accepted"


class InvalidRequest(InvalidInput):
    """A field of the request does not validate; `field` says which, for clients that read this apart."""

    code = "invalid_request"
    title = "A field of the request is not valid"

    def __init__(self, detail: str = "", *, field: str = "") -> None:
        super().__init__(detail)
        self.field = field


class UnsupportedParameter(InvalidInput):
    """A client asks, in a field of its body, for what its protocol has and this service does not do."""

    code = "unsupported_parameter"
    title = "This service does not do that"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field


class RouteNotFound(NotFound):
    """No route has this path."""

    code = "no_such_route"
    title = "There is no such route"


class MethodNotAllowed(InvalidInput):
    """The path exists, with another method."""

    code = "method_not_allowed"
    title = "The method is not allowed here"


class HostRefused(NotAllowed):
    """The request was made under a name that is not ours (see server.auth)."""

    code = "host_refused"
    title = "The request names a host or origin that is not this service"


class Misdirected(HostRefused):
    """The request was made under a host name that is not ours."""

    code = "host_misdirected"
    title = "The request's Host names another service"


class SessionUnconfirmed(NotAllowed):
    """A request with a browser's login would change something, and lacks the header of the console."""

    code = "session_unconfirmed"
    title = "A login of a browser needs one more header"


class BindRefused(NotAllowed):
    """The service would be open to the network with nobody having to log in."""

    code = "bind_refused"
    title = "The address is not on this machine"


class AddressInUse(Unavailable):
    """Another process listens on the address."""

    code = "address_in_use"
    title = "The address is in use"


STATUS: Mapping[str, int] = {
    # core
    "error": 500,
    "invalid_input": 422,
    "config_invalid": 500,
    "too_large": 413,
    "not_found": 404,
    "not_allowed": 403,
    "conflict": 409,
    "unavailable": 503,
    "storage_unavailable": 503,
    "timed_out": 504,
    "internal": 500,
    # core.access, core.identity
    "not_authenticated": 401,
    "scope_missing": 403,
    "key_not_found": 404,
    "key_exceeds_rights": 403,
    "identity_unavailable": 503,
    # server
    "bad_json": 400,
    "json_too_deep": 400,
    "bad_http": 400,
    "body_too_large": 413,
    "headers_too_large": 431,
    "request_too_slow": 408,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "unsupported_parameter": 422,
    "response_in_thread": 409,
    "resource_too_large": 413,
    "no_such_route": 404,
    "method_not_allowed": 405,
    "host_refused": 403,
    "host_misdirected": 421,
    "session_unconfirmed": 403,
    "bind_refused": 500,
    "address_in_use": 500,
    "not_offered": 501,
    "assistant_not_found": 404,
    "plan_not_found": 404,
    "item_not_found": 404,
    "items_total_reached": 403,
    "approval_needed": 409,
    "thread_exists": 409,
    "a2a_not_installed": 501,
    "not_json_rpc": 400,
    "unknown_method": 404,
    "version_not_served": 400,
    "output_not_served": 422,
    "push_not_served": 501,
    "task_not_waiting": 409,
    # core.lifecycle, core.resilience, core.task_queue, core.events
    "module_not_started": 503,
    "circuit_open": 503,
    "target_busy": 503,
    "dependency_timed_out": 504,
    "unknown_task": 422,
    "task_arguments_invalid": 422,
    "task_not_found": 404,
    "task_ended": 409,
    "webhook_unavailable": 503,
    "webhook_refused": 502,
    "webhook_not_allowed": 422,
    # graph
    "thread_not_found": 404,
    "thread_busy": 409,
    "thread_waiting": 409,
    "queue_full": 429,
    "lease_lost": 409,
    "run_not_found": 404,
    "run_ended": 409,
    "run_abandoned": 500,
    "idempotency_key_reused": 422,
    "already_answered": 409,
    "nothing_to_resume": 409,
    "invalid_id": 422,
    "message_too_long": 413,
    "too_many_runs": 429,
    "thread_total_reached": 403,
    "draining": 503,
    "no_worker": 503,
    "step_invalid": 500,
    "step_limit": 422,
    "turn_timed_out": 504,
    "checkpoint_not_found": 404,
    "message_not_found": 404,
    "export_invalid": 422,
    "copy_refused": 409,
    "backup_invalid": 422,
    # nodes.config
    "unknown_model": 422,
    "unknown_source": 422,
    "unknown_tool": 422,
    "unknown_config_part": 422,
    "schema_not_written": 422,
    # nodes.file_storage
    "file_not_found": 404,
    "file_too_large": 413,
    "file_total_reached": 413,
    "no_direct_uploads": 409,
    "invalid_file": 422,
    "link_invalid": 403,
    "link_expired": 403,
    "range_not_satisfiable": 416,
    "storage_refused": 503,
    "storage_busy": 503,
    "storage_timed_out": 504,
    # nodes.rag
    "source_not_found": 404,
    "source_unavailable": 503,
    "vectors_differ": 503,
    "source_timed_out": 504,
    "source_refused": 403,
    "source_rejected": 502,
    "source_busy": 503,
    "not_ingestable": 422,
    "index_busy": 409,
    "index_written_elsewhere": 409,
    "index_broken": 503,
    "questions_invalid": 422,
    "below_floor": 409,
    "query_not_accepted": 400,
    "source_loop": 508,
    # nodes.mcp_tools
    "unknown_server": 404,
    "plugin_not_found": 404,
    "plugin_too_large": 422,
    "unknown_tool_of_server": 404,
    "tool_server_down": 503,
    "tool_server_gone": 503,
    "tool_server_failed": 503,
    "tool_timed_out": 504,
    "tool_result_too_large": 413,
    "tool_refused": 422,
    "tool_http_refused": 422,
    "tool_answer_unreadable": 502,
    "tool_arguments_too_large": 413,
    "not_mcp": 502,
    "tool_failed": 502,
    # nodes.llm
    "model_not_found": 404,
    "model_refused": 502,
    "answer_mismatch": 502,
    "model_context_full": 422,
    "model_unavailable": 503,
    "model_rate_limited": 503,
    "model_stream_cut": 502,
    "model_timed_out": 504,
}


def status_of(error: WaystationError | type[WaystationError]) -> int:
    """The HTTP status of an error; a plugin's own code takes that of the nearest parent."""
    cls = error if isinstance(error, type) else type(error)
    for parent in cls.__mro__:
        code = str(getattr(parent, "code", ""))
        if code in STATUS:
            return STATUS[code]
    return 500


def problem(
    error: WaystationError, *, instance: str | None = None, errors: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The problem+json body of an error."""
    body: dict[str, Any] = {
        "type": f"urn:waystation:error:{error.code}",
        "title": error.title,
        "status": status_of(error),
        "detail": error.detail,
        "code": error.code,
    }
    if instance:
        body["instance"] = instance
    return {**body, "errors": list(errors)} if errors else body


def problem_response(
    error: WaystationError, *, instance: str | None = None, errors: Sequence[Mapping[str, Any]] = ()
) -> Response:
    """The whole answer in the form of the path `instance`, with Retry-After where waiting may help."""
    body, form = problem(error, instance=instance, errors=errors), form_at(instance or "")
    headers, status = dict(form.headers(body)), form.status(body["status"])
    if body["status"] == 401:
        headers["WWW-Authenticate"] = getattr(error, "challenge", "Bearer")
    if body["status"] in (429, 503) or (body["status"] == 409 and error.retryable):
        wait = getattr(error, "retry_after", None)
        headers["Retry-After"] = str(max(1, math.ceil(wait)) if wait else 1)
    return Response(orjson.dumps(form.body(body)), status, headers, form.media)


def findings(raw: Sequence[Any]) -> list[dict[str, str]]:
    """Validation findings for clients: where and what, never the value that was sent."""
    found = []
    for item in raw[:20]:
        if isinstance(item, Mapping):
            where = ".".join(str(part) for part in item.get("loc", ()) if part != "body")
            unknown = item.get("type") == "extra_forbidden"
            message = UNKNOWN_FIELD if unknown else str(item.get("msg", "is not valid"))
            found.append({"field": where, "message": message})
        else:
            found.append({"field": "", "message": str(item)})
    return found


def invalid(raw: Sequence[Any]) -> tuple[InvalidRequest, list[dict[str, str]]]:
    """One error with its findings from pydantic's list."""
    found = findings(raw)
    first = found[0] if found else {"field": "", "message": "the request is not valid"}
    where = f"{first['field']}: " if first["field"] else ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return InvalidRequest(f"{where}{first['message']}{more}"), found


def install(app: FastAPI) -> None:
    """Answer every exception with problem+json, or in the form of a protocol."""
    app.add_exception_handler(WaystationError, _waystation)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


async def _waystation(request: Request, exc: Exception) -> Response:
    error = cast(WaystationError, exc)
    field = getattr(error, "field", "")
    errors = [{"field": field, "message": error.detail}] if field else []
    if status_of(error) >= 500:
        structlog.get_logger().warning("request_failed", code=error.code, path=request.url.path)
    return problem_response(error, instance=request.url.path, errors=errors)


async def _validation(request: Request, exc: Exception) -> Response:
    error, found = invalid(cast(RequestValidationError, exc).errors())
    return problem_response(error, instance=request.url.path, errors=found)


async def _http(request: Request, exc: Exception) -> Response:
    http = cast(HTTPException, exc)
    path = request.url.path
    if http.status_code == 404:
        return problem_response(RouteNotFound(f"no route '{path[:200]}'; see /docs"), instance=path)
    if http.status_code == 405:
        detail = f"{request.method} is not allowed on '{path[:200]}'"
        answer = problem_response(MethodNotAllowed(detail), instance=path)
        answer.headers.update(http.headers or {})
        return answer
    if http.status_code < 500:
        error: WaystationError = InvalidRequest(str(http.detail))
    else:
        error = Internal()
    return problem_response(error, instance=path)
