"""MCP over streamable HTTP: `POST /mcp`, a message each time. No stream for its own sake: GET is for who
has lost one.

What was read of a request is answered with 200 where the protocol lets us, also a refusal: clients of the
Python SDK 1 lose their whole session by any other status (mcp 1.30).
"""

from __future__ import annotations

import binascii
import re
import secrets
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import HTTPException, Request, Response

from core.access import Principal
from core.errors import InvalidInput, WaystationError
from core.settings.platform import ServerSettings
from graph.agent import Agent
from graph.errors import RunNotFound
from server.errors import status_of
from server.middleware.auth import Caller
from server.protocols.mcp import methods, people, rpc
from server.protocols.mcp.exchange import (
    CAPABILITIES_KEY,
    HANDSHAKE,
    MODERN,
    VERSION_KEY,
    Exchange,
    Session,
    StreamPosition,
    Tell,
    gateway_of,
)
from server.protocols.mcp.reply import Reply
from server.protocols.mcp.rpc import Message, Refusal
from server.protocols.mcp.seals import Seals
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

router = wire_router("mcp")

PATH = "/mcp"
SESSION_HEADER = "Mcp-Session-Id"
_VERSION = "mcp-protocol-version"
_ROUTING = (_VERSION, "mcp-method", "mcp-name")
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ENCODED = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=")
# Of HTTP, from 2026-07-28 on; anything else is 200.
_STATUS = {
    rpc.PARSE: 400,
    rpc.INVALID_REQUEST: 400,
    rpc.INVALID_PARAMS: 400,
    rpc.HEADER_MISMATCH: 400,
    rpc.UNSUPPORTED_VERSION: 400,
    rpc.NO_METHOD: 404,
}


@dataclass(frozen=True, slots=True)
class _Call:
    """A request of HTTP with its message."""

    request: Request
    agent: Agent
    who: Principal
    seals: Seals
    message: Message

    def exchange(self, session: Session, tell: Tell) -> Exchange:
        gateway = gateway_of(self.agent)
        return Exchange(self.agent, self.who, self.seals, session, self.message, tell, gateway=gateway)


@router.post(PATH)
async def post(request: Request, agent: OpenAgent, who: Caller) -> Response:
    """One message of a client, in either dialect."""
    key = None
    try:
        _check_accepted(request)
        message = rpc.read(await request.body())
        key = message.key
        call = _Call(request, agent, who, await Seals.of(agent), message)
        return await (_modern(call) if _is_modern(call) else _handshake(call))
    except Refusal as refusal:
        return _json(rpc.failure(key, refusal), refusal.status)


@router.get(PATH)
async def come_back(request: Request, agent: OpenAgent, who: Caller) -> Response:
    """The rest of an `ask` whose stream was lost, behind the place that `Last-Event-ID` names."""
    last = request.headers.get("last-event-id")
    if not last:
        raise HTTPException(405, headers={"Allow": "POST"})
    try:
        _check_version(request)
        spot, seals = StreamPosition.of(last), await Seals.of(agent)
        meta = {} if spot.token is None else {"progressToken": spot.token}
        message = Message("request", spot.key, "tools/call", {"_meta": meta}, {})
        call = _Call(request, agent, who, seals, message)
        x = call.exchange(_session(call), _mute)
        await agent.runs.get(who, spot.run)
    except RunNotFound:
        refusal = Refusal(rpc.INVALID_REQUEST, "there is no such stream to come back to", status=404)
        return _json(rpc.failure(None, refusal), refusal.status)
    except Refusal as refusal:
        return _json(rpc.failure(None, refusal), refusal.status)
    x.resumable, x.spot = True, spot
    return _long(x, methods.come_back, at_once=True)


def _check_accepted(request: Request) -> None:
    given = request.headers.get("accept", "")
    types = {part.partition(";")[0].strip().lower() for part in given.split(",")}
    whole, stream = {"application/json", "application/*"}, {"text/event-stream", "text/*"}
    if "*/*" not in types and not (types & whole and types & stream):
        told = "the header Accept must name both application/json and text/event-stream"
        raise Refusal(rpc.INVALID_REQUEST, told, status=406)


def _is_modern(call: _Call) -> bool:
    return call.request.headers.get(_VERSION) in MODERN or VERSION_KEY in call.message.meta


# -- up to 2025-11-25 ---------------------------------------------------------------------------------


async def _handshake(call: _Call) -> Response:
    message = call.message
    _check_version(call.request)
    if message.method == "initialize" and message.key is not None:
        session, told = methods.handshake(message.params, secrets.token_urlsafe(9))
        sealed = call.seals.seal("session", call.who.id, session.as_words())
        return _json(rpc.answer(message.key, told), headers={SESSION_HEADER: sealed})
    session = _session(call)
    if message.kind == "request":
        return await _requested(call, session)
    if message.kind == "response":
        return await _heard(call)
    await methods.noted(call.exchange(session, _mute))
    return Response(status_code=202)


