"""`waystation llm ...`, also `python -m nodes.llm.cli`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from langchain_core.messages import HumanMessage

from core.cli import JsonFlag, command, make_app, print_fields, print_json, print_table
from core.container import open_module
from core.errors import InvalidInput
from nodes.llm.caller import LLMCaller
from nodes.llm.examples import EXAMPLE_TOOLS
from nodes.llm.models import LLMRequest, LLMResponse, Model

app = make_app("llm", "Call language models.")

ModelName = Annotated[str, typer.Argument(help="Display name, such as 'offline'; see `models`.")]
Text = Annotated[str, typer.Argument(help="What to say to it.")]


@asynccontextmanager
async def caller() -> AsyncIterator[LLMCaller]:
    """The module's client, from this module's configuration alone."""
    from nodes.llm.module import MODULE  # noqa: PLC0415 - module.py imports this file

    container = open_module(MODULE)
    try:
        yield await container.get(LLMCaller)
    finally:
        await container.close()


@app.command("call")
@command
async def call(model: ModelName, text: Text, as_json: JsonFlag = False) -> None:
    """Say TEXT to MODEL and print its answer as it comes."""
    await _say(LLMRequest(model=model, messages=[HumanMessage(content=text)]), as_json=as_json)


@app.command("call-with-tools")
@command
async def call_with_tools(
    model: ModelName,
    text: Text,
    tools: Annotated[
        str, typer.Option(help="Names of example tools (add,now), or a JSON file of schemas.")
    ] = "add,now",
    as_json: JsonFlag = False,
) -> None:
    """Offer tools to MODEL and print which calls it wants to make; nothing is executed."""
    schemas = tool_schemas(tools)
    await _say(LLMRequest(model=model, messages=[HumanMessage(content=text)], tools=schemas), as_json=as_json)


@app.command("models")
@command
async def models(as_json: JsonFlag = False) -> None:
    """List the models; the default is marked."""
    async with caller() as llm:
        rows = [_described(model, default=name == llm.default()) for name, model in llm.entries().items()]
    if as_json:
        print_json(rows)
        return
    columns = ("", "name", "model", "tools", "groups", "description")
    print_table(
        columns,
        [
            (
                "*" if r["default"] else "",
                r["name"],
                r["model"],
                "yes" if r["tools"] else "no",
                ", ".join(r["groups"]),
                r["description"],
            )
            for r in rows
        ],
    )


@app.command("ping")
@command
async def ping(
    model: Annotated[str, typer.Argument(help="One model; all when left out.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Ask the endpoints whether they answer; spends no token. Exit 1 if one does not."""
    async with caller() as llm:
        answers = await llm.ping(model)
    if as_json:
        print_json([{"model": name, "ok": not reason, "reason": reason} for name, reason in answers.items()])
    else:
        print_table(("model", "answers"), [(name, reason or "yes") for name, reason in answers.items()])
    if any(answers.values()):
        raise typer.Exit(1)


def tool_schemas(wanted: str) -> list[Mapping[str, Any]]:
    """Schemas of example tools by name, or those of a JSON file."""
    if wanted.endswith(".json"):
        return _read_schemas(Path(wanted))
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in EXAMPLE_TOOLS:
            raise InvalidInput(
                f"no example tool '{name}'; known: {', '.join(EXAMPLE_TOOLS)}, or a .json file"
            )
    return [EXAMPLE_TOOLS[name] for name in names]


def _read_schemas(path: Path) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"'{path.name}' cannot be read as JSON") from error
    listed = found if isinstance(found, list) else [found]
    for schema in listed:
        if not (
            isinstance(schema, dict)
            and isinstance(schema.get("function"), dict)
            and schema["function"].get("name")
        ):
            raise InvalidInput(
                f"'{path.name}' must hold OpenAI function schemas: [{{type, function: {{name, ...}}}}]"
            )
    return listed


async def _say(request: LLMRequest, *, as_json: bool) -> None:
    async with caller() as llm, aclosing(cast(Any, llm.stream(request))) as items:
        async for item in items:
            if isinstance(item, LLMResponse):
                _finish(item, as_json=as_json)
            elif not as_json:
                sys.stdout.write(item.text)
                sys.stdout.flush()


def _finish(response: LLMResponse, *, as_json: bool) -> None:
    wanted = [{"id": c["id"], "name": c["name"], "arguments": c["args"]} for c in response.tool_calls]
    if as_json:
        print_json({"text": response.text, "tool_calls": wanted, "usage": response.usage.as_json()})
        return
    if response.text:
        print()
    for one in wanted:
        print_fields({"wants": f"{one['name']}({json.dumps(one['arguments'], ensure_ascii=False)})"})


def _described(model: Model, *, default: bool) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.entry.model_name if model.entry else model.name,
        "default": default,
        "tools": model.supports_tools,
        "groups": model.groups,
        "description": model.description,
    }


if __name__ == "__main__":
    app()
