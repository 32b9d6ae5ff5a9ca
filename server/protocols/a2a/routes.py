"""JSON-RPC 2.0 at `POST /a2a`. What goes wrong with a call is its answer, with status 200."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from core.errors import WaystationError
from core.foreign import as_bytes
from server.errors import InvalidRequest, findings, problem
from server.facade import while_connected
from server.middleware.auth import Caller
from server.protocols.a2a import earlier
from server.protocols.a2a.card import ROOT, VERSION
from server.protocols.a2a.errors import NotJsonRpc, SdkMissing, WrongVersion
from server.protocols.a2a.methods import ANSWERS, MethodCall
from server.protocols.a2a.reading import parsed
from server.protocols.refusals import JSON, rpc_error
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

router = wire_router("a2a")


@router.post(ROOT)
async def call_method(request: Request, agent: OpenAgent, who: Caller) -> Response:
    """Call a method."""
    rpc_id: Any = None
    sentence: Callable[[str], str] = str
    try:
        body = await request.json() if await request.body() else None
        rpc_id, method, given = _envelope(body)
        more: dict[str, Any] = {}
        if _is_earlier(request, method):
            sentence = earlier.sentence_of
            method, given = earlier.method_of(method, given)
            more = {"form": earlier.answer_of(method), "told_as": earlier.TOLD_AS}
        call = MethodCall(agent, who, request, rpc_id, parsed(method, given), **more)
        answer = ANSWERS[method](call)
        if method in ("SendStreamingMessage", "SubscribeToTask"):
            found: Response = await answer
            return found
        return await while_connected(request, _answered(answer, call))
    except SdkMissing:
        raise
    except RequestValidationError as error:
        return _refused(rpc_id, _invalid(error), sentence)
    except WaystationError as error:
        return _refused(rpc_id, error, sentence)


async def _answered(work: Any, call: MethodCall) -> Response:
    return _json({"jsonrpc": "2.0", "id": call.rpc_id, "result": call.form(await work)})


def _envelope(body: Any) -> tuple[Any, str, Any]:
    """Id, method and parameters of a request.

    Raises:
        NotJsonRpc: It is none.
    """
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
        raise NotJsonRpc('the body must be an object with "jsonrpc": "2.0"; several at once are not taken')
    rpc_id, method = body.get("id"), body.get("method")
    if isinstance(rpc_id, bool) or not isinstance(rpc_id, str | int | None):
        raise NotJsonRpc("id: must be text, a whole number or null")
    if not isinstance(method, str):
        raise NotJsonRpc("method: must be text")
    return rpc_id, method, body.get("params")


def _is_earlier(request: Request, method: str) -> bool:
    """Whether the client speaks 0.3: as it says, or by the method where it says nothing.

    Raises:
        WrongVersion: It speaks another.
    """
    given = request.headers.get("a2a-version", "").strip()
    if not given:
        return method in earlier.METHODS
    numbers = given.split(".")
    if numbers[:2] == earlier.VERSION.split("."):
        return True
    if numbers[0] != VERSION.partition(".")[0]:
        raise WrongVersion(f"A2A-Version: '{given[:20]}' is not served; {VERSION} and {earlier.VERSION} are")
    return False


def _invalid(error: RequestValidationError) -> WaystationError:
    found = findings(error.errors())
    told = "; ".join(f"{one['field']}: {one['message']}" for one in found[:5])
    return InvalidRequest(told or "the parameters do not fit")


def _refused(rpc_id: Any, error: WaystationError, sentence: Callable[[str], str]) -> Response:
    told = problem(error)
    return _json(rpc_error({**told, "detail": sentence(told["detail"])}, rpc_id))


def _json(value: Any) -> Response:
    return Response(as_bytes(value), media_type=JSON)
