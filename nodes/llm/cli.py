"""`waystation llm ...`, also `python -m nodes.llm.cli`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from langchain_core.messages import HumanMessage

from core.cli import JsonFlag, cell, command, make_app, print_fields, print_json, show
from core.container import opened_service
from core.errors import InvalidInput, NotFound
from core.tool_bench import ToolBench, open_bench
from nodes.llm.caller import LLMCaller
from nodes.llm.models import LLMChunk, LLMRequest, LLMResponse, Model, Usage
from nodes.llm.module import MODULE
from nodes.llm.tool_loop import EXAMPLE_TOOLS, Allow, Made, calls_of, talk_with_tools

app = make_app("llm", "Call language models.")

ModelName = Annotated[str, typer.Argument(help="Display name, such as 'offline'; see `models`.")]
_SHOWN = 200

Text = Annotated[str, typer.Argument(help="What to say to it.")]


@asynccontextmanager
async def caller() -> AsyncIterator[LLMCaller]:
    """The module's client, from this module's configuration alone."""
    async with opened_service(MODULE, LLMCaller) as (llm, _):
        yield llm


@app.command("call")
@command
async def call(model: ModelName, text: Text, as_json: JsonFlag = False) -> None:
    """Say TEXT to MODEL and print its answer as it comes."""
    await _say(LLMRequest(model=model, messages=[HumanMessage(content=text)]), as_json=as_json)


@app.command("call-with-tools")
@command
async def call_with_tools(  # noqa: PLR0917  # typer reads the arguments, nobody calls it by position
    model: ModelName,
    text: Text,
    tools: Annotated[
        str,
        typer.Option(
            help="Tool servers or their tools (calculator,clock_now), whose tools are called; or examples "
            "(add,now) or a JSON file of schemas, which are only shown."
        ),
    ] = "add,now",
    approve: Annotated[
        bool | None, typer.Option("--approve/--deny", help="For tools that ask first; else you are asked.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Most answers of the model.")] = 25,
    as_json: JsonFlag = False,
) -> None:
    """Let MODEL answer TEXT with tools, and make the calls that it wants."""
    request = LLMRequest(model=model, messages=[HumanMessage(content=text)])
    names = [name.strip() for name in tools.split(",") if name.strip()]
    if tools.endswith(".json") or all(name in EXAMPLE_TOOLS for name in names):
        await _say(replace(request, tools=tool_schemas(tools)), as_json=as_json)
        return
    async with caller() as llm, open_bench() as bench:
        request = replace(request, tools=await _offered(bench, names))
        await _work(talk_with_tools(llm, bench, request, _word(approve), rounds=rounds), as_json=as_json)


@app.command("models")
@command
async def models(as_json: JsonFlag = False) -> None:
    """List the models; the default is marked."""
    async with caller() as llm:
        rows = [_described(model, default=name == llm.default()) for name, model in llm.entries().items()]
    columns = ("", "name", "model", "tools", "groups", "description")
    cells = [
        ("*" if r["default"] else "", r["name"], r["model"], "yes" if r["tools"] else "no", cell(r["groups"]),
         r["description"])
        for r in rows
    ]  # fmt: skip
    show(rows, as_json=as_json, table=columns, rows=cells)


@app.command("ping")
@command
async def ping(
    model: Annotated[str, typer.Argument(help="One model; all when left out.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Ask the endpoints whether they answer; spends no token. Exit 1 if one does not."""
    async with caller() as llm:
        answers = await llm.ping(model)
    found = [{"model": name, "ok": not reason, "reason": reason} for name, reason in answers.items()]
    rows = [(name, reason or "yes") for name, reason in answers.items()]
    show(found, as_json=as_json, table=("model", "answers"), rows=rows)
    if any(answers.values()):
        raise typer.Exit(1)


@app.command("probe")
@command
async def probe(
    model: ModelName,
    timeout: Annotated[
        float, typer.Option(min=1, max=600, help="Longest wait for one answer, in seconds.")
    ] = 120,
    as_json: JsonFlag = False,
) -> None:
    """Ask MODEL's endpoint some short questions: which profile fits, and what would not work.

    Exit 1 where it cannot be used.
    """
    from nodes.llm.probe_report import probed, shown  # noqa: PLC0415 - its client takes a while to import

    async with caller() as llm:
        report = await probed(llm, model, seconds=timeout)
    show(report, as_json=as_json, people=lambda: shown(report))
    if not report["usable"]:
        raise typer.Exit(1)


def tool_schemas(wanted: str) -> list[Mapping[str, Any]]:
    """Schemas of example tools by name, or those of a JSON file."""
    if wanted.endswith(".json"):
        return _read_schemas(Path(wanted))
    return [EXAMPLE_TOOLS[name.strip()] for name in wanted.split(",") if name.strip()]


async def _offered(bench: ToolBench, names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    try:
        return await bench.schemas(names)
    except NotFound as error:
        raise InvalidInput(
            f"{error.detail}; examples that are only shown: {', '.join(EXAMPLE_TOOLS)}"
        ) from error


def _word(approve: bool | None) -> Allow:
    """A person's word for tools that ask first: given beforehand, or asked for where somebody sits there."""

    def allow(call: Mapping[str, Any]) -> str:
        if approve is not None:
            return "" if approve else "this call of the command refuses tools that need approval"
        shown = f"{call['name']}({json.dumps(call['args'], ensure_ascii=False)})"
        if not sys.stdin.isatty():
            return "it needs approval, and nobody was there to ask; say --approve"
        return "" if typer.confirm(f"May it run {shown}?", err=True) else "the user said no"

    return allow


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


async def _work(items: AsyncIterator[LLMChunk | Made | LLMResponse], *, as_json: bool) -> None:
    """Follow a talk with tools to its end: text on stdout, the calls on stderr."""
    made: list[Made] = []
    answers: list[LLMResponse] = []
    async with aclosing(cast(Any, items)):
        async for item in items:
            if isinstance(item, Made):
                made.append(item)
                if not as_json:
                    _tell(item)
            elif isinstance(item, LLMResponse):
                answers.append(item)
                if item.text and not as_json:
                    print()
            elif not as_json:
                sys.stdout.write(item.text)
                sys.stdout.flush()
    if as_json:
        usage = _summed([answer.usage for answer in answers])
        print_json({"text": answers[-1].text, "tool_calls": calls_of(made), "usage": usage})


def _tell(made: Made) -> None:
    said = " ".join(made.answer.text.split())
    shown = said if len(said) <= _SHOWN else f"{said[:_SHOWN]} ..."
    arguments = json.dumps(made.call["args"], ensure_ascii=False)
    print(f"{made.call['name']}({arguments}) {made.answer.status}: {shown}", file=sys.stderr)


def _summed(usages: Sequence[Usage]) -> dict[str, Any]:
    costs = [usage.cost for usage in usages if usage.cost is not None]
    total = Usage(
        sum(usage.input_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        usages[-1].model,
        sum(costs) if costs else None,
    )
    return total.as_json()


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