def _check_version(request: Request) -> None:
    version = request.headers.get(_VERSION)
    if version is not None and version not in HANDSHAKE:
        known = ", ".join((*HANDSHAKE, *MODERN))
        told = f"the protocol version '{version[:40]}' is not spoken here; {known} are"
        raise Refusal(rpc.INVALID_REQUEST, told, status=400)


def _session(call: _Call) -> Session:
    given = call.request.headers.get(SESSION_HEADER)
    if not given:
        told = f"the header {SESSION_HEADER} is missing; begin with initialize"
        raise Refusal(rpc.INVALID_REQUEST, told, status=400)
    words = call.seals.open("session", call.who.id, given)
    if words is None:
        raise Refusal(rpc.INVALID_REQUEST, "there is no such session; begin with initialize", status=404)
    return Session.of(words)


async def _heard(call: _Call) -> Response:
    """The answer to a question of ours. One that is for nothing any more is taken, and goes nowhere."""
    try:
        await people.hear(call.agent, call.who, call.seals, call.message)
    except InvalidInput:
        pass
    except WaystationError as error:
        refusal = rpc.refusal_of(error)
        return _json(rpc.failure(call.message.key, refusal), status_of(error))
    return Response(status_code=202)


# -- from 2026-07-28 on -------------------------------------------------------------------------------


async def _modern(call: _Call) -> Response:
    message = call.message
    if message.kind == "response":
        raise Refusal(rpc.INVALID_REQUEST, "answers come with the call that is made again", status=400)
    if message.kind == "notification":
        return Response(status_code=202)  # hanging up is what takes a request back
    version, capabilities = _envelope(call)
    session = Session(version, elicits=methods.can_elicit(capabilities), nonce=secrets.token_urlsafe(9))
    return await _requested(call, session)


def _envelope(call: _Call) -> tuple[str, object]:
    """The version and what the client can do; headers say the same as the body, for who routes by them.

    Raises:
        Refusal: They do not, or the version is not spoken here.
    """
    meta, headers = call.message.meta, call.request.headers
    missing = [name for name in (VERSION_KEY, CAPABILITIES_KEY) if name not in meta]
    if missing:
        raise Refusal(rpc.INVALID_PARAMS, f"params._meta needs {', '.join(missing)}", status=400)
    for name in _ROUTING:
        if len(headers.getlist(name)) > 1:
            raise Refusal(rpc.HEADER_MISMATCH, f"the header {name} comes more than once", status=400)
    version = meta[VERSION_KEY]
    _same(headers, _VERSION, version)
    _same(headers, "mcp-method", call.message.method)
    named = call.message.params.get(_NAMED.get(call.message.method, ""))
    if named is not None:
        _same(headers, "mcp-name", named)
    if version not in MODERN:
        told = {"supported": [*MODERN, *HANDSHAKE], "requested": version}
        raise Refusal(
            rpc.UNSUPPORTED_VERSION, "this protocol version is not spoken here", data=told, status=400
        )
    return str(version), meta[CAPABILITIES_KEY]


def _same(headers: Mapping[str, str], name: str, wanted: object) -> None:
    if _decoded(headers.get(name)) != wanted:
        told = f"the header {name} does not say the same as the body"
        raise Refusal(rpc.HEADER_MISMATCH, told, status=400)


def _decoded(value: str | None) -> str | None:
    """A header's text; what ASCII has no letters for comes as `=?base64?...?=`."""
    found = _ENCODED.fullmatch(value) if value else None
    if found is None:
        return value
    try:
        return b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


# -- both ---------------------------------------------------------------------------------------------


async def _requested(call: _Call, session: Session) -> Response:
    x = call.exchange(session, _mute)
    if call.message.method in methods.LONG:
        x.resumable = session.resumes
        return _long(x, methods.result)
    status, body = await _worked(x, methods.result)
    return _json(body, status)


def _long(x: Exchange, work: methods.Method, *, at_once: bool = False) -> Reply:
    async def done(tell: Tell) -> tuple[int, bytes]:
        x.tell = tell
        return await _worked(x, work)

    stall = x.agent.book[ServerSettings].stream_stall_seconds
    return Reply(done, stall=stall, place=lambda: x.place, at_once=at_once)


async def _worked(x: Exchange, work: methods.Method) -> tuple[int, bytes]:
    try:
        return 200, rpc.answer(x.message.key, await work(x))
    except Refusal as refusal:
        status = _STATUS.get(refusal.code, 200) if x.session.modern else 200
        return status, rpc.failure(x.message.key, refusal)


async def _mute(message: bytes, place: str = "") -> None:
    """What takes no time has nothing to tell before it."""


def _json(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")
