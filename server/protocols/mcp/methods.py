"""What a client may ask for, by method, in the words of either dialect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError

from core.database.outage import log_failure, storage_outage
from core.errors import Internal, WaystationError
from core.installed import installed_version
from core.signals import Signals
from server.errors import invalid
from server.protocols.mcp import prompts, resources, rpc, tools
from server.protocols.mcp.exchange import HANDSHAKE, MODERN, Exchange, Session

log = structlog.get_logger(__name__)

Method = Callable[[Exchange], Awaitable[rpc.Result]]

_INSTRUCTIONS = (
    "An agent with sources, tools and a memory. `ask` is a turn of it: give it a whole question, and "
    "thread_id to go on with a conversation. `search` gives passages alone. Conversations and files are "
    "resources."
)
_CAPABILITIES: Mapping[str, Any] = {"tools": {}, "resources": {}, "prompts": {}}
# What clients could keep for a time: here for none, since rights and lists change.
_KEPT = frozenset(
    {
        *("server/discover", "tools/list", "prompts/list"),
        *("resources/list", "resources/templates/list", "resources/read"),
    }
)


async def _pong(_: Exchange) -> rpc.Result:
    return {}


async def _discover(_: Exchange) -> rpc.Result:
    return {"supportedVersions": list(MODERN), "capabilities": _CAPABILITIES, "instructions": _INSTRUCTIONS}


_BOTH: Mapping[str, Method] = {
    "tools/list": tools.listing,
    "tools/call": tools.call,
    "resources/list": resources.listing,
    "resources/templates/list": resources.templates,
    "resources/read": resources.read,
    "prompts/list": prompts.listing,
    "prompts/get": prompts.get,
}
_HANDSHAKE: Mapping[str, Method] = {**_BOTH, "ping": _pong}
_MODERN: Mapping[str, Method] = {**_BOTH, "server/discover": _discover}
# What may go on for long, and tell of itself meanwhile.
LONG = frozenset({"tools/call"})


async def answered(x: Exchange) -> bytes:
    """The whole answer to a request, whatever comes of it."""
    key = x.message.key
    try:
        return rpc.answer(key, await result(x))
    except rpc.Refusal as refusal:
        return rpc.failure(key, refusal)


async def result(x: Exchange) -> rpc.Result:
    """The result of a request.

    Raises:
        Refusal: It has none.
    """
    name = x.message.method
    method = (_MODERN if x.session.modern else _HANDSHAKE).get(name)
    if method is None:
        raise rpc.Refusal(rpc.NO_METHOD, f"there is no method '{name[:100]}' here", status=404)
    found = await _judged(x, method)
    return _modern(x, found) if x.session.modern else found


async def come_back(x: Exchange) -> rpc.Result:
    """What is left of a call whose stream was lost.

    Raises:
        Refusal: It has no result.
    """
    return await _judged(x, tools.come_back)


async def _judged(x: Exchange, work: Method) -> rpc.Result:
    try:
        return await work(x)
    except RequestValidationError as error:
        raise rpc.refusal_of(invalid(error.errors())[0]) from None
    except WaystationError as error:
        raise rpc.refusal_of(error) from None
    except rpc.Refusal:
        raise
    except Exception as fault:  # a fault of ours must not end the client's session
        log_failure(log, "mcp_request_crashed", fault, method=x.message.method)
        told = storage_outage(fault) or Internal("an unforeseen fault of ours; the log has the details")
        raise rpc.refusal_of(told) from fault


def _modern(x: Exchange, found: rpc.Result) -> rpc.Result:
    kept = {"ttlMs": 0, "cacheScope": "private"} if x.message.method in _KEPT else {}
    meta = {**found.get("_meta", {}), "io.modelcontextprotocol/serverInfo": server_info()}
    return {"resultType": "complete", **kept, **found, "_meta": meta}


def server_info() -> dict[str, Any]:
    return {"name": "waystation", "title": "Waystation", "version": installed_version()}


def handshake(params: Mapping[str, Any], nonce: str) -> tuple[Session, rpc.Result]:
    """The answer to `initialize`, and what is remembered of the client.

    Raises:
        Refusal: It says no version.
    """
    wanted = params.get("protocolVersion")
    if not isinstance(wanted, str):
        raise rpc.Refusal(rpc.INVALID_PARAMS, "initialize needs a protocolVersion")
    version = wanted if wanted in HANDSHAKE else HANDSHAKE[-1]
    session = Session(version, elicits=can_elicit(params.get("capabilities")), nonce=nonce)
    told = {
        "protocolVersion": version,
        "capabilities": _CAPABILITIES,
        "serverInfo": server_info(),
        "instructions": _INSTRUCTIONS,
    }
    return session, told


def can_elicit(capabilities: object) -> bool:
    """Whether the client says that it shows forms; without a word on kinds it does."""
    found = capabilities.get("elicitation") if isinstance(capabilities, Mapping) else None
    return isinstance(found, Mapping) and ("form" in found or "url" not in found)


async def noted(x: Exchange) -> None:
    """A notification: only that a request is taken back means something here."""
    if x.message.method == "notifications/cancelled":
        signals = await x.agent.container.get(Signals)
        signals.send(tools.cancel_topic(x.session.nonce, x.params.get("requestId")))
