"""What the registry learns of this module."""

from __future__ import annotations

import asyncio
from typing import Any

from dishka import AsyncContainer, Provider

from waystation import Book, Health, Module, Step, Unavailable, healthy
from waystation_greeter.cli import app
from waystation_greeter.greeter import Greeter, Tally
from waystation_greeter.places import GUARD, PLACES
from waystation_greeter.settings import FILE, SECTION, GreeterSettings
from waystation_greeter.tasks import GREET_LATER


def _provider() -> Provider:
    from waystation_greeter.provider import GreeterProvider

    return GreeterProvider()


def _routes() -> Any:
    from waystation_greeter.routes import router

    return router()


async def check(container: AsyncContainer) -> Health:
    """How many were greeted, and in which languages it can."""
    greeter, tally = await container.get(Greeter), await container.get(Tally)
    return healthy(greeted=tally.greeted, languages=greeter.languages)


async def start(container: AsyncContainer) -> None:
    """Begin to count; or not, as the settings say."""
    book = await container.get(Book)
    how = book[GreeterSettings].start
    if how == "refused":
        raise Unavailable("nobody is in the mood for greetings; set greeter.start to ready")
    if how == "hangs":
        await asyncio.Event().wait()
    await container.get(Tally)


MODULE = Module(
    name="greeter",
    summary="Greets people",
    version="1.2.0",
    command="greeter",
    cli=app,
    provider=_provider,
    check=check,
    step=Step("greet", "waystation_greeter.node:Greet", after="retrieve"),
    steps=(GUARD, *PLACES),
    sections=(SECTION,),
    files=(FILE,),
    routes=_routes,
    tasks=(GREET_LATER,),
    events=("Greeted",),
    start=start,
    start_seconds=2.0,
    required=False,
)
