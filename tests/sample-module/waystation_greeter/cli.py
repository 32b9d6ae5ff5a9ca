"""`waystation greeter`: greetings on the command line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from waystation import JsonFlag, command, make_app, open_module, print_json, print_table
from waystation_greeter.greeter import Greeter

app = make_app("greeter", "Greet people.")


@asynccontextmanager
async def _greeter() -> AsyncIterator[Greeter]:
    from waystation_greeter.module import MODULE  # module.py names this app

    container = open_module(MODULE)
    try:
        yield await container.get(Greeter)
    finally:
        await container.close()


@app.command()
@command
async def hello(
    name: Annotated[str, typer.Argument(help="Whom to greet.")],
    language: Annotated[str, typer.Option(help="One of `languages`.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Greet NAME."""
    async with _greeter() as greeter:
        text = greeter.greet(name, language=language)
    print_json({"text": text}) if as_json else print(text)


@app.command()
@command
async def languages(as_json: JsonFlag = False) -> None:
    """List the languages that there is a greeting in."""
    async with _greeter() as greeter:
        found = greeter.languages
    print_json(found) if as_json else print_table(["LANGUAGE"], [[one] for one in found], empty="none")
