"""Which tools there are, and the call of one: what goes wrong in it is an answer that its model reads."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError

from core.errors import WaystationError
from core.signals import Signals
from server.errors import invalid
from server.protocols.mcp import asking, gateway, results, rpc, searching
from server.protocols.mcp.exchange import Exchange

_Work = Callable[[], Coroutine[Any, Any, rpc.Result]]
_OWN = {asking.NAME: asking.ask, searching.NAME: searching.search}


async def listing(x: Exchange) -> rpc.Result:
    """`tools/list`; all of them on one page."""
    found = [asking.TOOL]
    if x.agent.has("rag"):
        found.append(searching.TOOL)
    if x.gateway:
        found += [tool for tool in await gateway.tools(x) if tool["name"] not in _OWN]
    return {"tools": found}


async def call(x: Exchange) -> rpc.Result:
    """`tools/call`, until it is done or the client takes it back.

    Raises:
        Refusal: There is no such tool, or the request was taken back.
    """
    name, arguments = x.params.get("name"), x.params.get("arguments")
    if not isinstance(name, str):
        raise rpc.Refusal(rpc.INVALID_PARAMS, "name must be the name of a tool; tools/list has them")
    if arguments is not None and not isinstance(arguments, dict):
        raise rpc.Refusal(rpc.INVALID_PARAMS, "arguments must be an object")
    return await _until_cancelled(x, partial(_called, x, name, arguments or {}))


async def come_back(x: Exchange) -> rpc.Result:
    """The rest of an `ask` whose stream was lost.

    Raises:
        Refusal: The request was taken back.
    """
    return await _until_cancelled(x, partial(_answered, partial(asking.come_back, x)))


async def _until_cancelled(x: Exchange, do: _Work) -> rpc.Result:
    """Do it until it is done, or the client takes its request back.

    Raises:
        Refusal: The request was taken back.
    """
    work = asyncio.ensure_future(do())
    signals = await x.agent.container.get(Signals)
    with signals.listen(cancel_topic(x.session.nonce, x.message.key)) as ear:
        heard = asyncio.ensure_future(ear.heard())
        try:
            await asyncio.wait([work, heard], return_when=asyncio.FIRST_COMPLETED)
            x.cancelled = not work.done()
        finally:
            for task in (work, heard):
                task.cancel()
            await asyncio.gather(work, heard, return_exceptions=True)
    if x.cancelled:
        raise rpc.Refusal(rpc.CANCELLED, "the request was cancelled")
    return work.result()


async def _answered(do: _Work) -> rpc.Result:
    """What is refused is an answer too, which the client's model reads."""
    try:
        return await do()
    except RequestValidationError as error:
        return results.failed(invalid(error.errors())[0])
    except WaystationError as error:
        return results.failed(error)


async def _called(x: Exchange, name: str, arguments: Mapping[str, Any]) -> rpc.Result:
    if own := _OWN.get(name):
        return await _answered(partial(own, x, arguments))
    if x.gateway and await gateway.has(x, name):
        return await _answered(partial(gateway.call, x, name, arguments))
    raise rpc.Refusal(
        rpc.INVALID_PARAMS, f"there is no tool '{name[:100]}'; tools/list has those that there are"
    )


def cancel_topic(nonce: str, key: object) -> str:
    """What is sent through all processes when a client takes a request back."""
    return f"mcp:cancel:{hashlib.sha256(orjson.dumps([nonce, key])).hexdigest()}"
