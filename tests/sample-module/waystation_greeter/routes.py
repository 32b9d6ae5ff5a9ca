"""The routes of this module, below `/greeter`."""

# No `from __future__ import annotations`: FastAPI reads the annotations of inner functions at run time.

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from waystation import Principal
from waystation_greeter.greeter import Greeter, Tally


async def greeter_of(request: Request) -> Greeter:
    found: Greeter = await request.state.container.get(Greeter)
    return found


async def tally_of(request: Request) -> Tally:
    found: Tally = await request.state.container.get(Tally)
    return found


def caller_of(request: Request) -> Principal:
    found: Principal = request.state.principal
    return found


def router() -> APIRouter:
    """Greetings over HTTP."""
    router = APIRouter()

    @router.get("/hello")
    async def hello(
        greeter: Annotated[Greeter, Depends(greeter_of)],
        who: Annotated[Principal, Depends(caller_of)],
        language: str = "",
    ) -> dict[str, str]:
        """Greets the caller."""
        return {"text": greeter.greet(who.id, language=language)}

    @router.get("/tally")
    async def tally(tally: Annotated[Tally, Depends(tally_of)]) -> dict[str, int]:
        """How many greetings there were in this process."""
        return {"greeted": tally.greeted}

    return router
